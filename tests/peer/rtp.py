"""A UDP socket that speaks RTP (RFC 3550) as a test writes it, and keeps what comes."""

import asyncio
import contextlib
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Self

_HEADER = struct.Struct("!BBHII")
_VERSION = 0x80
_MARKER = 0x80
_BUFFER = 1 << 20
_RTCP = range(192, 224)
"""Packet types of RTCP, as they stand in the second octet (RFC 5761 section 4)."""


@dataclass(frozen=True)
class Packet:
    """What of an RTP packet matters here; without extension and CSRCs, as PJSIP sends them.

    Attributes:
        payload_type: its number.
        marker: the marker bit.
        sequence: number.
        timestamp: in units of the payload's clock.
        payload: what follows the header.
    """

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    payload: bytes

    @classmethod
    def parse(cls, data: bytes) -> "Packet":
        """Read one."""
        _, second, sequence, timestamp, _ = _HEADER.unpack_from(data)
        return cls(second & 0x7F, bool(second & _MARKER), sequence, timestamp, data[_HEADER.size :])


class RtpSocket(asyncio.DatagramProtocol):
    """One stream's socket; an async context manager.

    Args:
        host: address to bind, of either family.

    Attributes:
        port: where it listens.
        source: SSRC of what it sends.
        packets: RTP that came.
        reports: RTCP that came here (RFC 5761).
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.port = 0
        self.packets: list[Packet] = []
        self.reports: list[bytes] = []
        self._host = host
        self.source = secrets.randbits(32)
        self._sequence = 0
        self._came = asyncio.Event()
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> Self:
        """Open it."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._host, 0))
        # By default a second of a picture does not fit, and for so long we may not come to read.
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        self._transport.close()

    def datagram_received(self, data: bytes, _address: object) -> None:
        """Keep what comes."""
        if data[1] in _RTCP:
            self.reports.append(data)
        elif len(data) >= _HEADER.size:
            self.packets.append(Packet.parse(data))
            self._came.set()

    def send(self, port: int, payload_type: int, timestamp: int, payload: bytes, *, marker: bool = False) -> None:
        """Send a packet to a port of the same address."""
        second = payload_type | (_MARKER if marker else 0)
        head = _HEADER.pack(_VERSION, second, self._sequence & 0xFFFF, timestamp & 0xFFFFFFFF, self.source)
        self._sequence += 1
        self._transport.sendto(head + payload, (self._host, port))

    def report(self, port: int, compound: bytes) -> None:
        """Send RTCP to a port of the same address."""
        self._transport.sendto(compound, (self._host, port))

    async def receive(self, count: int, *, timeout_s: float = 15.0) -> list[Packet]:
        """Wait until `count` packets have come, and return all that came.

        Raises:
            TimeoutError: so many did not come in time.
        """
        async with asyncio.timeout(timeout_s):
            while len(self.packets) < count:
                self._came.clear()
                await self._came.wait()
        return list(self.packets)

    @contextlib.asynccontextmanager
    async def talking(
        self, port: int, payload_type: int, payloads: Sequence[bytes], step: int, every_s: float
    ) -> AsyncIterator[None]:
        """Send these payloads over and over while the body runs, their timestamps `step` apart."""

        async def talk() -> None:
            clock = asyncio.get_running_loop().time
            begun = clock()
            for n in range(1 << 30):
                self.send(port, payload_type, n * step, payloads[n % len(payloads)], marker=n == 0)
                # A late one is made up for: a slower talker would have gaps.
                await asyncio.sleep(begun + (n + 1) * every_s - clock())

        task = asyncio.create_task(talk())
        try:
            yield
        finally:
            task.cancel()
