"""What the far sides of the demo's call got, and whether anything is missing."""

from collections.abc import Mapping
from typing import Any

from tests.meeting import ParticipantReport
from tests.peer.baresip import BaresipReport
from tests.report import Audio, Direction, Percentiles, Report, Video

MIN_FPS = 5.0
"""Fewer pictures a second are no moving picture, however loaded the machine is."""
MIN_TONE = 0.5
"""Share of the time in which a tone is there, for sound to count as arrived, however loaded the machine is."""


def seen_by_baresip(report: BaresipReport, session: Mapping[str, Any], tone_hz: float) -> Direction:
    """What baresip drew on its display and decoded from the sound."""
    seen = report.video
    return Direction(
        video=Video(
            codec=_codec(session, "video"),
            width=seen.width or None,
            height=seen.height or None,
            fps=seen.fps,
            intact=round(seen.intact / seen.frames, 3) if seen.frames else None,
            latency_ms=Percentiles(_rounded(seen.latency_ms_p50), _rounded(seen.latency_ms_p95)),
        ),
        audio=_audio(session, report.heard[tone_hz]),
    )


def seen_by_participant(report: ParticipantReport, session: Mapping[str, Any], name: str, tone_hz: int) -> Direction:
    """What the other participant's browser got from the gateway.

    There is no latency: baresip plays a film, whose stamps tell when it was made.
    """
    seen, heard = report.video.get(name), report.heard.get(name, {})
    video = Video(codec=_codec(session, "video"))
    if seen is not None:
        video = Video(
            codec=_codec(session, "video"),
            width=seen.width,
            height=seen.height,
            fps=round(seen.fps, 1),
            intact=round(1 - seen.unreadable / seen.frames, 3) if seen.frames else None,
        )
    return Direction(video, _audio(session, heard.get(tone_hz, 0.0)))


def missing(report: Report) -> list[str]:
    """What did not arrive, and what came instead."""
    lacking = []
    for where, direction in (("to the meeting", report.to_meet), ("to the SIP peer", report.to_sip)):
        for what, instead in (("moving picture", _instead(direction.video)), ("sound", _silence(direction.audio))):
            if instead:
                lacking.append(f"{what} {where}: {instead}")
    return lacking


def _instead(video: Video) -> str:
    """What there was in place of a moving picture; empty where there was one."""
    if video.codec is None:
        return "no video was agreed on"
    if not video.fps:
        return f"{video.codec} was agreed on, and not one picture was seen"
    return "" if video.fps >= MIN_FPS else f"{video.fps} pictures a second were seen"


def _silence(audio: Audio) -> str:
    """What there was in place of the tone; empty where it was heard."""
    if audio.codec is None:
        return "no audio was agreed on"
    if audio.tone_heard:
        return ""
    return f"{audio.codec} was agreed on, and the tone was heard {audio.tone_share:.0%} of the time"


def _audio(session: Mapping[str, Any], share: float) -> Audio:
    return Audio(codec=_codec(session, "audio"), tone_heard=share >= MIN_TONE, tone_share=round(share, 3))


def _codec(session: Mapping[str, Any], media: str) -> str | None:
    stream = (session.get("quality") or {}).get(media)
    return stream["codec"] if stream else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
