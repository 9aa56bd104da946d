"""What every error of the gateway tells about itself.

An error classifies itself: what it means is data of its class, so that nobody far away has to switch on types.
Ends that are nobody's fault (the peer hung up, the meeting is over) are `CallEnded` errors, so that code which waits
for something can simply raise them; `session.reasons.EndReason` is made from any of them.
"""
# ruff: noqa: N818  (the name says what is wrong: PortInUse, RoomLocked; the module says that it is an error)

from enum import StrEnum
from typing import ClassVar


class Scope(StrEnum):
    """Whom an error concerns: only this call, or the box until somebody or something mends it."""

    CALL = "call"
    BOX = "box"


class Party(StrEnum):
    """Who ended a session."""

    PEER = "peer"
    MEETING = "meeting"
    OPERATOR = "operator"
    GATEWAY = "gateway"


class GatewayError(Exception):
    """Base of all errors that a user, a peer or an operator gets to see.

    Args:
        detail: What in particular (`udp 127.0.0.1:5060`); for logs and operators, never sent to a SIP peer.
        remedy: What to do about it, where the class cannot know.
    """

    key: ClassVar[str]
    """Stable name, lower-case with hyphens, the same in logs, API and documentation."""
    summary: ClassVar[str]
    """One sentence without a full stop, also the `text` of the Reason header field (RFC 3326)."""
    remedy: str = ""
    """What the operator can do, one sentence; on the class, or given to one error."""
    scope: ClassVar[Scope] = Scope.CALL
    by: ClassVar[Party] = Party.GATEWAY
    """Who ended the session when this is why it ended."""
    normal: ClassVar[bool] = False
    """Whether a session that ended so ended as sessions should."""
    sip_code: ClassVar[int] = 500
    """Final response to an INVITE not answered yet (RFC 3261 section 21)."""
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later or at another instance without anyone changing anything."""

    def __init__(self, detail: str = "", *, remedy: str | None = None) -> None:
        self.detail = detail
        if remedy is not None:
            self.remedy = remedy
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The summary, and the detail where there is one."""
        return f"{self.summary}: {self.detail}" if self.detail else self.summary

    @property
    def sip_reason(self) -> str:
        """Text for the peer's Reason header field: the summary alone, for details are none of its business."""
        return self.summary


class BoxError(GatewayError):
    """The box cannot take calls until this is mended: SIP 503, so that a proxy tries the next instance."""

    scope = Scope.BOX
    sip_code = 503
    http_status = 503


class CallEnded(GatewayError):
    """A session ended as sessions do: nobody has to act."""

    normal = True
    sip_code = 480
    http_status = 410
