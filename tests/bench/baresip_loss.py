"""What loss does to the picture between us and a peer that has no NACK: Debian's baresip, called by nobody else.

`scripts/as-service python -m tests.bench.baresip_loss WAY [HEIGHT [SEED…]]` (`from` or `to` baresip; 720 or 360; seeds
5, 6 and 7) prints a line for each loss and seed: pictures a second of 30 that were shown with a stamp that can be read,
seconds without one (gaps above 200 ms), packets, and the machine's load. The other way has a small picture.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from jibri_sip.sip.settings import Picture, SipSettings
from tests.bench.loss import frozen_s, now_ms
from tests.integration.sip.conftest import gateway_with
from tests.peer import devices
from tests.peer.baresip import Baresip
from tests.peer.lossy import Line, LossyNetwork, Way
from tests.peer.seen import Seen

_SIZES = {720: Picture(1280, 720, 30, 1_500_000), 360: Picture(640, 360, 30, 600_000)}
_SMALL = Picture(320, 180, 10, 200_000)
_LOSSES = (0.03, 0.05)
_SEEDS = (5, 6, 7)
_SECONDS = 16
_BEGUN_S = 3.0
_SETTLE_S = 1.0
_DELAY_MS = 20.0


async def _measure(ours: Picture, theirs: Picture, seeds: Sequence[int], directory: Path) -> None:
    fps = defaultdict[float, list[float]](list)
    for seed in seeds:
        # A call each: baresip's film lasts a minute.
        work_dir = directory / str(seed)
        work_dir.mkdir()
        network = LossyNetwork(work_dir / "network")
        async with (
            gateway_with(SipSettings(port=0, picture=ours)) as gateway,
            Baresip(
                work_dir,
                width=theirs.width,
                height=theirs.height,
                fps=theirs.fps,
                bitrate=theirs.bitrate,
                shown=(ours.width, ours.height),
                network=network,
            ) as peer,
        ):
            await peer.dial(gateway.uri.partition(";")[0])
            call = await gateway.take()
            await call.answer()
            await asyncio.sleep(_BEGUN_S)
            for loss in _LOSSES:
                fps[loss].append(await _line(network, peer if ours is not _SMALL else None, seed, loss))
            await call.hangup()
    for loss, each in fps.items():
        print(f"{loss:.0%} lost: median {statistics.median(each):.1f} a second")


async def _line(network: LossyNetwork, shown_by: Baresip | None, seed: int, loss: float) -> float:
    """Measure one loss, and print it; `shown_by`: None for us. Returns pictures a second."""

    async def look() -> Seen:
        return (await shown_by.report()).video if shown_by else devices.seen()

    way: Way = "in" if shown_by else "out"
    network.set("out", Line(loss=loss, delay_ms=_DELAY_MS, seed=seed))
    network.set("in", Line(loss=loss, delay_ms=_DELAY_MS, seed=seed + 1000))
    await asyncio.sleep(_SETTLE_S)
    await look()
    before, began = network.counts(way)[0], now_ms()
    await asyncio.sleep(_SECONDS)
    seen = await look()
    fps = seen.intact / _SECONDS
    print(
        f"{loss:.0%} lost, seed {seed}: {fps:.1f} a second, {frozen_s(seen, began, now_ms()):.1f} s frozen,"
        f" {network.counts(way)[0] - before} packets, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return fps


def main() -> None:
    """Measure one way."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.baresip_loss", description=__doc__)
    parser.add_argument("way", choices=("from", "to"))
    parser.add_argument("height", type=int, nargs="?", choices=_SIZES, default=720)
    parser.add_argument("seeds", type=int, nargs="*", default=_SEEDS)
    options = parser.parse_args()
    size = _SIZES[options.height]
    ours, theirs = (_SMALL, size) if options.way == "from" else (size, _SMALL)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_measure(ours, theirs, options.seeds, Path(directory)))


if __name__ == "__main__":
    main()
