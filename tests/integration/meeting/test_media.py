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
        at_alice, at_bob = await asyncio.gather(alice.report(), bob.report())
        seen = at_alice.video["bob"]
        assert (seen.width, seen.height) == (1280, 720)
        assert seen.fps > 20
        assert seen.unreadable == 0
        assert seen.latency_p50_ms is not None
        assert 0 < seen.latency_p50_ms < 200
        assert at_bob.video["alice"].fps > 10
        assert at_alice.audio["bob"][440] < 0.05
        assert at_alice.members == at_bob.members == 2
        assert {stream.codec for stream in await alice.streams()} == {"H264"}
        await alice.screenshot(tmp_path / "alice.png")
        assert stamp.read_image(Image.open(tmp_path / "alice.png")) is not None
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
        await asyncio.sleep(2)
        settled = [await who.evaluate(_NEGOTIATED) for who in (alice, bob)]
        await asyncio.sleep(1)
        assert [await who.evaluate(_NEGOTIATED) for who in (alice, bob)] == settled


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
        report = await alice.wait_for(lambda r: "bob" in r.bursts and r.bursts["bob"].heard >= 3, "bursts")
        latency = report.bursts["bob"].latency_p50_ms
        assert latency is not None
        assert 10 < latency < 333
