"""When a tone burst of a participant passes the SFU, read off the packets' audio levels (RFC 6464), undecoded."""

import struct
import time

_EXTENSION_ID = 1
"""Of `ssrc-audio-level` in what the SFU offers."""
_EXTENSION_BIT, _ONE_BYTE_PROFILE = 0x10, 0xBEDE
_FIRST_RTCP, _LAST_RTCP = 192, 223
_LOUD_DBOV = -40
_QUIET_MS = 300


def audio_level(packet: bytes) -> int | None:
    """The level that an RTP packet tells, 0 (loudest) to -127 dBov; None where it tells none (video, RTCP)."""
    if len(packet) < 16 or _FIRST_RTCP <= packet[1] <= _LAST_RTCP or not packet[0] & _EXTENSION_BIT:
        return None
    at = 12 + 4 * (packet[0] & 0x0F)
    profile, words = struct.unpack_from("!HH", packet, at)
    if profile != _ONE_BYTE_PROFILE:
        return None
    at, end = at + 4, at + 4 + 4 * words
    while at < end:
        number, size = packet[at] >> 4, (packet[at] & 0x0F) + 1
        if number == _EXTENSION_ID:
            return -(packet[at + 1] & 0x7F)
        at += 1 if number == 0 else 1 + size
    return None


class BurstWatch:
    """Notes when a participant's sound begins after a silence.

    Attributes:
        onsets_ms: CLOCK_REALTIME at which the first loud packet after 300 ms of silence passed, ms.
    """

    def __init__(self) -> None:
        self.onsets_ms: list[float] = []
        self._loud_ms = 0.0

    def packet(self, packet: bytes) -> None:
        """A packet passes now."""
        level = audio_level(packet)
        if level is None or level < _LOUD_DBOV:
            return
        now_ms = time.clock_gettime(time.CLOCK_REALTIME) * 1000
        if now_ms - self._loud_ms > _QUIET_MS:
            self.onsets_ms.append(now_ms)
        self._loud_ms = now_ms
