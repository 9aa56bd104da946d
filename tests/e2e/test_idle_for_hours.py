"""A gateway that nobody called for hours shows the next caller the meeting as it is, and nothing of the last call."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.waiting import in_state
from tests.meeting import EmbeddedMeeting
from tests.peer.hours import Hours
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

HALF_OF_32_BITS_H = 2**31 / 90_000 / 3600
NIGHT_H = HALF_OF_32_BITS_H + 1.0
PICTURES = 20


@pytest.fixture(scope="module")
def hours(tmp_path_factory: pytest.TempPathFactory) -> Hours:
    """The gateway's clock of pictures."""
    return Hours(tmp_path_factory.mktemp("hours") / "control")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(meeting: EmbeddedMeeting, logs: Path, hours: Hours) -> AsyncIterator[RunningGateway]:
    """A gateway whose clock can be put forward."""
    log_file = logs / "gateway.log"
    async with RunningGateway(meeting.base_url, log_file=log_file, env=hours.environment) as running:
        yield running


async def sees_the_meeting(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """A call in which one stamped picture after the other comes to the peer."""
    await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    await in_state(gateway, "bridged")
    seen = 0
    async with asyncio.timeout(60):
        # A picture that is like the one before it is not counted.
        while seen < PICTURES:
            seen += (await peer.report()).video.intact
            await asyncio.sleep(0.2)
    await peer.hangup()
    await peer.wait_over()
    await in_state(gateway, "ended")


@pytest.mark.usefixtures("alice")
async def test_a_call_after_a_night(gateway: RunningGateway, peer: MeasuredPeer, hours: Hours) -> None:
    """The screen, which is open all the time, is looked at again for the first call of the day."""
    await sees_the_meeting(gateway, peer)
    hours.let_pass(NIGHT_H)
    await gateway.ready(30)
    peer.forget_events()
    await sees_the_meeting(gateway, peer)
