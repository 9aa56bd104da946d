"""What loss does to the picture of a peer that has no NACK: Debian's baresip, called by nobody else.

`scripts/as-service python -m tests.bench.baresip_loss` prints a line for each size and loss: pictures a second that we
showed of 30, seconds without a new one (gaps above 200 ms), packets, and the machine's load.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from jibri_sip.sip.settings import Picture, SipSettings
from tests.integration.sip.conftest import gateway_with
from tests.peer import devices
from tests.peer.baresip import Baresip
from tests.peer.lossy import Line, LossyNetwork

_OURS = Picture(320, 180, 10, 200_000)
"""Light: what we send is not looked at."""
_SIZES = ((1280, 720, 1_500_000), (640, 360, 600_000))
_LOSSES = (0.03, 0.03, 0.05)
_SECONDS = 10
_DELAY_MS = 20.0


async def _measure(width: int, height: int, bitrate: int, directory: Path) -> None:
    network = LossyNetwork(directory / "network")
    async with (
        gateway_with(SipSettings(port=0, picture=_OURS)) as gateway,
        Baresip(directory, width=width, height=height, bitrate=bitrate, shown=(320, 180), network=network) as peer,
    ):
        await peer.dial(gateway.uri.partition(";")[0])
        call = await gateway.take()
        await call.answer()
        await asyncio.sleep(3)
        for loss in _LOSSES:
            network.set("out", Line(loss=loss, delay_ms=_DELAY_MS, seed=5))
            network.set("in", Line(loss=loss, delay_ms=_DELAY_MS, seed=6))
            await asyncio.sleep(1)
            devices.seen()
            await asyncio.sleep(_SECONDS)
            seen = devices.seen()
            print(
                f"{height}p, {loss:.0%} lost: {seen.intact / _SECONDS:.1f} a second, {seen.frozen_ms / 1000:.1f} s"
                f" frozen, {network.counts('out')[0]} packets, load {os.getloadavg()[0]:.1f}"
            )
        await call.hangup()


def main() -> None:
    """Measure all."""
    for width, height, bitrate in _SIZES:
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(_measure(width, height, bitrate, Path(directory)))


if __name__ == "__main__":
    main()
