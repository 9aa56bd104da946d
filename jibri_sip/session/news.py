"""What is told to those who were told of the start: how the instance and its session stand, exactly once each time."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from jibri_sip.errors import GatewayError
from jibri_sip.session.facts import SessionFacts
from jibri_sip.session.orders import ServiceOrder
from jibri_sip.session.reasons import EndReason


class Availability(StrEnum):
    """Whether a session would be taken now."""

    IDLE = "idle"
    BUSY = "busy"
    """In a session, being made ready for the next, or taking none any more."""
    EXPIRED = "expired"
    """Single use, and used."""


@dataclass(frozen=True)
class InstanceNews:
    """How the instance stands.

    Attributes:
        availability: Whether it takes a session.
        problem: What keeps the box from working until it is mended; None when healthy.
    """

    availability: Availability
    problem: GatewayError | None = None

    @property
    def healthy(self) -> bool:
        """Whether the box works."""
        return self.problem is None


class Happening(StrEnum):
    """What a session is told about."""

    REQUESTED = "requested"
    STARTED = "started"
    """The meeting is joined, and the INVITE is out or a call is waited for: what Jibri calls running."""
    ANSWERED = "answered"
    """The call is up."""
    ENDED = "ended"
    """The last word, once for every session that was requested."""


@dataclass(frozen=True)
class SessionNews:
    """Something happened to a session.

    Attributes:
        happening: What.
        session: The session as it is now.
        order: What it was ordered with; None for a session that nobody ordered over Jibri's protocols.
        reason: Why it ended, with `ENDED` and only then.
    """

    happening: Happening
    session: SessionFacts
    order: ServiceOrder | None = None
    reason: EndReason | None = None


class Observer(Protocol):
    """Somebody to be told. Called in the event loop; must return at once and not raise."""

    def instance_changed(self, news: InstanceNews) -> None:
        """The instance stands otherwise than before."""
        ...

    def session_changed(self, news: SessionNews) -> None:
        """Something happened to a session."""
        ...
