"""A user agent that shares no code with us, baresip, sees and hears us, and we it, whoever dials."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from jibri_sip.sip.call import Call
from tests.integration.sip.conftest import Gateway
from tests.peer import devices, gateway_devices
from tests.peer.baresip import Baresip
from tests.peer.listening import hears_tone
from tests.peer.seen import Seen
from tests.stamps import stamp

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

BARESIP_HZ = 770.0


@pytest_asyncio.fixture(loop_scope="module")
async def baresip(tmp_path: Path) -> AsyncIterator[Baresip]:
    """Baresip with a light film."""
    async with Baresip(tmp_path, width=640, height=360, fps=15, bitrate=600_000) as running:
        yield running


async def both_hear(baresip: Baresip) -> bool:
    """Whether each side's tone arrives at the other."""

    async def here() -> float:
        return devices.heard(BARESIP_HZ)

    async def there() -> float:
        return (await baresip.report(gateway_devices.TONE_HZ)).tones[gateway_devices.TONE_HZ]

    return await hears_tone(here) and await hears_tone(there)


def are_smooth(here: Seen, there: Seen) -> bool:
    """Whether most pictures came, and whole ones, and to baresip soon."""
    soon = there.latency_ms_p50 is not None and there.latency_ms_p50 < 400
    return soon and here.fps > 10 and here.intact >= here.frames * 0.95 and there.fps > 15


async def check_both_ways(call: Call, baresip: Baresip) -> None:
    """Picture and sound of a call that is just up, judged on both sides; then we hang up."""
    await asyncio.sleep(2)
    devices.seen()
    await baresip.report()
    for _ in range(5):
        await asyncio.sleep(3)
        here = devices.seen()
        report = await baresip.report(gateway_devices.TONE_HZ, BARESIP_HZ)
        # Seconds in which a loaded machine stood still tell nothing.
        if are_smooth(here, report.video):
            break
    assert are_smooth(here, report.video), (here, report.video)
    assert (here.width, here.height) == (640, 360)
    assert report.tones[BARESIP_HZ] < 0.02
    assert await both_hear(baresip)
    stats = await call.stats()
    assert stats.audio is not None
    assert stats.audio.codec == "opus/48000"


async def test_baresip_dials_in(gateway: Gateway, baresip: Baresip, tmp_path: Path) -> None:
    """Baresip calls: both sides see and hear each other until it hangs up."""
    await baresip.dial(f"sip:demo@{gateway.endpoint.ports.address}")
    call = await gateway.take()
    assert call.request_uri.user == "demo"
    await call.ring()
    await call.answer()
    await baresip.wait_for("CALL_ESTABLISHED")
    await check_both_ways(call, baresip)
    await baresip.still(tmp_path / "still.png")
    with Image.open(tmp_path / "still.png") as image:
        assert stamp.read_image(image) is not None
    await baresip.hangup()
    assert (await asyncio.wait_for(call.wait_ended(), 5)).by_peer


async def test_baresip_is_dialled(gateway: Gateway, baresip: Baresip) -> None:
    """We call baresip: both sides see and hear each other until we hang up."""
    call = await gateway.endpoint.dial(baresip.uri)
    await baresip.wait_for("CALL_ESTABLISHED")
    await check_both_ways(call, baresip)
    await call.hangup()
    await baresip.wait_for("CALL_CLOSED")
    assert not (await call.wait_ended()).by_peer


async def test_baresip_without_video(gateway: Gateway, tmp_path: Path) -> None:
    """A call of sound alone works with it, too."""
    async with Baresip(tmp_path, video=False) as baresip:
        await baresip.dial(f"sip:demo@{gateway.endpoint.ports.address}")
        call = await gateway.take()
        await call.answer()
        await baresip.wait_for("CALL_ESTABLISHED")
        await asyncio.sleep(2)
        assert await both_hear(baresip)
        assert (await call.stats()).video is None
        await call.hangup()
