"""What the agent says of the page, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

from browser.errors import JOIN_KINDS, JoinFailed, JoinKind

Phase = Literal[
    "blank",
    "loading",
    "prejoin",
    "joining",
    "lobby",
    "password",
    "joined",
    "reconnecting",
    "left",
    "kicked",
    "ended",
    "failed",
]
Ice = Literal["new", "connected", "interrupted", "failed"]

PHASES: frozenset[str] = frozenset(get_args(Phase))
ICE_STATES: frozenset[str] = frozenset(get_args(Ice))
# From these the page comes back by itself, after a meeting was joined.
_ON_THE_WAY: frozenset[Phase] = frozenset({"loading", "prejoin", "joining"})


@dataclass(frozen=True)
class Bitrates:
    """The page's own figures of what it sends and receives, kbit/s; None while it has none."""

    audio_sent: int | None = None
    audio_received: int | None = None
    video_sent: int | None = None
    video_received: int | None = None


@dataclass(frozen=True)
class PageState:
    """The page at one moment.

    Attributes:
        phase: Where the page is on its way into the meeting, in it, or out of it. `reconnecting`: it had
            joined, and loads or joins anew. `lobby` is also the wait for a host.
        kind: Why, for `failed`, `password` and `kicked`: a kind of `JoinFailed`.
        error: The reason in words (the page's, never a secret).
        load_error: Why the page did not load (`ERR_…`, `HTTP 502`, …).
        participants: Others in the room, without ourselves and without hidden ones.
        ice: The media connection to the meeting.
        server_silent_ms: Since the deployment's XMPP server was last heard; None where the page does not tell.
        somebody_unmuted: Somebody else has microphone or camera on, so that media is to be expected; telephones,
            of which that is not known, do not count.
        audio_muted: We send no sound.
        video_muted: We send no picture.
        muted_by_meeting: It was not we who switched off sound or picture, but a moderator or the meeting's policy.
        hand_raised: We ask for the floor.
        remote_video: A picture of somebody else was drawn within the last second.
        remote_frames: Pictures of others drawn since the page was loaded.
        played_anew: Sounds of others that Chrome had given up, and were attached anew, since the page was loaded.
        opened_anew: Microphones and cameras that had ended, and were opened anew, since the page was loaded.
        bitrates: What the page sends and receives.
        age_ms: Since the agent last looked at the page, milliseconds; it looks ten times a second in a
            page that is alive.
    """

    phase: Phase
    kind: str | None = None
    error: str | None = None
    load_error: str | None = None
    participants: int = 0
    ice: Ice = "new"
    somebody_unmuted: bool = False
    audio_muted: bool = True
    video_muted: bool = True
    muted_by_meeting: bool = False
    hand_raised: bool = False
    remote_video: bool = False
    remote_frames: int = 0
    played_anew: int = 0
    opened_anew: int = 0
    bitrates: Bitrates = field(default_factory=Bitrates)
    age_ms: int = 0
    server_silent_ms: int | None = None


def read_state(report: Mapping[str, Any] | None, visit_id: str | None, *, has_been_in: bool) -> PageState:
    """Return the state that an agent's report means.

    Args:
        report: What the agent's `state` verb returned; None when the document has no agent (yet).
        visit_id: The visit that the page was sent on; None on the blank page.
        has_been_in: The meeting of this visit was joined before.

    Raises:
        ValueError: The report is not one of our agent's.
    """
    if visit_id is None:
        return PageState(phase="blank" if report is not None else "loading")
    if report is None or report.get("visit") not in {None, visit_id}:
        state = PageState(phase="loading")
    else:
        state = _from_report(report)
    if has_been_in and state.phase in _ON_THE_WAY:
        return replace(state, phase="reconnecting")
    return state


def _from_report(report: Mapping[str, Any]) -> PageState:
    phase, ice = report["phase"], report["ice"]
    if phase not in PHASES or ice not in ICE_STATES:
        raise ValueError(f"unknown phase {phase!r} or ice {ice!r}")
    return PageState(
        phase="loading" if phase == "blank" else phase,
        kind=report["kind"],
        error=report["error"],
        load_error=report["loadError"],
        participants=int(report["participants"]),
        ice=ice,
        somebody_unmuted=bool(report["somebodyUnmuted"]),
        audio_muted=bool(report["audioMuted"]),
        video_muted=bool(report["videoMuted"]),
        muted_by_meeting=bool(report["mutedByMeeting"]),
        hand_raised=bool(report["handRaised"]),
        remote_video=bool(report["remoteVideo"]),
        remote_frames=int(report["remoteFrames"]),
        played_anew=int(report["playedAnew"]),
        opened_anew=int(report["openedAnew"]),
        bitrates=Bitrates(*(None if rate is None else round(rate) for rate in report["bitrates"])),
        age_ms=int(report["ageMs"]),
        server_silent_ms=None if report["serverSilentMs"] is None else int(report["serverSilentMs"]),
    )


_MESSAGES: Mapping[str, str] = {
    "authentication-required": "the deployment wants a login",
    "connection": "the page could not connect to the meeting",
    "ended": "the meeting ended",
    "kicked": "a moderator removed us",
    "left": "the page left the meeting by itself",
    "lobby-denied": "a moderator did not let us in",
    "name-required": "the room wants a display name",
    "not-allowed": "the deployment does not let us in",
    "password-required": "the room wants a password",
    "password-wrong": "the room's password is wrong",
    "room-full": "the room is full",
}


def join_failure(state: PageState) -> JoinFailed | None:
    """Return why the state means that joining has failed; None while it may still succeed."""
    if state.phase in {"kicked", "ended", "left"}:
        kind: str = state.phase
    elif state.phase in {"failed", "password"}:
        kind = state.kind or "connection"
    else:
        return None
    if kind not in JOIN_KINDS:
        kind = "connection"
    message = _MESSAGES.get(kind, kind)
    return JoinFailed(cast("JoinKind", kind), f"{message} ({state.error})" if state.error else message)
