"""What a peer saw: pictures, one by one, and what they add up to."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

FREEZE_MS = 200.0
"""A picture that stands longer is frozen."""
CORRUPT = 20
"""Error from which on a picture is damaged, not just coarse."""


@dataclass(frozen=True)
class Frame:
    """One picture, seen for the first time.

    Attributes:
        seen_ms: CLOCK_REALTIME.
        latency_ms: since it was stamped; None if its stamp could not be read.
        width: in pixels.
        height: in pixels.
        error: mean difference of the luma from what was sent, in the worst square below the stamp, 0 to 255;
            None as above, or where it is not known.
        counter: the number on the stamp; None as above.
    """

    seen_ms: float
    latency_ms: float | None
    width: int
    height: int
    error: int | None = None
    counter: int | None = None


@dataclass(frozen=True)
class Seen:
    """Pictures that arrived since the last report.

    Attributes:
        frames: different pictures; those without a readable stamp count each time.
        intact: those whose stamp could be read.
        last_counter: the number on the last stamp that could be read; None of none.
        corrupt: those whose stamp could not be read, or whose picture is not what was sent.
        fps: `frames` per second, from the first to the last.
        latency_ms_p50: median time from stamping to arrival; None of none.
        latency_ms_p95: 95th percentile.
        longest_gap_ms: longest time without a new picture.
        frozen_ms: all the time in which no picture with a stamp came for longer than FREEZE_MS.
        width: of the last picture in pixels; 0 of none.
        height: its height.
        first_ms: CLOCK_REALTIME of the first picture; None of none.
        first_intact_ms: CLOCK_REALTIME of the first with a stamp.
        last_intact_ms: CLOCK_REALTIME of the last with a stamp.
    """

    frames: int
    intact: int
    last_counter: int | None
    corrupt: int
    fps: float
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    longest_gap_ms: float
    frozen_ms: float
    width: int
    height: int
    first_ms: float | None
    first_intact_ms: float | None
    last_intact_ms: float | None


def add_up(frames: Sequence[Frame]) -> Seen:
    """The sum of `frames`, oldest first."""
    times = [frame.seen_ms for frame in frames]
    intact = [frame.seen_ms for frame in frames if frame.latency_ms is not None]
    latencies = sorted(frame.latency_ms for frame in frames if frame.latency_ms is not None)
    span = times[-1] - times[0] if times else 0.0
    return Seen(
        frames=len(frames),
        intact=len(latencies),
        last_counter=next((frame.counter for frame in reversed(frames) if frame.counter is not None), None),
        corrupt=sum(frame.latency_ms is None or (frame.error or 0) > CORRUPT for frame in frames),
        fps=round((len(frames) - 1) * 1000 / span, 2) if span else 0.0,
        latency_ms_p50=statistics.median(latencies) if latencies else None,
        latency_ms_p95=latencies[int(len(latencies) * 0.95)] if latencies else None,
        longest_gap_ms=max((after - before for before, after in itertools.pairwise(times)), default=0.0),
        frozen_ms=sum(gap for before, after in itertools.pairwise(intact) if (gap := after - before) > FREEZE_MS),
        width=frames[-1].width if frames else 0,
        height=frames[-1].height if frames else 0,
        first_ms=times[0] if times else None,
        first_intact_ms=intact[0] if intact else None,
        last_intact_ms=intact[-1] if intact else None,
    )
