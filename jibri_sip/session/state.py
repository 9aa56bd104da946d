"""The states of a session: one pure table, no I/O.

    requested -> preparing -> joining <-> ringing -> bridged <-> held
                 any of these -> ending -> ended(reason)

The state names what the session waits for. `joining` waits for the conference, whether the call is answered already
(a caller sees our "connecting" picture after some seconds) or not; `ringing` waits for the call alone: a called party
that rings, or an echo call that has no conference; `bridged` has both. A pair that the table does not hold is a
mistake of ours and raises; `ended` absorbs everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from jibri_sip.session.reasons import EndReason


class State(StrEnum):
    """Where a session stands."""

    REQUESTED = "requested"
    PREPARING = "preparing"
    JOINING = "joining"
    RINGING = "ringing"
    BRIDGED = "bridged"
    HELD = "held"
    ENDING = "ending"
    ENDED = "ended"


class Event(StrEnum):
    """What moves a session on."""

    ADMITTED = "admitted"
    """The slot is this session's."""
    JOIN = "join"
    """The page was told to join, or to join again."""
    RING = "ring"
    """Nothing is left to wait for but the answer to the call."""
    BRIDGED = "bridged"
    """The call is answered and the conference (if there is to be one) is joined."""
    HELD = "held"
    """The peer put the call on hold (RFC 3264 section 8.4)."""
    RESUMED = "resumed"
    END = "end"
    """Something ended the session: both legs are to be taken down."""
    ENDED = "ended"
    """Both legs are down and the slot was given back."""


_LIVE = (State.REQUESTED, State.PREPARING, State.JOINING, State.RINGING, State.BRIDGED, State.HELD)

TABLE: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.REQUESTED, Event.ADMITTED): State.PREPARING,
        (State.PREPARING, Event.JOIN): State.JOINING,
        (State.PREPARING, Event.RING): State.RINGING,
        (State.JOINING, Event.RING): State.RINGING,
        (State.JOINING, Event.BRIDGED): State.BRIDGED,
        (State.RINGING, Event.JOIN): State.JOINING,
        (State.RINGING, Event.BRIDGED): State.BRIDGED,
        (State.BRIDGED, Event.HELD): State.HELD,
        (State.HELD, Event.RESUMED): State.BRIDGED,
        **{(state, Event.END): State.ENDING for state in _LIVE},
        # A second reason to end comes while the first is being carried out: both sides hang up at once.
        (State.ENDING, Event.END): State.ENDING,
        (State.ENDING, Event.ENDED): State.ENDED,
        **{(State.ENDED, event): State.ENDED for event in Event},
    }
)


class UnknownTransition(Exception):  # noqa: N818  (says what is wrong, like its kin in jibri_sip.errors)
    """An event came in a state in which it means nothing: a mistake in the program."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"event {event.value!r} means nothing in state {state.value!r}")
        self.state = state
        self.event = event


def next_state(state: State, event: Event) -> State:
    """The state after this event.

    Raises:
        UnknownTransition: The table does not hold this pair.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        raise UnknownTransition(state, event) from None


@dataclass(frozen=True)
class Standing:
    """Where a session stands, and once it is ending, why; the first reason given stays."""

    state: State = State.REQUESTED
    reason: EndReason | None = None

    def after(self, event: Event, reason: EndReason | None = None) -> "Standing":
        """The standing after this event.

        Args:
            event: What happened.
            reason: Why, with `Event.END` and only then.

        Raises:
            UnknownTransition: The event means nothing in this state.
            ValueError: `Event.END` without a reason, or a reason without `Event.END`.
        """
        if (event is Event.END) != (reason is not None):
            raise ValueError("a reason comes with the event `end`, and only with it")
        return replace(self, state=next_state(self.state, event), reason=self.reason or reason)

    @property
    def live(self) -> bool:
        """Whether the session has not begun to end."""
        return self.state in _LIVE
