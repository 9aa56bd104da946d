"""Why a session ended, said once and read by everyone who is told: SIP peer, API, log."""

from dataclasses import dataclass
from typing import Any

from jibri_sip.errors import GatewayError, Party, Scope


@dataclass(frozen=True)
class EndReason:
    """Why a session ended; made from the error (or the normal end) that ended it."""

    key: str
    text: str
    """For the peer: a sentence without details."""
    message: str
    """For the operator: with details."""
    remedy: str
    by: Party
    normal: bool
    scope: Scope
    sip_code: int
    """Final response to an INVITE that was not answered yet (RFC 3261 section 21), 4xx to 6xx."""
    http_status: int
    retryable: bool

    @classmethod
    def of(cls, error: GatewayError) -> "EndReason":
        """The reason that this error is."""
        return cls(
            key=error.key,
            text=error.sip_reason,
            message=error.message,
            remedy=error.remedy,
            by=error.by,
            normal=error.normal,
            scope=error.scope,
            sip_code=error.sip_code,
            http_status=error.http_status,
            retryable=error.retryable,
        )

    @property
    def bye_cause(self) -> int:
        """Cause for the Reason header field of a BYE: 200 for a normal end, else what a response would have said."""
        return 200 if self.normal else self.sip_code

    @property
    def mendable_elsewhere(self) -> bool:
        """Whether another instance may do better: what ails this box need not ail that one.

        Who is busy or declines is not to be rung by one after the other.
        """
        return self.by is not Party.PEER and (self.retryable or self.scope is Scope.BOX)

    def as_json(self) -> dict[str, Any]:
        """Facts for the API and the log."""
        return {
            "key": self.key,
            "message": self.message,
            "remedy": self.remedy,
            "by": self.by.value,
            "normal": self.normal,
            "scope": self.scope.value,
            "sip_code": self.sip_code,
            "retryable": self.retryable,
        }
