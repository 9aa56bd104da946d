"""The clock: what only grows, and what people read."""

from datetime import UTC, datetime, timedelta, timezone

from jibri_sip.clock import iso, monotonic, utc_now


def test_iso() -> None:
    """A moment is written in UTC, whatever its zone, to the millisecond."""
    moment = datetime(2026, 11, 22, 21, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5)))
    assert iso(moment) == "2026-11-22T16:00:00.123Z"


def test_clocks() -> None:
    """The one clock never goes back, the other knows its zone."""
    assert monotonic() <= monotonic()
    assert utc_now().tzinfo is UTC
