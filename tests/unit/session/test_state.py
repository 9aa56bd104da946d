"""The table of session states: complete, without dead ends, and deaf once ended."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jibri_sip.errors import Kicked, PeerHungUp
from jibri_sip.session.reasons import EndReason
from jibri_sip.session.state import TABLE, Event, Standing, State, UnknownTransition, next_state

HUNG_UP = EndReason.of(PeerHungUp())
KICKED = EndReason.of(Kicked())


def step(standing: Standing, event: Event, reason: EndReason = HUNG_UP) -> Standing:
    """One event, with a reason where one belongs."""
    return standing.after(event, reason if event is Event.END else None)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair_is_decided(state: State, event: Event) -> None:
    """A pair of state and event either leads to a state by the table, or raises and names both."""
    if (state, event) in TABLE:
        assert next_state(state, event) is TABLE[state, event]
    else:
        with pytest.raises(UnknownTransition, match=f"{event.value}.*{state.value}"):
            next_state(state, event)


@given(st.lists(st.sampled_from(Event)))
def test_any_events_leave_a_legal_standing(events: list[Event]) -> None:
    """Whatever comes in whatever order, the session stands in a state, has a reason exactly if it ends, and can end."""
    standing = Standing()
    for event in events:
        with contextlib.suppress(UnknownTransition):
            standing = step(standing, event)
        assert (standing.reason is not None) == (standing.state in {State.ENDING, State.ENDED})
        assert standing.live == (standing.reason is None)
    if standing.live:
        standing = step(standing, Event.END)
    assert step(standing, Event.ENDED).state is State.ENDED


@given(st.lists(st.sampled_from(Event)))
def test_ended_absorbs(events: list[Event]) -> None:
    """Nothing moves an ended session, nor changes why it ended."""
    ended = step(step(Standing(), Event.END, KICKED), Event.ENDED)
    for event in events:
        assert step(ended, event) == ended


def test_first_reason_stays() -> None:
    """When both sides hang up at once, the first one is why the session ended."""
    standing = step(step(Standing(), Event.END, KICKED), Event.END, HUNG_UP)
    assert standing.reason == KICKED


def test_every_state_is_reached() -> None:
    """From the beginning, some events lead to each state."""
    reached = {State.REQUESTED}
    for _ in State:
        reached |= {after for (before, _), after in TABLE.items() if before in reached}
    assert reached == set(State)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([Event.ADMITTED, Event.JOIN, Event.BRIDGED, Event.HELD, Event.RESUMED], id="dial-in"),
        pytest.param([Event.ADMITTED, Event.JOIN, Event.RING, Event.BRIDGED], id="dial-out"),
        pytest.param([Event.ADMITTED, Event.JOIN, Event.RING, Event.JOIN, Event.RING, Event.BRIDGED], id="rejoin"),
        pytest.param([Event.ADMITTED, Event.RING, Event.BRIDGED], id="echo"),
    ],
)
def test_ways_to_be_bridged(events: list[Event]) -> None:
    """Each kind of session comes to be bridged by its events."""
    standing = Standing()
    for event in events:
        standing = standing.after(event)
    assert standing.state is State.BRIDGED


def test_reason_comes_with_the_end_only() -> None:
    """An end without a reason, or a reason without an end, is a mistake."""
    with pytest.raises(ValueError, match="reason"):
        Standing().after(Event.END)
    with pytest.raises(ValueError, match="reason"):
        Standing().after(Event.ADMITTED, HUNG_UP)
