"""Whole calls: a SIP peer and a participant who see, hear and time each other through the gateway."""

import asyncio
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.meeting import EmbeddedMeeting, Participant
from tests.meeting.participant import ParticipantReport
from tests.peer.measured import MeasuredPeer
from tests.peer.seen import Seen
from tests.report import Audio, CpuMeter, Direction, Percentiles, Report, SetupTimes, Video
from tests.running_gateway import READY_S, RunningGateway

ROOM = "bench"
PARTICIPANT_HZ, PEER_HZ = 440, 660
_ARRIVE_S = 10
_POLL_S = 0.05
_WARM_UP_S = 6
_SECONDS = 20

Say = Callable[[str], None]


async def set_up(meeting: EmbeddedMeeting, log_file: Path, calls: int, say: Say) -> SetupTimes:
    """Medians over `calls` calls to a warm gateway; small pictures, since the far ends share the machine."""
    answered: list[float] = []
    to_meet: list[float] = []
    to_sip: list[float] = []
    async with (
        RunningGateway(meeting.base_url, log_file=log_file) as gateway,
        Participant(meeting, ROOM, width=640, height=360, fps=30) as participant,
        MeasuredPeer(width=640, height=360) as peer,
    ):
        for number in range(calls):
            await gateway.ready(READY_S)
            peer.forget_events()
            await peer.report()
            at_ms = (await peer.call(f"sip:{ROOM}@127.0.0.1:{gateway.sip_port}"))["at_ms"]
            answered.append((await peer.wait_up())["at_ms"] - at_ms)
            to_sip.append(await _first_at_peer(peer) - at_ms)
            to_meet.append(await _first_in_meeting(participant, at_ms) - at_ms)
            say(
                f"call {number + 1} of {calls}: 200 {answered[-1]:.0f}, picture {to_meet[-1]:.0f} / {to_sip[-1]:.0f} ms"
            )
            await peer.hangup()
            await peer.wait_over()
        await gateway.ready(READY_S)
    medians = (round(statistics.median(values), 1) for values in (answered, to_meet, to_sip))
    return SetupTimes(*medians)


async def _first_at_peer(peer: MeasuredPeer) -> float:
    """When the first stamped picture of the meeting came, CLOCK_REALTIME, ms."""
    async with asyncio.timeout(_ARRIVE_S):
        while True:
            first = (await peer.report()).video.first_intact_ms
            if first is not None:
                return first
            await asyncio.sleep(_POLL_S)


async def _first_in_meeting(participant: Participant, since_ms: float) -> float:
    """When the first stamped picture of the peer came, CLOCK_REALTIME, ms."""

    def first(report: ParticipantReport) -> float | None:
        return next((v.first_ms for v in report.video.values() if v.first_ms and v.first_ms > since_ms), None)

    report = await participant.wait_for(lambda r: first(r) is not None, "the peer's picture", _ARRIVE_S)
    found = first(report)
    assert found is not None
    return found


async def whole_way(meeting: EmbeddedMeeting, log_file: Path, report: Report, picture: tuple[int, int, int]) -> None:
    """One long call, 720p30 from the peer, `picture` (width, height, frames a second) from the participant.

    Fills in both directions, CPU and memory.
    """
    width, height, fps = picture
    async with (
        RunningGateway(meeting.base_url, log_file=log_file) as gateway,
        Participant(meeting, ROOM, width=width, height=height, fps=fps, bursts=True) as participant,
        MeasuredPeer() as peer,
    ):
        await peer.say(PEER_HZ, rhythm="bursts")
        await peer.call(f"sip:{ROOM}@127.0.0.1:{gateway.sip_port}")
        await peer.wait_up()
        await _first_at_peer(peer)
        await asyncio.sleep(_WARM_UP_S)
        await peer.time_bursts(PARTICIPANT_HZ)
        await peer.report()
        await participant.report(reset=True)
        async with CpuMeter(gateway.pid) as meter:
            await asyncio.sleep(_SECONDS)
        at_peer, in_meeting = await peer.report(), await participant.report()
        await peer.hangup()
        await peer.wait_over()
        await gateway.ready(READY_S)
    report.cpu_cores, report.rss_mib = meter.cores(), meter.rss_mib()
    sound, film = (str(stream["codec"]) for stream in at_peer.streams)
    report.to_sip = Direction(_picture_at_peer(at_peer.video, film), _sound_at_peer(at_peer.burst_delays_ms, sound))
    report.to_meet = Direction(_picture_in_meeting(in_meeting, film), _sound_in_meeting(in_meeting, sound))


def _picture_at_peer(seen: Seen, codec: str) -> Video:
    return Video(
        codec=codec,
        width=seen.width,
        height=seen.height,
        fps=seen.fps,
        intact=_share(seen.intact, seen.frames),
        latency_ms=Percentiles(seen.latency_ms_p50, seen.latency_ms_p95),
    )


def _picture_in_meeting(report: ParticipantReport, codec: str) -> Video:
    seen = next(iter(report.video.values()))
    return Video(
        codec=codec,
        width=seen.width,
        height=seen.height,
        fps=round(seen.fps, 2),
        intact=_share(seen.frames - seen.unreadable, seen.frames),
        latency_ms=Percentiles(seen.latency_p50_ms, seen.latency_p95_ms).rounded(),
    )


def _sound_at_peer(delays_ms: Sequence[float], codec: str) -> Audio:
    """Only bursts of the right tone are timed, so that one of them proves that it was heard."""
    return Audio(codec, bool(delays_ms), latency_ms=Percentiles.of(delays_ms))


def _sound_in_meeting(report: ParticipantReport, codec: str) -> Audio:
    delays = next(iter(report.bursts.values()))
    heard = any(PEER_HZ in first for first in report.first_heard_ms.values())
    latency = Percentiles(delays.latency_p50_ms, delays.latency_p95_ms).rounded()
    return Audio(codec, heard, latency_ms=latency)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
