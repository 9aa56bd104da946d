"""What happened when in a session: the first time of each stage, in milliseconds since the request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Stage(StrEnum):
    """Moments worth knowing; each is marked once, the first time."""

    REQUESTED = "requested"
    """The INVITE came in, or the API was asked to dial."""
    INVITE_SENT = "invite_sent"
    RINGING = "ringing"
    """180 sent (dial-in) or received (dial-out)."""
    PAGE_LOADED = "page_loaded"
    LOBBY = "lobby"
    JOINED = "joined"
    ANSWERED = "answered"
    """200 sent (dial-in) or received (dial-out)."""
    MEDIA_UP = "media_up"
    """The media streams of the call run."""
    TO_SIP_FIRST_FRAME = "to_sip_first_frame"
    """The first live picture of the meeting, not one of our own, went to the peer."""
    TO_MEET_FIRST_FRAME = "to_meet_first_frame"
    """The first live picture of the peer went to the camera."""
    BRIDGED = "bridged"
    ENDING = "ending"
    ENDED = "ended"


@dataclass
class Timeline:
    """The stages of one session.

    Attributes:
        started: The wall clock at the request.
        origin: The monotonic clock at the request, in seconds.
    """

    started: datetime
    origin: float
    _seconds: dict[Stage, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.mark(Stage.REQUESTED, self.origin)

    def mark(self, stage: Stage, now: float) -> bool:
        """Note that this stage was reached at `now` (monotonic seconds); True the first time, and only that is kept."""
        if stage in self._seconds:
            return False
        self._seconds[stage] = now - self.origin
        return True

    def reached(self, stage: Stage) -> bool:
        """Whether this stage was reached."""
        return stage in self._seconds

    def talk_s(self, now: float) -> float:
        """Seconds from the bridging to the end, or to `now` (monotonic) while the session lives; 0 if never bridged."""
        if Stage.BRIDGED not in self._seconds:
            return 0.0
        end = self._seconds.get(Stage.ENDING, now - self.origin)
        return round(max(0.0, end - self._seconds[Stage.BRIDGED]), 1)

    def stages_ms(self) -> Mapping[str, float]:
        """Milliseconds since the request for every stage reached, earliest first."""
        ordered = sorted(self._seconds.items(), key=lambda item: item[1])
        return {stage.value: round(seconds * 1000, 1) for stage, seconds in ordered}
