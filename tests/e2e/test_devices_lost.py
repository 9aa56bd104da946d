"""What of Chromium opens camera and microphone may die by itself; the meeting sees and hears the room again."""

import psutil
import pytest

from tests.e2e import traces
from tests.e2e.conftest import PEER_HZ
from tests.e2e.waiting import in_state, until
from tests.meeting import Participant
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEER = "Measured Peer"
FRAMES = 20
LOUD = 0.1


@pytest.mark.parametrize("service", ["video_capture.mojom.VideoCaptureService", "audio.mojom.AudioService"])
async def test_capture_crashes(alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, service: str) -> None:
    """Its process is killed in a call: alice sees and hears the peer again, and the log tells."""
    await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    await in_state(gateway, "bridged")

    async def sees_and_hears() -> None:
        await alice.report(reset=True)
        await alice.wait_for(lambda now: PEER in now.video and now.video[PEER].intact > FRAMES, "the peer's picture")
        await alice.wait_for(lambda now: now.audio.get(PEER, {}).get(PEER_HZ, 0) > LOUD, "the peer's tone")

    async def looked_for() -> list[psutil.Process]:
        return traces.services(gateway.runtime_dir, service)

    await sees_and_hears()
    for process in await until(looked_for, bool, "service of Chromium's"):
        process.kill()
    await sees_and_hears()
    assert gateway.events("device_opened_anew")
    assert (await gateway.last_session())["state"] == "bridged"
