"""What is asked of the gateway and what it tells about itself, as the API and the commands pass it on."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from jibri_sip.errors import GatewayError
from jibri_sip.session.state import State

_LONG = 4096  # whatever is longer than this is not worth being looked at


class _Order(BaseModel):
    """Something asked of the gateway: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    room: Annotated[str, Field(max_length=_LONG)] = Field(description="Name of the room, not encoded.")
    tenant: Annotated[str, Field(pattern=r"^[\w-]+([./][\w-]+)*$", max_length=200)] | None = Field(
        default=None, description="Another tenant than the configured one."
    )
    password: SecretStr | None = Field(default=None, description="Password of the room, should it be locked.")
    display_name: Annotated[str, Field(max_length=_LONG)] | None = Field(
        default=None, description="Name shown in the meeting; by default that of the far side."
    )


class DialOrder(_Order):
    """Join a room, then call a SIP address into it."""

    to: Annotated[str, Field(max_length=_LONG)] = Field(description="SIP address to call: `sip:user@host`.")


class PrepareOrder(_Order):
    """Send the next SIP call that comes in into a room, whatever address it dialled."""

    within_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=60.0, description="How long to expect the call, seconds."
    )


class _Facts(BaseModel):
    """Something the gateway tells."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(_Facts):
    """An error, as everyone outside the program gets to see it."""

    key: str = Field(description="Stable name, as in docs/errors.md.")
    message: str
    remedy: str = Field(description="What to do about it.")

    @classmethod
    def of(cls, error: GatewayError) -> "Problem":
        """The error's public face."""
        return cls(key=error.key, message=error.message, remedy=error.remedy)


class EndFacts(Problem):
    """Why a session ended."""

    by: Literal["peer", "meeting", "operator", "gateway"]
    normal: bool = Field(description="Whether it ended as sessions should.")
    scope: Literal["call", "box"] = Field(description="Whether only this call was concerned, or the box.")
    sip_code: int = Field(description="What the peer was told, had the call not been answered (RFC 3261).")
    retryable: bool = Field(description="Whether the same call may succeed later with nothing changed.")


class InMeeting(_Facts):
    """How the room system stands in the meeting, as of the last second."""

    audio_muted: bool = Field(description="The meeting does not hear it.")
    video_muted: bool = Field(description="The meeting does not see it.")
    muted_by_meeting: bool = Field(description="A moderator or the meeting's policy switched that off.")
    hand_raised: bool = Field(description="It asks for the floor.")


class SessionFacts(_Facts):
    """A session, present or past."""

    id: str
    direction: Literal["dial-in", "dial-out", "echo"]
    state: State
    room: str | None = Field(description="None for an echo call.")
    peer: str = Field(description="SIP address of the far end, without parameters.")
    peer_name: str = Field(default="", description="Display name of the far end.")
    call_id: str | None = Field(default=None, description="SIP Call-ID; None before there is a call.")
    started: str = Field(description="When it was asked for (RFC 3339, UTC).")
    talk_s: float = Field(default=0.0, description="Seconds that both sides were connected.")
    in_meeting: InMeeting | None = Field(default=None, description="None while it is in no meeting.")
    stages_ms: dict[str, float] = Field(default_factory=dict, description="Milliseconds until each stage.")
    end: EndFacts | None = Field(default=None, description="Why it ended; None while it lives.")
    quality: dict[str, Any] | None = Field(default=None, description="Media, both ways; None if not measured.")


View = Literal["display", "to_sip", "to_meet"]
"""A picture of the slot: what Chrome paints, what the peer is shown, what the meeting is shown."""


class SlotLook(_Facts):
    """What passes through the slot's devices now."""

    to_sip_peak: float = Field(description="Highest level of the meeting's sound over half a second, 0 to 1.")
    to_meet_peak: float = Field(description="The same of the peer's sound.")
    sound_clients: list[str] = Field(description="Programs that play or record on the slot's sound server.")
    windows: list[str] = Field(description="What lies on the display, lowest first: `name WIDTHxHEIGHT+X+Y`.")


class AccountFacts(_Facts):
    """The instance's account at a SIP provider."""

    address: str
    registered: bool | None = Field(
        description="Whether calls to it come here; null where it has no password, and is not registered anywhere."
    )
    answer: str = Field(description="The registrar's last answer; empty before there is one.")
    again_in_s: float | None = Field(default=None, description="When about the next attempt comes, if it failed.")


class StatusFacts(_Facts):
    """The gateway as a whole."""

    version: str
    instance: int
    slot: Literal["preparing", "idle", "busy", "failed", "expired"] = Field(
        description="Being made ready; ready for a call; in a call; not to be made ready until the problem is solved; "
        "single use, and used."
    )
    draining: bool = Field(default=False, description="Takes no new calls.")
    problem: Problem | None = Field(default=None, description="What keeps the slot from being ready.")
    sip: list[str] = Field(description="Where SIP is listened for: `udp:127.0.0.1:5060`.")
    account: AccountFacts | None = Field(default=None, description="`sip.account`; None where there is none.")
    meeting: str = Field(description="The deployment that rooms are on.")
    uptime_s: float
    session: SessionFacts | None = Field(default=None, description="The present call.")

    @property
    def ready(self) -> bool:
        """Whether a call that comes now would be taken."""
        return self.slot == "idle" and not self.draining
