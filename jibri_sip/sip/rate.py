"""How many bits a second the picture may have: as many as the peer takes, fewer while the network loses or delays them.

Pure policy, without PJSIP and without a clock. Loss is answered as congestion control for RTP media commonly does (RFC
8698 and its like): a little is borne, much of it is taken back at once, and what was taken back comes slowly.
"""

from dataclasses import dataclass, replace
from typing import Literal

FLOOR_BPS = 128_000
"""Below this a picture is no use; a peer that takes less gets less."""

_LOSS_FINE = 0.02
"""Loss up to which more is tried: radio loses as much without being full."""
_LOSS_MUCH = 0.10
"""Loss from which on there is less."""
_RISE = 1.08
"""Per second: from a third back to all in a quarter of a minute."""
_REST_S = 3.0
"""After taking back, before more is tried."""
_DELAY_MS = 150.0
"""Round trip above the shortest one that tells of a queue on the way."""
_DELAY_CUT = 0.85
_SHORTEST_S = 30.0
"""How long the shortest round trip is remembered: routes change."""
_BITS = 8

HeldBy = Literal["nothing", "tmmbr", "loss", "delay"]


@dataclass(frozen=True)
class Report:
    """What is known of the last second or so.

    Attributes:
        at_s: when, in seconds of any steady clock.
        loss: share of packets lost on the way to the peer, 0 to 1, before anything was sent again.
        rtt_ms: round trip; None while unknown.
        packets_per_s: sent.
        tmmbr_bps: the peer's own limit, headers included (RFC 5104 section 4.2.1); None for none.
        tmmbr_overhead: bytes of headers that this counts for each packet.
    """

    at_s: float
    loss: float
    rtt_ms: float | None = None
    packets_per_s: float = 0.0
    tmmbr_bps: int | None = None
    tmmbr_overhead: int = 0


@dataclass(frozen=True)
class RateState:
    """How the picture's bitrate stands.

    Attributes:
        target_bps: what the encoder is told.
        limit_bps: the most that the configuration and the peer's SDP allow.
        held_by: what keeps the one below the other.
    """

    target_bps: int
    limit_bps: int
    held_by: HeldBy = "nothing"


class RateControl:
    """The bitrate of one stream.

    Args:
        limit_bps: the most that the configuration and the peer's SDP allow.
        start_bps: where to begin, at most that.
    """

    def __init__(self, limit_bps: int, start_bps: int) -> None:
        self.state = RateState(min(start_bps, limit_bps), limit_bps)
        self._rate = float(self.state.target_bps)
        self._seen_s: float | None = None
        self._cut_s = float("-inf")
        self._cut_by: HeldBy = "nothing"
        self._shortest: list[tuple[float, float]] = []

    def observe(self, report: Report) -> RateState:
        """Take a report in; returns how things stand then."""
        elapsed = 0.0 if self._seen_s is None else max(report.at_s - self._seen_s, 0.0)
        self._seen_s = report.at_s
        self._judge(report, elapsed)
        ceiling, held = self._ceiling(report)
        floor = min(FLOOR_BPS, ceiling)
        # What the peer itself allows is no reason to climb from the floor later.
        self._rate = min(max(self._rate, floor), self.state.limit_bps)
        target = int(min(self._rate, ceiling))
        if target < ceiling:
            held = self._cut_by
        self.state = replace(self.state, target_bps=target, held_by=held)
        return self.state

    def _judge(self, report: Report, elapsed: float) -> None:
        queued = self._is_queued(report)
        if report.loss > _LOSS_MUCH:
            self._cut(report.at_s, 1 - report.loss, "loss")
        elif queued:
            self._cut(report.at_s, _DELAY_CUT, "delay")
        elif report.loss <= _LOSS_FINE and report.at_s - self._cut_s >= _REST_S:
            self._rate *= _RISE**elapsed

    def _cut(self, at_s: float, factor: float, by: HeldBy) -> None:
        # From what was sent, not from what was allowed beside it.
        self._rate = min(self._rate, float(self.state.target_bps)) * factor
        self._cut_s, self._cut_by = at_s, by

    def _is_queued(self, report: Report) -> bool:
        if report.rtt_ms is None:
            return False
        self._shortest = [(at, rtt) for at, rtt in self._shortest if report.at_s - at < _SHORTEST_S]
        self._shortest.append((report.at_s, report.rtt_ms))
        return report.rtt_ms > min(rtt for _, rtt in self._shortest) + _DELAY_MS

    def _ceiling(self, report: Report) -> tuple[int, HeldBy]:
        limit = self.state.limit_bps
        if report.tmmbr_bps is None:
            return limit, "nothing"
        net = max(int(report.tmmbr_bps - report.packets_per_s * report.tmmbr_overhead * _BITS), 0)
        return (net, "tmmbr") if net < limit else (limit, "nothing")
