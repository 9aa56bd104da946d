"""What happens to a call, as told to whoever listens to `Call.events`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from jibri_sip.sip.call import Call


@dataclass(frozen=True)
class Ringing:
    """The peer that we call gave a provisional answer (RFC 3261 section 21.1); 180 is a ringing phone."""

    code: int
    reason: str


@dataclass(frozen=True)
class Answered:
    """The call is set up: the ACK has gone or come."""


@dataclass(frozen=True)
class MediaUp:
    """Media was agreed on, at first or anew; says what flows in at least one direction.

    Attributes:
        audio: sound.
        video: picture.
        seen: whether the peer sends its picture; it may mute its camera, and go on looking.
    """

    audio: bool
    video: bool
    seen: bool = field(default=True, compare=False)


@dataclass(frozen=True)
class Held:
    """The peer put the call on hold (RFC 3264 section 8.4)."""


@dataclass(frozen=True)
class Resumed:
    """The peer took the call back."""


@dataclass(frozen=True)
class Dtmf:
    """The peer pressed a key: `0`-`9`, `*`, `#`, `A`-`D` (RFC 4733 or SIP INFO)."""

    digit: str


@dataclass(frozen=True)
class HandedOn:
    """Another call is to take this one's place (RFC 3515, RFC 3891), once it is up; until then this one goes on.

    Attributes:
        call: that call.
    """

    call: "Call"


@dataclass(frozen=True)
class Ended:
    """The call is over; nothing follows.

    Attributes:
        code: SIP status: of the final response to the INVITE, 487 for a cancelled one, 200 for a call that was up.
        reason: the phrase that came with it.
        by_peer: whether the peer's message ended it, not ours, a timer or the network.
        answered: whether the call had been up.
        certificate: what was wrong with the peer's TLS certificate, if we refused that; else empty.
    """

    code: int
    reason: str
    by_peer: bool
    answered: bool
    certificate: str = ""


CallEvent: TypeAlias = Ringing | Answered | MediaUp | Held | Resumed | Dtmf | HandedOn | Ended
