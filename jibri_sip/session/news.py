"""What is told to those who were told of the start: how the instance and its session stand, exactly once each time."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from jibri_sip.errors import GatewayError
from jibri_sip.session.facts import SessionFacts
from jibri_sip.session.orders import ServiceOrder
from jibri_sip.session.reasons import EndReason
from jibri_sip.session.timeline import Stage


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

    @property
    def failure(self) -> EndReason | None:
        """Why it is to be told as failed; None where it is not, or has not ended.

        An end that is nobody's fault counts, too, where the call was not answered yet and another instance can make it:
        the gateway shuts down.
        """
        reason = self.reason
        if reason is None or (reason.normal and (not reason.retryable or Stage.ANSWERED in self.session.stages_ms)):
            return None
        return reason

    @property
    def should_retry(self) -> bool:
        """Whether another instance is to try."""
        failure = self.failure
        return failure is not None and failure.mendable_elsewhere


class Observer(Protocol):
    """Somebody to be told. Called in the event loop; must return at once and not raise."""

    def instance_changed(self, news: InstanceNews) -> None:
        """The instance stands otherwise than before."""
        ...

    def session_changed(self, news: SessionNews) -> None:
        """Something happened to a session."""
        ...
