"""A bad network around a peer's program: RTP and RTCP lost, delayed, repeated (native/lossy.c, by LD_PRELOAD)."""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LIBRARY = Path(__file__).parent / "native" / "lossy.so"

Way = Literal["out", "in"]
_PLACES: dict[Way, int] = {"out": 0, "in": 1}
_WAY = struct.Struct("@dddddQQQQQQ")
_OUTAGE_AT = struct.calcsize("@dddddQ")
_COUNTS = struct.Struct("@QQ")
_COUNTS_AT = struct.calcsize("@dddddQQ")
_MUTE_AT = struct.calcsize("@dddddQQQQ")
_STALL_AT = struct.calcsize("@dddddQQQQQ")


@dataclass(frozen=True)
class Line:
    """One direction.

    Attributes:
        loss: share of packets lost, 0 to 1.
        burst: mean length of a loss, in packets; 0 for losses that know nothing of each other.
        delay_ms: time on the way, at least.
        jitter_ms: what it takes longer, at most; packets stay in order.
        repeat: share of packets that come twice, 0 to 1.
        seed: of what is lost; the same seed loses the same packets.
    """

    loss: float = 0.0
    burst: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    repeat: float = 0.0
    seed: int = 1

    def packed(self) -> bytes:
        """As native/lossy.c reads it: Gilbert's model."""
        to_good = 1 / self.burst if self.burst else 1 - self.loss
        to_bad = self.loss * to_good / (1 - self.loss)
        return _WAY.pack(to_bad, to_good, self.delay_ms, self.jitter_ms, self.repeat, self.seed, 0, 0, 0, 0, 0)


class LossyNetwork:
    """The network of one program; `environment` puts it there.

    Args:
        control: a file of its own, which is made.
    """

    def __init__(self, control: Path) -> None:
        control.write_bytes(Line().packed() * len(_PLACES))
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(LIBRARY), "LOSSY_CONTROL": str(control.absolute())}
        with control.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def set(self, way: Way, line: Line) -> None:
        """Have a direction be like this from now on, counters at zero: `out` of the program, or `in`."""
        start = _PLACES[way] * _WAY.size
        self._memory[start : start + _WAY.size] = line.packed()

    def cut(self, *, off: bool) -> None:
        """Lose everything, both ways, or no longer so."""
        for place in _PLACES.values():
            struct.pack_into("@Q", self._memory, place * _WAY.size + _OUTAGE_AT, int(off))

    def mute_handshake(self, *, off: bool) -> None:
        """Lose what comes of the DTLS handshake of RTP, while that of RTCP goes on; or no longer so."""
        struct.pack_into("@Q", self._memory, _PLACES["in"] * _WAY.size + _MUTE_AT, int(off))

    def stall_handshake(self, seconds: float) -> None:
        """As a DTLS server, be so long about sending its flight again; the client's answer comes meanwhile, once."""
        struct.pack_into("@Q", self._memory, _PLACES["in"] * _WAY.size + _STALL_AT, round(seconds * 1000))

    def counts(self, way: Way) -> tuple[int, int]:
        """Packets that passed, and that were lost."""
        passed, lost = _COUNTS.unpack_from(self._memory, _PLACES[way] * _WAY.size + _COUNTS_AT)
        return passed, lost
