"""Real streams over a line that loses packets: with NACK both ways, pictures come whole, encrypted or not."""

import asyncio
from pathlib import Path

import pytest

from jibri_sip.sip.settings import Picture, SipSettings, Srtp
from tests.integration.sip.conftest import gateway_with
from tests.peer import devices
from tests.peer.lossy import Line, LossyNetwork
from tests.peer.measured import MeasuredPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMALL = Picture(320, 180, 15, 300_000)


@pytest.mark.parametrize("srtp", ["off", "required"])
async def test_lossy_line(tmp_path: Path, srtp: Srtp) -> None:
    """With one packet in twenty lost each way and 40 ms of round trip, most pictures are whole at both ends."""
    network = LossyNetwork(tmp_path / "network")
    encryption = 0 if srtp == "off" else 2
    async with (
        gateway_with(SipSettings(port=0, srtp=srtp, picture=SMALL)) as gateway,
        MeasuredPeer(
            width=320, height=180, fps=15, bitrate=300_000, nack=True, network=network, srtp=encryption
        ) as peer,
    ):
        call = await gateway.endpoint.dial(f"{peer.uri};transport=udp")
        await peer.wait_up()
        await asyncio.sleep(1)
        network.set("out", Line(loss=0.05, delay_ms=20, seed=3))
        network.set("in", Line(loss=0.05, delay_ms=20, seed=4))
        await asyncio.sleep(0.2)
        await peer.report()
        devices.seen()
        await asyncio.sleep(5)
        feedback = await call.feedback()
        assert feedback is not None
        assert feedback.recovered > 0
        assert feedback.resent > 0
        assert feedback.given_up <= 2
        video = (await call.stats()).video
        assert video is not None
        assert video.received.repaired >= feedback.recovered
        assert video.sent.repaired >= feedback.resent
        assert network.counts("in")[1] > 0
        for seen in ((await peer.report()).video, devices.seen()):
            assert seen.intact > 40
            assert seen.intact >= seen.frames * 0.7
        await call.hangup()
