"""What a lossy line does to the picture: with NACK, with a peer that has none, and between two PJSIPs without us.

Each pair has a call both ways, 720p30 or a quarter of it, over a line with 40 ms of round trip (tests/peer/lossy.py)
that is made worse step by step; both directions are measured at once, at the SIP endpoint with test devices.
Two pairs of PJSIPs are without us: as scripts/build-pjproject makes it, so with scripts/patches, but without
jibri_sip/sip/native; and 2.17 as it comes (`--stock`), compiled once, with the same config_site.h. The latter
shows damaged pictures, too: clean is what is near to what was sent in all of it, not in its stamp alone. Where the
bitrate has been cut, coarse pictures count as damaged: there the stamps are what counts.
"""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from jibri_sip.sip.call import Call
from jibri_sip.sip.endpoint import Endpoint
from jibri_sip.sip.settings import Picture, SipSettings
from tests.peer import devices, gateway_devices
from tests.peer.lossy import Line, LossyNetwork
from tests.peer.measured import MeasuredPeer
from tests.peer.other_pjsip import PEER_NATIVES, Tree, pjsip, tree_for
from tests.peer.seen import FREEZE_MS, Seen

Say = Callable[[str], None]
Look = Callable[[], Awaitable[Seen]]

SHARES = (0.0, 0.01, 0.03, 0.05, 0.10)
BURST = 4.0
"""Mean length of a bursty loss, packets."""
_DELAY_MS = 20.0
_OUTAGE_S = 0.3
_OUTAGES = 4
_SETTLE_S = 1.5
_WINDOW_S = 8.0
_RECOVERY_S = 2.5
_START_S = 3.0
FULL = Picture()
SMALL = Picture(640, 360, 30, 1_000_000)
"""For a machine that is not quiet: packets are lost all the same, and it takes a quarter of the CPU."""
_MTUS = (576, 1280, 1380, 1412)
_MTU_S = 6.0


@dataclass
class Direction:
    """One way of a pair, at one loss.

    Attributes:
        clean_fps: pictures a second without damage.
        intact_fps: those whose stamp could be read.
        shown_fps: all that were shown.
        frozen_s: time without an intact picture, where it was longer than FREEZE_MS.
        latency_ms_p50: from stamping to the render device.
        latency_ms_p95: the same.
        added_ms: by how much the median is above that of the same pair without loss.
    """

    clean_fps: float
    intact_fps: float
    shown_fps: float
    frozen_s: float
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    added_ms: float | None = None


@dataclass
class Cell:
    """A pair at one loss: share, mean burst (0 for random), and each way; load is the machine's when it ended."""

    loss: float
    burst: float
    load: float
    ways: dict[str, Direction]


@dataclass
class PairReport:
    """One pair. `recovery_ms`: from the end of an outage of 300 ms to the next intact picture, each time, by way."""

    cells: list[Cell] = field(default_factory=list)
    recovery_ms: dict[str, list[float | None]] = field(default_factory=dict)
    feedback: dict[str, Any] = field(default_factory=dict)


@dataclass
class Pair:
    """A call over the line.

    Attributes:
        network: the line.
        looks: by way, what arrived since the look before.
        call: ours, where there is one.
    """

    network: LossyNetwork
    looks: Mapping[str, Look]
    call: Call | None


async def _seen_here() -> Seen:
    return devices.seen()


def _at_peer(peer: MeasuredPeer) -> Look:
    async def look() -> Seen:
        return (await peer.report()).video

    return look


@asynccontextmanager
async def gateway(picture: Picture) -> AsyncIterator[Endpoint]:
    """The gateway's SIP endpoint, with test devices."""
    endpoint = Endpoint(SipSettings(port=0, picture=picture), gateway_devices.register, lambda _: None)
    try:
        await endpoint.start()
        yield endpoint
    finally:
        await endpoint.close()


def _peer(
    picture: Picture, *, nack: bool = False, network: LossyNetwork | None = None, tree: Tree | None = None
) -> MeasuredPeer:
    return MeasuredPeer(
        width=picture.width,
        height=picture.height,
        fps=picture.fps,
        bitrate=picture.bitrate,
        nack=nack,
        network=network,
        tree=tree,
    )


@asynccontextmanager
async def _ours(directory: Path, picture: Picture, *, nack: bool) -> AsyncIterator[Pair]:
    network = LossyNetwork(directory / "network")
    async with gateway(picture) as endpoint, _peer(picture, nack=nack, network=network) as peer:
        call = await endpoint.dial(f"{peer.uri};transport=udp")
        await peer.wait_up()
        yield Pair(network, {"to_sip": _at_peer(peer), "to_meet": _seen_here}, call)
        await call.hangup()


@asynccontextmanager
async def _alone(directory: Path, picture: Picture, tree: Tree | None = None) -> AsyncIterator[Pair]:
    network = LossyNetwork(directory / "network")
    async with _peer(picture, network=network, tree=tree) as callee, _peer(picture, tree=tree) as caller:
        await caller.call(f"{callee.uri};transport=udp")
        await caller.wait_up()
        yield Pair(network, {"to_sip": _at_peer(callee), "to_meet": _at_peer(caller)}, None)
        await caller.hangup()


def _lines(network: LossyNetwork, loss: float, burst: float, seed: int) -> None:
    network.set("out", Line(loss=loss, burst=burst, delay_ms=_DELAY_MS, seed=seed))
    network.set("in", Line(loss=loss, burst=burst, delay_ms=_DELAY_MS, seed=seed + 1000))


def frozen_s(seen: Seen, began_ms: float, ended_ms: float) -> float:
    """Seconds without an intact picture, where that was longer than FREEZE_MS; with the edges of the window."""
    first, last = seen.first_intact_ms or ended_ms, seen.last_intact_ms or ended_ms
    edges = [gap for gap in (first - began_ms, ended_ms - last) if gap > FREEZE_MS]
    return (seen.frozen_ms + sum(edges)) / 1000


def now_ms() -> float:
    """CLOCK_REALTIME."""
    return time.clock_gettime(time.CLOCK_REALTIME) * 1000


async def _cell(pair: Pair, loss: float, burst: float, seed: int) -> Cell:
    _lines(pair.network, 0.0, 0.0, seed)
    await asyncio.sleep(_SETTLE_S)
    _lines(pair.network, loss, burst, seed)
    for look in pair.looks.values():
        await look()
    began = now_ms()
    await asyncio.sleep(_WINDOW_S)
    ways = {}
    for way, look in pair.looks.items():
        seen, ended = await look(), now_ms()
        ways[way] = Direction(
            clean_fps=round((seen.frames - seen.corrupt) * 1000 / (ended - began), 1),
            intact_fps=round(seen.intact * 1000 / (ended - began), 1),
            shown_fps=round(seen.frames * 1000 / (ended - began), 1),
            frozen_s=round(frozen_s(seen, began, ended), 1),
            latency_ms_p50=seen.latency_ms_p50,
            latency_ms_p95=seen.latency_ms_p95,
        )
    return Cell(loss, burst, round(os.getloadavg()[0], 1), ways)


async def _outage(pair: Pair) -> dict[str, float | None]:
    _lines(pair.network, 0.0, 0.0, 1)
    pair.network.cut(off=True)
    await asyncio.sleep(_OUTAGE_S)
    for look in pair.looks.values():
        await look()
    pair.network.cut(off=False)
    over = now_ms()
    await asyncio.sleep(_RECOVERY_S)
    first = {way: (await look()).first_intact_ms for way, look in pair.looks.items()}
    return {way: None if at is None else round(at - over) for way, at in first.items()}


def _steps() -> Iterator[tuple[float, float]]:
    yield from ((share, 0.0) for share in SHARES)
    yield from ((share, BURST) for share in SHARES[1:])


def _add_latency(cells: list[Cell]) -> None:
    base = cells[0].ways
    for cell in cells:
        for way, direction in cell.ways.items():
            before, now = base[way].latency_ms_p50, direction.latency_ms_p50
            direction.added_ms = None if before is None or now is None else round(now - before, 1)


async def _measure_pair(pair: Pair) -> PairReport:
    report = PairReport()
    _lines(pair.network, 0.0, 0.0, 1)
    await asyncio.sleep(_START_S)
    for number, (loss, burst) in enumerate(_steps()):
        report.cells.append(await _cell(pair, loss, burst, 10 + number))
    _add_latency(report.cells)
    outages = [await _outage(pair) for _ in range(_OUTAGES)]
    report.recovery_ms = {way: [outage[way] for outage in outages] for way in pair.looks}
    if pair.call is not None and (feedback := await pair.call.feedback()) is not None:
        report.feedback = asdict(feedback)
    return report


def _stock(directory: Path) -> Tree:
    return tree_for(pjsip("stock"), directory.absolute() / "stock", PEER_NATIVES)


async def measure(directory: Path, say: Say, picture: Picture) -> dict[str, Any]:
    """All pairs in turn, then what the size of packets costs.

    Args:
        directory: for files of its own.
        say: told what is done.
        picture: of both sides.
    """
    stock = await asyncio.to_thread(_stock, directory)
    pairs = {
        "ours, peer with NACK": _ours(directory, picture, nack=True),
        "ours, peer without": _ours(directory, picture, nack=False),
        "PJSIP with our patches, both sides": _alone(directory, picture),
        "PJSIP as it comes, both sides": _alone(directory, picture, stock),
    }
    found: dict[str, Any] = {"pairs": {}, "packets": []}
    for name, opened in pairs.items():
        say(f"loss: {name}")
        async with opened as pair:
            found["pairs"][name] = asdict(await _measure_pair(pair))
    say("size of packets")
    for mtu in _MTUS:
        found["packets"].append(await _packets(replace(picture, mtu=mtu)))
    return found


async def _packets(picture: Picture) -> dict[str, float]:
    """A call without loss, its packets no larger than this: their rate, bits with IP headers, CPU of this process."""
    process = psutil.Process()
    async with gateway(picture) as endpoint, MeasuredPeer(width=320, height=180, fps=5) as peer:
        call = await endpoint.dial(f"{peer.uri};transport=udp")
        await peer.wait_up()
        await asyncio.sleep(_START_S)
        before, cpu, at = (await call.stats()).video, sum(process.cpu_times()[:2]), time.monotonic()
        await peer.report()
        await asyncio.sleep(_MTU_S)
        after, took = (await call.stats()).video, time.monotonic() - at
        assert before is not None
        assert after is not None
        seen = (await peer.report()).video
        packets = after.sent.packets - before.sent.packets
        octets = after.sent.octets - before.sent.octets + packets * 40
        used = sum(process.cpu_times()[:2]) - cpu
        await call.hangup()
    return {
        "mtu": picture.mtu,
        "packets_per_s": round(packets / took),
        "kbps": round(octets * 8 / took / 1000),
        "headers_share": round(packets * 40 / octets, 3),
        "intact_fps": round(seen.intact / took, 1),
        "cpu_cores": round(used / took, 3),
    }


def rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A line for each pair and loss: the pair, the loss, and each way."""
    for name, pair in found["pairs"].items():
        for cell in pair["cells"]:
            burst = f", bursts of {cell['burst']:g}" if cell["burst"] else ""
            ways = (
                f"{way['intact_fps']:g} ({way['clean_fps']:g}) / {way['frozen_s']:g} s / {_signed(way['added_ms'])}"
                for way in cell["ways"].values()
            )
            yield (name, f"{cell['loss']:.0%}{burst}", *ways)
        medians = (_median(values) for values in pair["recovery_ms"].values())
        yield (name, "outage of 300 ms, back after", *medians)


def packet_rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A line for each size of packets."""
    for row in found["packets"]:
        yield tuple(f"{value:g}" for value in row.values())


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.0f} ms"


def _median(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    text = f"{statistics.median(known):.0f} ms" if known else "never"
    return text + (f" ({len(values) - len(known)} of {len(values)} not in time)" if len(known) < len(values) else "")
