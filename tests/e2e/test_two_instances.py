"""Two gateways on one machine, each with a call: nothing of one is heard or seen in the other."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e import traces
from tests.e2e.waiting import in_state, until
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, Participant
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

LEFT_HZ, RIGHT_HZ = 440, 550
LEFT_PEER_HZ, RIGHT_PEER_HZ = 660, 770
LOUD = 0.1
FRAMES = 15
SEEN_S = 60.0


async def sees_and_hears(peer: MeasuredPeer, own: float, other: float) -> None:
    """Wait until the peer has seen stamps and hears the tone of its own room; the other's it must not hear."""
    seen = 0

    async def look() -> bool:
        nonlocal seen
        report = await peer.report(own, other)
        seen += report.video.intact
        assert report.tones[other] < LOUD
        return seen >= FRAMES and report.tones[own] > LOUD

    await until(look, bool, f"picture and tone of {own} Hz", SEEN_S)


async def is_seen_and_heard(participant: Participant, name: str, own: int, other: int) -> None:
    """Wait until the participant sees and hears the peer of its room, and it alone."""
    report = await participant.wait_for(
        lambda now: name in now.video and now.video[name].intact >= FRAMES and now.audio[name][own] > LOUD,
        f"picture and sound of {name}",
        SEEN_S,
    )
    assert set(report.video) == {name}
    assert report.audio[name][other] < LOUD


@pytest.mark.timeout(600)  # four Chromiums, a minute even on an ordinary machine of two cores
async def test_two_calls_at_once(logs: Path) -> None:
    """Each peer meets the participant of its own room only; displays, ports and devices are different ones."""
    async with (
        EmbeddedMeeting(logs, library_directory()) as meeting,
        RunningGateway(meeting.base_url, {"instance": {"number": 1}}, log_file=logs / "left.log") as left,
        RunningGateway(meeting.base_url, {"instance": {"number": 2}}, log_file=logs / "right.log") as right,
        Participant(meeting, "left", name="alice", tone_hz=LEFT_HZ, width=320, height=180, fps=10) as alice,
        Participant(meeting, "right", name="bob", tone_hz=RIGHT_HZ, width=320, height=180, fps=10) as bob,
        MeasuredPeer(name="Left Peer", tone_hz=LEFT_PEER_HZ, width=320, height=180, fps=10) as left_peer,
        MeasuredPeer(name="Right Peer", tone_hz=RIGHT_PEER_HZ, width=320, height=180, fps=10) as right_peer,
    ):
        assert traces.display_number(left.runtime_dir) != traces.display_number(right.runtime_dir)
        await left_peer.call(f"sip:left@127.0.0.1:{left.sip_port}")
        await right_peer.call(f"sip:right@127.0.0.1:{right.sip_port}")
        await asyncio.gather(in_state(left, "bridged", 30), in_state(right, "bridged", 30))
        await asyncio.gather(
            sees_and_hears(left_peer, LEFT_HZ, RIGHT_HZ),
            sees_and_hears(right_peer, RIGHT_HZ, LEFT_HZ),
            is_seen_and_heard(alice, "Left Peer", LEFT_PEER_HZ, RIGHT_PEER_HZ),
            is_seen_and_heard(bob, "Right Peer", RIGHT_PEER_HZ, LEFT_PEER_HZ),
        )
        await left_peer.hangup()
        await in_state(left, "ended")
        await left.ready(30)
        assert (await right.status())["session"]["state"] == "bridged"
