"""Chromium gives up, for good, on a sound output that is not open after ten seconds; rooms hear the meeting anyhow."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from tests.e2e import traces
from tests.e2e.conftest import ALICE_HZ
from tests.e2e.suspended import suspended
from tests.e2e.waiting import in_state, until
from tests.meeting import EmbeddedMeeting, Participant
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

# The page does not answer while it waits for an output, and there is none here for far longer than in any life.
LIMITS = {"limits": {"browser_timeout_s": 90.0}}
GIVEN_UP_S = 60.0
HEARD_S = 60.0
LOUD = 0.05


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(meeting: EmbeddedMeeting, logs: Path) -> AsyncIterator[RunningGateway]:
    """A gateway with much patience for its browser."""
    async with RunningGateway(meeting.base_url, LIMITS, log_file=logs / "gateway.log") as running:
        yield running


async def sound_services(gateway: RunningGateway) -> list[psutil.Process]:
    """What opens sound outputs, once there was any sound."""
    return traces.services(gateway.runtime_dir, "audio.mojom.AudioService")


async def test_sound_is_played_anew(
    gateway: RunningGateway, meeting: EmbeddedMeeting, peer: MeasuredPeer, logs: Path
) -> None:
    """As on a machine that is far too busy, just when the first sound of the meeting comes."""

    async def log() -> str:
        return (logs / "gateway.log").read_text()

    await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    await in_state(gateway, "bridged")
    services = await until(lambda: sound_services(gateway), lambda found: len(found) == 1, "one sound service")
    async with contextlib.AsyncExitStack() as stack:
        with suspended(*services):
            await stack.enter_async_context(
                Participant(meeting, "demo", name="alice", tone_hz=ALICE_HZ, width=320, height=180, fps=10)
            )
            await until(log, lambda text: "sound_played_anew" in text, "sound that was given up", GIVEN_UP_S)
        await until(
            lambda: peer.report(ALICE_HZ), lambda heard: heard.tones[ALICE_HZ] > LOUD, "tone of alice's", HEARD_S
        )
        await peer.hangup()
        await peer.wait_over()
