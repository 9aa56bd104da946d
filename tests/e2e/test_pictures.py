"""Before, between and after calls nobody sees an empty desktop, nor anything of another call."""

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.waiting import in_state
from tests.meeting import EmbeddedMeeting, Participant
from tests.peer.measured import MeasuredPeer, PeerError
from tests.peer.raw import AUDIO, VIDEO, RawCaller, sdp
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

READY_S = 30.0
FRAMES = 20
BRIGHT = 180
CARD_TEXT = 0.002  # share of a picture that the writing on a card takes, at least
PARTICIPANT = "Measured Peer"


def has_writing(picture: Path) -> bool:
    """Whether there is something bright in the picture: an empty desktop is dark all over."""
    histogram = Image.open(picture).convert("L").histogram()
    return sum(histogram[BRIGHT:]) > CARD_TEXT * sum(histogram)


async def stills_until_bridged(gateway: RunningGateway, peer: MeasuredPeer, directory: Path) -> list[Path]:
    """Pictures that the peer gets from the answer until it is bridged, and some more."""
    bridged = asyncio.create_task(in_state(gateway, "bridged", 30))
    pictures: list[Path] = []
    extra = 3
    while extra:
        extra -= bridged.done()
        picture = directory / f"{len(pictures)}.png"
        try:
            await peer.still(picture)
        except PeerError:
            continue  # none came in time
        pictures.append(picture)
    await bridged
    return pictures


async def lobby_opens(meeting: EmbeddedMeeting, room: str) -> None:
    """Let the caller in once it waits in the lobby."""
    await meeting.wait_for_knock(room, PARTICIPANT)
    await meeting.admit(room, PARTICIPANT)


async def test_peer_sees_cards_until_the_meeting(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting, tmp_path: Path
) -> None:
    """From the answer on, through the lobby into the meeting, each picture is a card of ours or the meeting's."""
    await alice.report()
    await meeting.set_lobby("demo", is_open=True)
    try:
        await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        await peer.wait_up()
        waiting = tmp_path / "waiting.png"
        await peer.still(waiting)
        assert has_writing(waiting)
        assert (await peer.report()).video.intact == 0
        _, pictures = await asyncio.gather(lobby_opens(meeting, "demo"), stills_until_bridged(gateway, peer, tmp_path))
    finally:
        await meeting.set_lobby("demo", is_open=False)
    assert pictures
    assert [picture for picture in pictures if not has_writing(picture)] == []


async def be_seen_and_leave(alice: Participant, gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """A call whose picture the meeting has seen; over, and the gateway ready for the next."""
    await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    await alice.wait_for(lambda now: PARTICIPANT in now.video and now.video[PARTICIPANT].intact >= FRAMES, "the peer")
    await peer.hangup()
    await peer.wait_over()
    await in_state(gateway, "ended")
    await gateway.ready(READY_S)


async def test_next_call_shows_the_peer_nothing_of_the_last(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, tmp_path: Path
) -> None:
    """After a call with a stamped picture, a call to an empty room shows cards and the page, never a stamp."""
    await be_seen_and_leave(alice, gateway, peer)
    await peer.report()
    peer.forget_events()
    await peer.call(f"sip:elsewhere@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    pictures = await stills_until_bridged(gateway, peer, tmp_path)
    seen = (await peer.report()).video
    assert pictures
    assert (seen.frames > 0, seen.intact) == (True, 0)


async def test_meeting_sees_a_card_until_the_next_peer_sends(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, tmp_path: Path
) -> None:
    """A peer that has not sent a picture yet is shown as a card of ours, never as the peer before."""
    await be_seen_and_leave(alice, gateway, peer)
    await alice.report(reset=True)
    async with RawCaller(gateway.sip_port) as silent:
        silent.request("INVITE", sdp(AUDIO, VIDEO))
        await silent.response()
        silent.request("ACK")
        await in_state(gateway, "bridged")
        report = await alice.wait_for(
            lambda now: any(video.frames >= FRAMES for name, video in now.video.items() if name != PARTICIPANT),
            "pictures of the silent peer",
        )
        await alice.screenshot(tmp_path / "alice.png")
        await gateway.api("DELETE", "/api/v1/sessions/current")
    assert {name: video.intact for name, video in report.video.items()} == dict.fromkeys(report.video, 0)
    assert has_writing(tmp_path / "alice.png")
