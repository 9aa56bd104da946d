"""When a session has to end: pure decisions over what was seen and since when; the time is passed in.

`observe` folds each look at the call, the page and the display into `Seen`; `decide` says whether that is a reason to
end. That everyone is muted is none unless a limit was set, nor is a call on hold, nor a picture that stands still
because nothing moves.
"""

from dataclasses import dataclass, replace

from jibri_sip.config.model import LimitSettings
from jibri_sip.errors import (
    AllMuted,
    AloneTooLong,
    BrowserHung,
    IceFailed,
    Kicked,
    MaxDuration,
    MeetingEnded,
    MeetingLost,
    NoMedia,
    PeerHungUp,
    PictureFrozen,
)
from jibri_sip.session.reasons import EndReason


@dataclass(frozen=True)
class Look:
    """One look at everything. None means: not measured this time, or there is no such thing (an echo call has no page).

    Attributes:
        peer_hung_up: The peer sent BYE.
        on_hold: The peer holds the call, or said that it sends nothing, so that no media is to be expected of it.
        peer_packets: RTP and RTCP packets received from the peer since the call began.
        page_phase: `joined`, `kicked`, `ended`, `left`, `failed`, or another one while it tries to come back.
        page_answered: The page answered this look.
        others: Participants besides us.
        ice: State of the media connection to the bridge: `new`, `connected`, `interrupted` or `failed`.
        server_silent_s: Since the deployment's server was last heard; it is asked every ten seconds.
        meeting_bps: What the page receives from the meeting, bit/s.
        somebody_unmuted: Somebody besides us has microphone or camera on, so that media is to be expected.
        video_moving: The page has shown new pictures of somebody's video since the last look.
        screen_changes: Changes of the display since it was started.
    """

    peer_hung_up: bool = False
    on_hold: bool = False
    peer_packets: int | None = None
    page_phase: str | None = None
    page_answered: bool | None = None
    others: int | None = None
    ice: str | None = None
    server_silent_s: float | None = None
    meeting_bps: float | None = None
    somebody_unmuted: bool | None = None
    video_moving: bool | None = None
    screen_changes: int | None = None


@dataclass(frozen=True)
class Seen:
    """What the looks so far add up to: since when (monotonic seconds) each trouble lasts; None where there is none."""

    started_at: float
    last: Look = Look()
    alone_since: float | None = None
    muted_since: float | None = None
    peer_silent_since: float | None = None
    meeting_silent_since: float | None = None
    ice_down_since: float | None = None
    page_silent_since: float | None = None
    away_since: float | None = None
    frozen_since: float | None = None


def _since(before: float | None, now: float, trouble: bool | None) -> float | None:
    """Since when the trouble lasts, after a look at `now` that found it, found it gone, or could not tell (None)."""
    if trouble is None:
        return before
    if not trouble:
        return None
    return now if before is None else before


def observe(seen: Seen, look: Look, now: float) -> Seen:
    """What is known after this look."""
    return replace(
        seen,
        last=look,
        alone_since=_since(seen.alone_since, now, None if look.others is None else look.others == 0),
        muted_since=_since(seen.muted_since, now, _all_muted(look)),
        peer_silent_since=_since(seen.peer_silent_since, now, _peer_silent(seen.last, look)),
        meeting_silent_since=_since(seen.meeting_silent_since, now, _meeting_silent(look)),
        ice_down_since=_since(seen.ice_down_since, now, _ice_down(look)),
        page_silent_since=_since(
            seen.page_silent_since, now, None if look.page_answered is None else not look.page_answered
        ),
        away_since=_since(seen.away_since, now, None if look.page_phase is None else look.page_phase != "joined"),
        frozen_since=_since(seen.frozen_since, now, _frozen(seen.last, look)),
    )


def _peer_silent(before: Look, look: Look) -> bool | None:
    if look.on_hold:
        return False
    if look.peer_packets is None:
        return None
    return look.peer_packets <= (before.peer_packets or 0)


def _meeting_silent(look: Look) -> bool | None:
    if look.others == 0 or look.somebody_unmuted is False:
        return False
    if look.meeting_bps is None or look.somebody_unmuted is None:
        return None
    return look.meeting_bps <= 0


def _all_muted(look: Look) -> bool | None:
    # Nobody is not everybody: being alone has a limit of its own.
    if look.others == 0:
        return False
    return None if look.somebody_unmuted is None else not look.somebody_unmuted


def _ice_down(look: Look) -> bool | None:
    # Alone in a room there is no media connection: nobody to have one with.
    if look.ice is None or look.others is None:
        return None
    return look.others > 0 and look.ice != "connected"


def _frozen(before: Look, look: Look) -> bool | None:
    if look.video_moving is False:
        return False
    if look.video_moving is None or look.screen_changes is None or before.screen_changes is None:
        return None
    return look.screen_changes == before.screen_changes


_PHASES = {"kicked": Kicked, "ended": MeetingEnded, "left": MeetingLost, "failed": MeetingLost}


def decide(seen: Seen, limits: LimitSettings, now: float) -> EndReason | None:
    """Why the session has to end now; None as long as it may go on.

    Args:
        seen: What the looks add up to.
        limits: How long each trouble may last; 0 in those that may be switched off means for ever.
        now: Monotonic seconds.
    """
    if seen.last.peer_hung_up:
        return EndReason.of(PeerHungUp())
    if seen.last.page_phase in _PHASES:
        return EndReason.of(_PHASES[seen.last.page_phase]())
    if (seen.last.server_silent_s or 0) >= limits.server_timeout_s:
        return EndReason.of(MeetingLost(f"its server is silent for {seen.last.server_silent_s:.0f} s"))
    troubles = (
        (seen.page_silent_since, limits.browser_timeout_s, BrowserHung),
        (seen.away_since, limits.join_timeout_s, MeetingLost),
        (seen.ice_down_since, limits.ice_timeout_s, IceFailed),
        (seen.peer_silent_since, limits.no_media_timeout_s, NoMedia),
        (seen.meeting_silent_since, limits.no_media_timeout_s, NoMedia),
        (seen.frozen_since, limits.frozen_timeout_s, PictureFrozen),
        (seen.muted_since, limits.all_muted_timeout_s, AllMuted),
        (seen.alone_since, limits.alone_timeout_s, AloneTooLong),
        (seen.started_at, limits.max_duration_s, MaxDuration),
    )
    for since, limit_s, error in troubles:
        if since is not None and limit_s > 0 and now - since >= limit_s:
            return EndReason.of(error(f"for {now - since:.0f} s"))
    return None
