"""A meeting, a gateway and a peer, shared by the tests of a module; each test finds the gateway idle."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, Participant
from tests.peer.measured import MeasuredPeer, PeerError
from tests.running_gateway import GatewayError, RunningGateway

READY_AGAIN_S = 30.0
ALICE_HZ = 440
PEER_HZ = 660


@pytest.fixture(scope="module")
def logs(request: pytest.FixtureRequest) -> Path:
    """Where the logs of a module's programs go; kept, for those who ask why a test failed."""
    directory = Path("build", "e2e", request.module.__name__.rpartition(".")[2]).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.log"):
        old.unlink()
    return directory


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def meeting(logs: Path) -> AsyncIterator[EmbeddedMeeting]:
    """A deployment whose rooms are open to everybody."""
    async with EmbeddedMeeting(logs, library_directory()) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(meeting: EmbeddedMeeting, logs: Path) -> AsyncIterator[RunningGateway]:
    """A gateway for that deployment."""
    async with RunningGateway(meeting.base_url, log_file=logs / "gateway.log") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(shared_gateway: RunningGateway) -> AsyncIterator[RunningGateway]:
    """The gateway, idle before the test, and after it again soon."""
    await shared_gateway.ready(READY_AGAIN_S)
    yield shared_gateway
    with contextlib.suppress(GatewayError):  # most tests leave no call behind
        await shared_gateway.api("DELETE", "/api/v1/sessions/current")
    await shared_gateway.ready(READY_AGAIN_S)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_peer(logs: Path) -> AsyncIterator[MeasuredPeer]:
    """A peer that sends 640 x 360 at 15 frames a second, to be light."""
    async with MeasuredPeer(
        width=640, height=360, fps=15, bitrate=500_000, tone_hz=PEER_HZ, log=logs / "peer.log"
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def peer(shared_peer: MeasuredPeer) -> AsyncIterator[MeasuredPeer]:
    """The peer as it starts: answers at once, with video; has seen nothing, and is in no call."""
    await shared_peer.answer_with(200)
    await shared_peer.report()
    shared_peer.forget_events()
    yield shared_peer
    try:
        await shared_peer.hangup()
    except PeerError:
        return  # the call is over, as it should be
    await shared_peer.wait_over()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def alice(meeting: EmbeddedMeeting) -> AsyncIterator[Participant]:
    """Somebody who is in the room "demo" with picture and sound."""
    async with Participant(
        meeting, "demo", name="alice", tone_hz=ALICE_HZ, width=640, height=360, fps=15
    ) as participant:
        yield participant
