"""The gateway's share of the delay, on the real gateway with its real Chrome.

    to_sip   Chrome paints a stamp ──► … ──► last RTP packet of the picture
    to_meet  last RTP packet of the picture ──► … ──► Chrome's camera track

with nobody else in the room; then, with a participant, tone bursts:

    to_sip   a participant sounds it ──► WebRTC ──► Chrome ──► … ──► RTP packet
    to_meet  RTP packet ──► … ──► Chrome ──► WebRTC ──► a participant hears it
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tests.bench import film
from tests.bench.probe import ProbedMeeting
from tests.bench.rtp_peer import RtpPeer
from tests.meeting import EmbeddedMeeting, Participant
from tests.report import CpuMeter, Percentiles, Shares
from tests.running_gateway import READY_S, RunningGateway

_SECONDS = 12
_WARM_UP_S = 3
_FPS = 30
_BITRATE = 1_500_000
_ROOM = "probe"
_PARTICIPANT_HZ, _PEER_HZ = 440, 660


@dataclass(frozen=True)
class OwnShare:
    """What was found; frames a second are different pictures at the gateway's own devices."""

    to_sip_ms: Percentiles
    to_sip_fps: float
    to_meet_ms: Percentiles
    to_meet_fps: float
    cpu_cores: Shares
    sound_to_sip_ms: Percentiles
    sound_to_meet_ms: Percentiles


async def measure(meeting: EmbeddedMeeting, log_file: Path) -> OwnShare:
    """Make the call."""
    units = await asyncio.to_thread(lambda: list(film.encode(1280, 720, _FPS, _SECONDS + _WARM_UP_S + 2, _BITRATE)))
    async with ProbedMeeting(meeting.base_url) as probed, RunningGateway(probed.base_url, log_file=log_file) as gateway:
        tones = {"say_hz": _PEER_HZ, "listen_hz": _PARTICIPANT_HZ}
        async with RtpPeer(gateway.sip_port, _ROOM, units, _FPS, **tones) as peer:
            await asyncio.sleep(_WARM_UP_S)
            first = len(peer.received.latencies_ms)
            probed.seen.clear()
            async with CpuMeter(gateway.pid) as meter:
                await asyncio.sleep(_SECONDS)
            late, at = peer.received.latencies_ms[first:], peer.received.arrivals_ms[first:]
            camera, times = _camera_delays(probed.seen, peer.sent_ms)
            sound = await _time_bursts(meeting, peer)
        await gateway.ready(READY_S)
    return OwnShare(Percentiles.of(late), _rate(at), Percentiles.of(camera), _rate(times), meter.cores(), *sound)


async def _time_bursts(meeting: EmbeddedMeeting, peer: RtpPeer) -> tuple[Percentiles, Percentiles]:
    """Let a participant with a small picture come in; delays to_sip and to_meet."""
    async with Participant(
        meeting, _ROOM, tone_hz=_PARTICIPANT_HZ, width=320, height=184, fps=5, bursts=True
    ) as participant:
        await asyncio.sleep(_WARM_UP_S)
        await participant.report(reset=True)
        peer.received.bursts_ms.clear()
        await asyncio.sleep(_SECONDS)
        heard = next(iter((await participant.report()).bursts.values()))
    to_meet = Percentiles(heard.latency_p50_ms, heard.latency_p95_ms).rounded()
    return Percentiles.of(peer.received.bursts_ms), to_meet


def _camera_delays(seen: list[tuple[int | None, float]], sent_ms: dict[int, float]) -> tuple[list[float], list[float]]:
    """Delays and times of the first sight of each picture."""
    first = {number: at_ms for number, at_ms in reversed(seen) if number is not None}
    found = sorted((at_ms, at_ms - sent_ms[number]) for number, at_ms in first.items() if number in sent_ms)
    return [delay for _, delay in found], [at_ms for at_ms, _ in found]


def _rate(times_ms: list[float]) -> float:
    if len(times_ms) < 2:
        return 0.0
    return round((len(times_ms) - 1) * 1000 / (times_ms[-1] - times_ms[0]), 1)
