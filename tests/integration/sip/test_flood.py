"""A running call while thousands of others are tried: what the devices show of it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from jibri_sip.config.access import AccessSettings
from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import gateway_with
from tests.peer.measured import MeasuredPeer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.heavy, pytest.mark.slow]

FLOOD = 3000
FLOOD_S = 5.0


@asynccontextmanager
async def flooding(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of its own that calls `FLOOD` times in `FLOOD_S` seconds, from thirty addresses."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.peer.flood",
        str(port),
        str(FLOOD),
        str(FLOOD_S),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_running_call_is_not_disturbed() -> None:
    """Its pictures arrive as often as without the flood; each call of the flood gets its 503 with Retry-After."""
    access = AccessSettings.model_validate({"trusted_proxies": [], "requests_per_minute": 100_000})
    async with (
        gateway_with(SipSettings(port=0, access=access)) as gateway,
        MeasuredPeer(width=640, height=360, fps=15, bitrate=500_000) as peer,
    ):
        await peer.call(f"sip:demo@{gateway.endpoint.ports.address};transport=udp")
        call = await gateway.take()
        await call.answer()
        await peer.wait_up()

        async def refuse() -> None:
            while True:
                await (await gateway.incoming.get()).reject(486, "Busy")

        refusing = asyncio.create_task(refuse())
        await asyncio.sleep(1)
        quiet = await measured(peer, FLOOD_S)
        before = psutil.Process().memory_info().rss
        async with flooding(gateway.endpoint.ports.udp) as flood:
            loud = await measured(peer, FLOOD_S)
            assert flood.stdout is not None
            told = json.loads(await asyncio.wait_for(flood.stdout.read(), 15))
        grown = psutil.Process().memory_info().rss - before
        refusing.cancel()
        load = psutil.getloadavg()[0]
        print(f"fps {quiet:.1f} without, {loud:.1f} with; {told}; load {load:.1f}; {grown >> 20} MiB more")
        assert call.ended is None
        assert loud > 0.8 * quiet
        assert told["refused"] > 0.95 * told["sent"]
        assert told["retry_after"] == told["refused"]
        assert grown < 40 << 20
        await call.hangup()
        await peer.wait_over()


async def measured(peer: MeasuredPeer, seconds: float) -> float:
    """Intact pictures a second at the peer."""
    await peer.report()
    await asyncio.sleep(seconds)
    return (await peer.report()).video.intact / seconds
