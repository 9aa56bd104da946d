"""Picture and sound go from participant to participant through the SFU."""

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from tests.meeting import EmbeddedMeeting, Participant, ParticipantReport
from tests.stamps import stamp

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]


def _sees(name: str, report: ParticipantReport) -> bool:
    return name in report.video and report.video[name].intact > 0


def _hears(name: str, hz: int, report: ParticipantReport) -> bool:
    return report.audio.get(name, {}).get(hz, 0) > 0.2


def _in_time(report: ParticipantReport) -> bool:
    seen = report.video["bob"]
    in_time = seen.latency_p50_ms is not None and seen.latency_p50_ms < 200
    return (seen.width, seen.height) == (1280, 720) and seen.fps > 20 and in_time


_NEGOTIATED = """
    const { localDescription } = APP.conference._room.jvbJingleSession.peerconnection.peerconnection;
    return localDescription.sdp.match(/^o=.*$/m)[0];
"""


async def test_participants_see_and_hear_each_other(meeting: EmbeddedMeeting, tmp_path: Path) -> None:
    """Both get the other's 720p or 360p frames whole and in time, and the other's tone but not their own."""
    async with (
        Participant(meeting, "media", "alice", tone_hz=440) as alice,
        Participant(meeting, "media", "bob", tone_hz=550, width=1280, height=720, fps=30) as bob,
    ):
        await alice.wait_for(lambda r: _sees("bob", r) and _hears("bob", 550, r), "bob")
        await bob.wait_for(lambda r: _sees("alice", r) and _hears("alice", 440, r), "alice")
        await asyncio.gather(alice.report(reset=True), bob.report(reset=True))
        await asyncio.sleep(4)
        # Rates and latencies are of all the time since, in which a pause of the machine is made up for.
        at_alice = await alice.wait_for(_in_time, "720p in time")
        at_bob = await bob.wait_for(lambda r: r.video["alice"].fps > 10, "360p in time")
        seen = at_alice.video["bob"]
        assert seen.unreadable == 0
        assert seen.latency_p50_ms is not None
        assert seen.latency_p50_ms > 0
        assert at_alice.audio["bob"][440] < 0.05
        assert at_alice.members == at_bob.members == 2
        assert {stream.codec for stream in await alice.streams()} == {"H264"}
        async with asyncio.timeout(30):
            await alice.screenshot(tmp_path / "alice.png")
            while stamp.read_image(Image.open(tmp_path / "alice.png")) is None:
                await alice.screenshot(tmp_path / "alice.png")  # it had not been painted yet
        occupants = await meeting.occupants("media")
        assert [occupant.connected for occupant in occupants] == [True, True]


async def test_negotiation_comes_to_rest(meeting: EmbeddedMeeting) -> None:
    """Once everybody is seen there is nothing more to negotiate; Jitsi Meet's own page took most of a core for it."""
    async with (
        Participant(meeting, "rest", "alice") as alice,
        Participant(meeting, "rest", "bob", tone_hz=550) as bob,
    ):
        await alice.wait_for(lambda r: _sees("bob", r), "bob")
        await bob.wait_for(lambda r: _sees("alice", r), "alice")
        settled: list[str] = []
        async with asyncio.timeout(30):
            while (now := [await who.evaluate(_NEGOTIATED) for who in (alice, bob)]) != settled:
                settled = now
                await asyncio.sleep(2)


async def test_muting_is_seen_and_heard(meeting: EmbeddedMeeting) -> None:
    """A participant who mutes is no longer heard nor seen, and is again after unmuting."""
    async with (
        Participant(meeting, "muting", "alice") as alice,
        Participant(meeting, "muting", "bob", tone_hz=550) as bob,
    ):
        await alice.wait_for(lambda r: _sees("bob", r) and _hears("bob", 550, r), "bob")
        await bob.set_audio_muted(True)
        await bob.set_video_muted(True)
        await alice.wait_for(lambda r: not _hears("bob", 550, r), "silence")
        await alice.wait_for_screen("avatar")
        await bob.set_audio_muted(False)
        await bob.set_video_muted(False)
        await alice.report(reset=True)
        await alice.wait_for(lambda r: _sees("bob", r) and _hears("bob", 550, r), "bob again")
        await alice.wait_for_screen("meeting")


async def test_tone_bursts_tell_the_latency_of_sound(meeting: EmbeddedMeeting) -> None:
    """Bursts on the second are timed at the other end: later than they were sounded, by a third of a second at most."""
    async with (
        Participant(meeting, "bursts", "alice", bursts=True) as alice,
        Participant(meeting, "bursts", "bob", tone_hz=550, bursts=True),
    ):
        await alice.wait_for(lambda r: "bob" in r.bursts and r.bursts["bob"].heard >= 3, "bursts")
        # Those that came while the machine paused are outnumbered by and by.
        report = await alice.wait_for(lambda r: (r.bursts["bob"].latency_p50_ms or 1000) < 333, "bursts in time")
        latency = report.bursts["bob"].latency_p50_ms
        assert latency is not None
        assert latency > 10
