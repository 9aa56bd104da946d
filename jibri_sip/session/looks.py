"""One look at everything that the watch decides on."""

from typing import TYPE_CHECKING

from browser.errors import BrowserError, ChromeGone
from browser.state import PageState
from jibri_sip import log
from jibri_sip.session.facts import InMeeting
from jibri_sip.session.state import State
from jibri_sip.session.watch import Look

if TYPE_CHECKING:
    from jibri_sip.session.session import Parts, Session

_log = log.logger("session")


async def look(session: "Session", parts: "Parts") -> Look:
    """Look at the call, the page and the display.

    Raises:
        ChromeGone: Chrome died.
    """
    quality = session.quality
    streams = [stream for stream in (quality.audio, quality.video) if stream is not None]
    # A room may mute microphone and camera in its offer, and only look on.
    mute = bool(streams) and not any(stream.expected for stream in streams)
    seen = Look(
        on_hold=mute or session.standing.state is State.HELD,
        peer_packets=sum(stream.received.packets for stream in streams) if streams else None,
    )
    if session.room is None:
        return seen
    try:
        page = await parts.slot.browse(parts.slot.page.state)
    except ChromeGone:
        raise
    except BrowserError:
        return Look(on_hold=seen.on_hold, peer_packets=seen.peer_packets, page_answered=False)
    _note(session, page)
    received = (page.bitrates.audio_received, page.bitrates.video_received)
    return Look(
        on_hold=seen.on_hold,
        peer_packets=seen.peer_packets,
        page_phase=page.phase,
        page_answered=True,
        others=page.participants,
        ice=page.ice,
        server_silent_s=None if page.server_silent_ms is None else page.server_silent_ms / 1000,
        meeting_bps=None if received == (None, None) else 1000.0 * sum(rate or 0 for rate in received),
        somebody_unmuted=page.somebody_unmuted,
        video_moving=page.remote_video,
        screen_changes=parts.bridge.stats().to_sip.grabbed,
    )


def _note(session: "Session", page: PageState) -> None:
    """Keep how the room stands in the meeting, and tell when that has changed."""
    if page.phase != "joined":
        session.in_meeting = None
        return
    if page.played_anew > session.played_anew:
        _log.warning("sound_played_anew", reason="Chromium had given up its sound output", times=page.played_anew)
    session.played_anew = page.played_anew
    if page.opened_anew > session.opened_anew:
        _log.warning("device_opened_anew", reason="Chromium's microphone or camera had ended", times=page.opened_anew)
    session.opened_anew = page.opened_anew
    now = InMeeting(
        audio_muted=page.audio_muted,
        video_muted=page.video_muted,
        muted_by_meeting=page.muted_by_meeting,
        hand_raised=page.hand_raised,
    )
    if now != session.in_meeting:
        _log.info("standing_in_meeting", **now.model_dump())
    session.in_meeting = now
