"""SIGSTOP, for each program that a call needs: it lives, and does nothing. The call ends, and the slot comes back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e import traces
from tests.e2e.suspended import suspended
from tests.e2e.waiting import in_state, losses, until
from tests.meeting import EmbeddedMeeting, Participant
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A short one, so that the test is; what a stopped display freezes must not be seen before the display is.
LIMITS = {"limits": {"browser_timeout_s": 8.0}}
ENDS_S = 60.0
READY_S = 60.0
LOST = {
    "chromium": "browser-hung",
    "chromedriver": "browser-hung",
    "Xvfb": "display-lost",
    "pulseaudio": "audio-lost",
    "pipewire": "camera-lost",
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(meeting: EmbeddedMeeting, logs: Path) -> AsyncIterator[RunningGateway]:
    """A gateway that loses patience soon."""
    async with RunningGateway(meeting.base_url, LIMITS, log_file=logs / "gateway.log") as running:
        yield running


async def recovered(gateway: RunningGateway, stopped: int) -> None:
    """Wait until the slot is ready, whole, and without the one that was stopped."""
    await gateway.ready(READY_S)
    for name in LOST:
        assert traces.named(gateway.runtime_dir, name).pid != stopped


@pytest.mark.parametrize("name", LOST)
async def test_stopped_during_a_call(
    gateway: RunningGateway, peer: MeasuredPeer, alice: Participant, name: str
) -> None:
    """The peer gets its BYE, and the log says what does not answer any more."""
    await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    await in_state(gateway, "bridged")
    await alice.wait_for(lambda now: bool(now.video), "the peer's picture")
    process = traces.named(gateway.runtime_dir, name)
    process.suspend()
    await peer.wait_over(ENDS_S)
    session = await in_state(gateway, "ended", ENDS_S)
    assert session["end"]["key"] == LOST[name], session["end"]
    await recovered(gateway, process.pid)


async def test_stopped_for_a_moment(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """A Chromium that had no time for one look is no loss: the next caller is taken."""
    lost = await losses(gateway)
    chromium = traces.named(gateway.runtime_dir, "chromium")
    with suspended(chromium):
        await asyncio.sleep(3)
    await asyncio.sleep(3)
    assert await losses(gateway) == lost
    assert traces.named(gateway.runtime_dir, "chromium").pid == chromium.pid
    await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()


@pytest.mark.slow
@pytest.mark.parametrize("name", LOST)
async def test_stopped_while_idle(gateway: RunningGateway, name: str) -> None:
    """Between calls the gateway notices by itself, and mends the slot before anybody calls."""
    lost = await losses(gateway)
    process = traces.named(gateway.runtime_dir, name)
    process.suspend()
    await until(lambda: losses(gateway), lambda count: count > lost, "gateway that noticed", ENDS_S)
    await recovered(gateway, process.pid)
