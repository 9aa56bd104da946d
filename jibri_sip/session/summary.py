"""What there is to say about a session: the one line of the log, and the API's JSON."""

from typing import TYPE_CHECKING, Any

from jibri_sip.clock import iso, monotonic
from jibri_sip.session.facts import EndFacts, SessionFacts
from jibri_sip.sip.quality import StreamStats

if TYPE_CHECKING:
    from jibri_sip.session.session import Session


def _stream(stream: StreamStats | None) -> dict[str, Any] | None:
    if stream is None:
        return None
    rate = stream.rate
    return {
        "codec": stream.codec,
        "width": stream.width or None,
        "height": stream.height or None,
        "rtt_ms": stream.rtt_ms,
        "sent_packets": stream.sent.packets,
        "sent_lost": stream.sent.lost,
        "sent_repaired": stream.sent.repaired,
        "sent_width": stream.sent_width or None,
        "sent_height": stream.sent_height or None,
        "sent_target_bps": rate.target_bps if rate else None,
        "sent_limit_bps": rate.limit_bps if rate else None,
        "sent_held_by": rate.held_by if rate else None,
        "received_packets": stream.received.packets,
        "received_lost": stream.received.lost,
        "received_repaired": stream.received.repaired,
        "received_jitter_ms": stream.received.jitter_ms,
    }


def facts(session: "Session") -> dict[str, Any]:
    """Who, when, how long, why it ended, what quality; flat, for the log."""
    reason = session.standing.reason
    line: dict[str, Any] = {
        "direction": session.direction,
        "peer": session.peer,
        "room": session.room,
        "started": iso(session.timeline.started),
        "talk_s": session.timeline.talk_s(monotonic()),
        "end": reason.key if reason else None,
        "end_by": reason.by.value if reason else None,
        "end_text": reason.message if reason else None,
    }
    for media, stream in (("audio", session.quality.audio), ("video", session.quality.video)):
        if stream is not None:
            line[f"{media}_codec"] = stream.codec
            line[f"{media}_received_lost"] = stream.received.lost
            line[f"{media}_sent_lost"] = stream.sent.lost
            line[f"{media}_rtt_ms"] = stream.rtt_ms
    if session.quality.video is not None:
        line["video_received_repaired"] = session.quality.video.received.repaired
        line["video_sent_repaired"] = session.quality.video.sent.repaired
        rate = session.quality.video.rate
        line["video_sent_target_bps"] = rate.target_bps if rate else None
        line["video_sent_held_by"] = rate.held_by if rate else None
    return line


def session_facts(session: "Session") -> SessionFacts:
    """The session for the API."""
    reason = session.standing.reason
    quality = {"audio": _stream(session.quality.audio), "video": _stream(session.quality.video)}
    if quality["video"] is not None:
        quality["video"]["fps"] = session.received_fps
    return SessionFacts(
        id=session.id,
        direction=session.direction,
        state=session.standing.state,
        room=session.room,
        peer=session.peer,
        peer_name=session.call.remote_name if session.call else "",
        call_id=session.call.sip_call_id if session.call else None,
        started=iso(session.timeline.started),
        talk_s=session.timeline.talk_s(monotonic()),
        in_meeting=session.in_meeting if session.standing.live else None,
        stages_ms=dict(session.timeline.stages_ms()),
        end=EndFacts.model_validate(reason.as_json()) if reason else None,
        quality=quality if any(quality.values()) else None,
    )
