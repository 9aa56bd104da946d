"""When the far side of either leg is gone without a word: the call ends by itself, and the slot is ready again."""

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.e2e.suspended import suspended
from tests.e2e.waiting import in_room, in_state
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, Participant
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

# Short ones, so that the test is; what they are for stays the same.
PEER_GONE = {"limits": {"no_media_timeout_s": 4.0}}
# Long enough for the path to come about on a busy machine, and over before the server is missed.
MEETING_GONE = {"limits": {"ice_timeout_s": 15.0, "server_timeout_s": 120.0}}
SERVER_GONE = {"limits": {"server_timeout_s": 15.0}}
ENDS_S = 60.0
READY_S = 30.0


def deployment(meeting: EmbeddedMeeting) -> list[psutil.Process]:
    """All processes of the meeting's: stopped, they neither answer nor close anything."""
    server = psutil.Process(meeting.pid)
    return [server, *server.children(recursive=True)]


async def bridged(peer: MeasuredPeer, gateway: RunningGateway) -> None:
    """Be in the room with both sides connected, and sound on its way."""
    await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    await in_state(gateway, "bridged")


async def test_peer_vanishes(tmp_path: Path) -> None:
    """A peer that is gone without BYE is noticed by its silence; it leaves the room, and the next call is taken."""
    async with (
        EmbeddedMeeting(tmp_path, library_directory()) as meeting,
        RunningGateway(meeting.base_url, PEER_GONE) as gateway,
    ):
        async with MeasuredPeer(width=640, height=360, fps=15) as peer:
            await bridged(peer, gateway)
            os.kill(peer.pid, signal.SIGKILL)
            session = await in_state(gateway, "ended", ENDS_S)
        assert session["end"]["key"] == "no-media"
        await in_room(meeting, "demo")
        await gateway.ready(READY_S)
        async with MeasuredPeer(width=640, height=360, fps=15) as peer:
            await bridged(peer, gateway)


async def test_meeting_vanishes_while_nobody_is_there(tmp_path: Path) -> None:
    """Alone in a room there is no media whose end would be noticed; the server's silence is."""
    async with (
        EmbeddedMeeting(tmp_path, library_directory()) as meeting,
        RunningGateway(meeting.base_url, SERVER_GONE) as gateway,
        MeasuredPeer(width=640, height=360, fps=15) as peer,
    ):
        await bridged(peer, gateway)
        with suspended(*deployment(meeting)):
            await peer.wait_over(SERVER_GONE["limits"]["server_timeout_s"] + ENDS_S)
            session = await in_state(gateway, "ended", ENDS_S)
            assert session["end"]["key"] == "meeting-lost", session["end"]
            assert "server" in session["end"]["message"]
            await gateway.ready(READY_S)


@pytest.mark.slow
async def test_quiet_server_is_not_lost(tmp_path: Path) -> None:
    """A server that nobody talks to but for the signs of life is there."""
    async with (
        EmbeddedMeeting(tmp_path, library_directory()) as meeting,
        RunningGateway(meeting.base_url, SERVER_GONE) as gateway,
        MeasuredPeer(width=640, height=360, fps=15) as peer,
    ):
        await bridged(peer, gateway)
        await asyncio.sleep(SERVER_GONE["limits"]["server_timeout_s"] + 8)
        await in_state(gateway, "bridged", 1)


async def test_meeting_vanishes(tmp_path: Path) -> None:
    """When the deployment falls silent and somebody else is there, the peer gets a BYE and the slot is ready."""
    async with (
        EmbeddedMeeting(tmp_path, library_directory()) as meeting,
        RunningGateway(meeting.base_url, MEETING_GONE) as gateway,
        Participant(meeting, "demo", name="alice", width=320, height=180, fps=10) as alice,
        MeasuredPeer(width=640, height=360, fps=15) as peer,
    ):
        await bridged(peer, gateway)
        await alice.wait_for(lambda now: bool(now.video), "the peer's picture")
        with suspended(*deployment(meeting)):
            await peer.wait_over(ENDS_S)
            session = await in_state(gateway, "ended", ENDS_S)
            assert session["end"]["key"] == "ice-failed", session["end"]
            await gateway.ready(READY_S)
