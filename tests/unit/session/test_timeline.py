"""The timeline keeps the first time of each stage, and tells durations in milliseconds."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from jibri_sip.session.timeline import Stage, Timeline

STARTED = datetime(2026, 11, 22, 16, 0, 0, 123456, tzinfo=UTC)


@given(st.lists(st.tuples(st.sampled_from(Stage), st.floats(0, 1e6))))
def test_first_mark_stays(marks: list[tuple[Stage, float]]) -> None:
    """However often a stage is marked, the first time counts, and stages are told earliest first."""
    timeline = Timeline(STARTED, origin=0.0)
    first = {Stage.REQUESTED: 0.0}
    for stage, now in marks:
        assert timeline.mark(stage, now) == (stage not in first)
        first.setdefault(stage, now)
    told = timeline.stages_ms()
    assert told == {stage.value: round(now * 1000, 1) for stage, now in first.items()}
    assert list(told.values()) == sorted(told.values())


def test_talk_time() -> None:
    """Talk time runs from the bridging to the end, and is nothing for a call that never was bridged."""
    timeline = Timeline(STARTED, origin=10.0)
    assert timeline.talk_s(99.0) == 0.0
    timeline.mark(Stage.BRIDGED, 12.0)
    assert timeline.talk_s(15.0) == 3.0
    timeline.mark(Stage.ENDING, 20.0)
    assert timeline.talk_s(99.0) == 8.0
