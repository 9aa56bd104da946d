"""The only place that asks what time it is; what decides on time takes it as an argument."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Gives seconds that only ever grow; the origin means nothing."""


def monotonic() -> float:
    """Seconds on the clock that never jumps (CLOCK_MONOTONIC), for durations and deadlines."""
    return time.monotonic()


def utc_now() -> datetime:
    """The wall clock, aware, in UTC: for people and records, never for durations."""
    return datetime.now(tz=UTC)  # noqa: TID251  (this is the clock)


def iso(moment: datetime) -> str:
    """RFC 3339 with milliseconds: `2026-11-22T16:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
