"""A picture's stream on bare sockets: RTP as a test sends it, and RTCP feedback (RFC 4585, RFC 5104) both ways."""

import asyncio
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

OWN_SOURCE = 0x53535243
PAYLOAD_TYPE = 97
RTPFB, PSFB = 205, 206
NACK, TMMBR, TMMBN = 1, 3, 4
PLI, FIR = 1, 4
_FROM_1900_S = 2_208_988_800
_POLL_S = 0.005
_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Feedback:
    """A feedback packet of a compound.

    Attributes:
        kind: RTPFB or PSFB, and the format.
        sender: SSRC of who sent it.
        media: SSRC of the stream that it is about.
        entries: what follows.
        at: when it came, seconds of the loop's clock.
    """

    kind: tuple[int, int]
    sender: int
    media: int
    entries: bytes
    at: float

    @property
    def sequences(self) -> list[int]:
        """What a generic NACK asks for."""
        found = []
        for first, more in struct.iter_unpack("!HH", self.entries):
            found += [first, *(first + 1 + bit & 0xFFFF for bit in range(16) if more >> bit & 1)]
        return found


def feedback(kind: int, fmt: int, media: int, entries: bytes = b"", sender: int = OWN_SOURCE) -> bytes:
    """A compound of an empty receiver report and this feedback."""
    report = struct.pack("!BBHI", 0x80, 201, 1, sender)
    head = struct.pack("!BBHII", 0x80 | fmt, kind, 2 + len(entries) // 4, sender, media)
    return report + head + entries


def report(media: int, loss: float, highest: int, sender: int = OWN_SOURCE) -> bytes:
    """A receiver report (RFC 3550 section 6.4.2): this share was lost, the last that came had the number `highest`."""
    head = struct.pack("!BBHI", 0x81, 201, 7, sender)
    return head + struct.pack("!IIIIII", media, int(loss * 256) << 24, highest & 0xFFFF, 0, 0, 0)


def sender_report(sender: int, wallclock_s: float, timestamp: int) -> bytes:
    """A sender report without blocks (RFC 3550 section 6.4.1): media of this timestamp is of that CLOCK_REALTIME."""
    ntp = int((wallclock_s + _FROM_1900_S) * (1 << 32))
    return struct.pack("!BBHIQIII", 0x80, 200, 6, sender, ntp, timestamp & 0xFFFFFFFF, 0, 0)


def nack(media: int, *sequences: int) -> bytes:
    """Ask for packets."""
    return feedback(RTPFB, NACK, media, b"".join(struct.pack("!HH", number & 0xFFFF, 0) for number in sequences))


def fir(media: int, number: int, sender: int = OWN_SOURCE) -> bytes:
    """Ask for a keyframe."""
    return feedback(PSFB, FIR, 0, struct.pack("!IBxxx", media, number), sender)


def tmmbr(media: int, exponent: int, mantissa: int, overhead: int, sender: int = OWN_SOURCE) -> bytes:
    """Ask for no more than mantissa * 2 ** exponent bit/s."""
    return feedback(RTPFB, TMMBR, 0, struct.pack("!II", media, exponent << 26 | mantissa << 9 | overhead), sender)


def _parts(compound: bytes) -> Iterator[bytes]:
    while len(compound) >= 4:
        size = (int.from_bytes(compound[2:4], "big") + 1) * 4
        yield compound[:size]
        compound = compound[size:]


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, _address: object) -> None:
        self._take(data)


class Wire:
    """RTP and RTCP sockets for one picture; an async context manager.

    Args:
        mux: have both on one port (RFC 5761).
        profile: of its media section.
        h264: the parameters of H.264 that it says.

    Attributes:
        packets: RTP packets that came.
        fed_back: feedback that came.
        compounds: RTCP compounds that came.
        remote: RTP port of the other side; RTCP is one above. To be set before anything is sent.
    """

    def __init__(
        self,
        *,
        mux: bool = False,
        profile: str = "RTP/AVP",
        h264: str = "profile-level-id=42e01f;packetization-mode=1",
    ) -> None:
        self._mux = mux
        self._h264 = h264
        self._profile = profile
        self.packets: list[bytes] = []
        self.fed_back: list[Feedback] = []
        self.compounds: list[bytes] = []
        self.remote = 0
        self._transports: list[asyncio.DatagramTransport] = []

    async def __aenter__(self) -> Self:
        """Open the sockets."""
        for take in (self._take, self._take_rtcp):
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                partial(_Socket, take), local_addr=("127.0.0.1", 0)
            )
            self._transports.append(transport)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close them."""
        for transport in self._transports:
            transport.close()

    def media(self, *kinds: str) -> str:
        """A media section for these kinds of feedback."""
        port, rtcp = (transport.get_extra_info("sockname")[1] for transport in self._transports)
        lines = [
            f"m=video {port} {self._profile} {PAYLOAD_TYPE}",
            *(["a=rtcp-mux"] if self._mux else [f"a=rtcp:{rtcp}"]),
            f"a=rtpmap:{PAYLOAD_TYPE} H264/90000",
            f"a=fmtp:{PAYLOAD_TYPE} {self._h264}",
            *(f"a=rtcp-fb:{PAYLOAD_TYPE} {kind}" for kind in kinds),
        ]
        return "\n".join(lines) + "\n"

    @property
    def source(self) -> int:
        """SSRC of the other side's stream, once a packet of it came."""
        return int.from_bytes(self.packets[0][8:12], "big")

    def send(
        self, number: int, payload: bytes = b"\x41" + bytes(20), *, picture: int | None = None, last: bool = True
    ) -> None:
        """An RTP packet with this sequence number; each is a picture of its own, unless `picture` numbers pictures."""
        at = (number if picture is None else picture) * 3000 & 0xFFFFFFFF
        second = PAYLOAD_TYPE | (0x80 if last else 0)
        head = struct.pack("!BBHII", 0x80, second, number & 0xFFFF, at, OWN_SOURCE)
        self._transports[0].sendto(head + payload, ("127.0.0.1", self.remote))

    def feed_back(self, compound: bytes) -> None:
        """Send RTCP."""
        other = 0 if self._mux else 1
        self._transports[other].sendto(compound, ("127.0.0.1", self.remote + other))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to have come.

        Raises:
            TimeoutError: it did not, in 15 s.
        """
        async with asyncio.timeout(_TIMEOUT_S):
            while not condition():  # noqa: ASYNC110  (nobody can tell us)
                await asyncio.sleep(_POLL_S)

    def of_kind(self, kind: int, fmt: int) -> Sequence[Feedback]:
        """The feedback of this kind that came."""
        return [one for one in self.fed_back if one.kind == (kind, fmt)]

    def _take(self, data: bytes) -> None:
        if self._mux and 192 <= data[1] <= 223:
            self._take_rtcp(data)
        else:
            self.packets.append(data)

    def _take_rtcp(self, data: bytes) -> None:
        self.compounds.append(data)
        now = asyncio.get_running_loop().time()
        for part in _parts(data):
            if part[1] in (RTPFB, PSFB):
                sender, media = struct.unpack_from("!II", part, 4)
                self.fed_back.append(Feedback((part[1], part[0] & 0x1F), sender, media, part[12:], now))


def is_keyframe(packet: bytes) -> bool:
    """Whether a packet, as PJSIP sends it, begins a keyframe: parameter sets or an IDR slice (RFC 6184 section 5.2)."""
    kind = packet[12] & 0x1F
    if kind == 28:
        return packet[13] & 0x80 != 0 and packet[13] & 0x1F in (5, 7)
    return (packet[15] & 0x1F if kind == 24 else kind) in (5, 7)
