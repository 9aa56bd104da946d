"""The gateway's share of the delay, on the real gateway with its real Chrome.

    to_sip   Chrome paints a stamp ──► … ──► last RTP packet of the picture
    to_meet  last RTP packet of the picture ──► … ──► Chrome's camera track

with nobody else in the room; then, with a participant, tone bursts, from packet to packet:

    to_sip   the SFU hands on its first loud packet ──► Chrome ──► … ──► the first loud RTP packet to the peer
    to_meet  the peer's first loud RTP packet ──► … ──► Chrome ──► the first loud packet reaches the SFU
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import film
from tests.bench.probe import ProbedMeeting
from tests.bench.rtp_peer import RtpPeer, now_ms
from tests.meeting import EmbeddedMeeting, Participant
from tests.report import CpuMeter, Percentiles, Shares
from tests.running_gateway import READY_S, RunningGateway

_SECONDS = 12
_WARM_UP_S = 3
_SOUND_CALLS, _SOUND_SECONDS = 4, 6
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
        async with _peer(gateway, units) as peer:
            await asyncio.sleep(_WARM_UP_S)
            first = len(peer.received.latencies_ms)
            probed.seen.clear()
            async with CpuMeter(gateway.pid) as meter:
                await asyncio.sleep(_SECONDS)
            late, at = peer.received.latencies_ms[first:], peer.received.arrivals_ms[first:]
            camera, times = _camera_delays(probed.seen, peer.sent_ms)
        sound = await _time_bursts(meeting, gateway, units)
        await gateway.ready(READY_S)
    return OwnShare(Percentiles.of(late), _rate(at), Percentiles.of(camera), _rate(times), meter.cores(), *sound)


def _peer(gateway: RunningGateway, units: Sequence[bytes]) -> RtpPeer:
    return RtpPeer(gateway.sip_port, _ROOM, units, _FPS, say_hz=_PEER_HZ, listen_hz=_PARTICIPANT_HZ)


async def _time_bursts(
    meeting: EmbeddedMeeting, gateway: RunningGateway, units: Sequence[bytes]
) -> tuple[Percentiles, Percentiles]:
    """Let a participant with a small picture come in; delays to_sip and to_meet.

    In several calls: how a burst lies to the packets of 20 ms, the same for all of a call, makes 20 ms of difference.
    """
    to_sip: list[float] = []
    to_meet: list[float] = []
    async with Participant(
        meeting, _ROOM, tone_hz=_PARTICIPANT_HZ, width=320, height=184, fps=5, bursts=True
    ) as participant:
        for _ in range(_SOUND_CALLS):
            await gateway.ready(READY_S)
            async with _peer(gateway, units) as peer:
                await asyncio.sleep(_WARM_UP_S)
                began_ms = now_ms()
                await asyncio.sleep(_SOUND_SECONDS)
                passed = {
                    occupant.name == participant.name: [at_ms for at_ms in occupant.bursts_ms if at_ms > began_ms]
                    for occupant in await meeting.occupants(_ROOM)
                }
            heard = [at_ms for at_ms in peer.received.bursts_ms if at_ms > began_ms]
            to_sip += [at_ms - max(sent) for at_ms in heard if (sent := _before(at_ms, passed[True]))]
            # The peer sends the first packet of each burst at the full second.
            to_meet += [at_ms % 1000 for at_ms in passed[False]]
    return Percentiles.of(to_sip), Percentiles.of(to_meet)


def _before(at_ms: float, onsets_ms: Sequence[float]) -> list[float]:
    """Those of the last second before `at_ms`."""
    return [onset_ms for onset_ms in onsets_ms if 0 <= at_ms - onset_ms < 1000]


def _camera_delays(seen: list[tuple[int | None, float]], sent_ms: dict[int, float]) -> tuple[list[float], list[float]]:
    """Delays and times of the first sight of each picture."""
    first = {number: at_ms for number, at_ms in reversed(seen) if number is not None}
    found = sorted((at_ms, at_ms - sent_ms[number]) for number, at_ms in first.items() if number in sent_ms)
    return [delay for _, delay in found], [at_ms for at_ms, _ in found]


def _rate(times_ms: list[float]) -> float:
    if len(times_ms) < 2:
        return 0.0
    return round((len(times_ms) - 1) * 1000 / (times_ms[-1] - times_ms[0]), 1)
