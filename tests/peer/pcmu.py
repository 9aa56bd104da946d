"""An RTP socket that speaks PCMU (RFC 3551) from wherever a test wants it to."""

import asyncio
import socket
from typing import Self


class PcmuSocket(asyncio.DatagramProtocol):
    """Sends silence, counts what it hears; an async context manager.

    Attributes:
        heard: the packets that came.
        number: sequence number of the last packet sent.
    """

    def __init__(self, host: str, sock: socket.socket | None = None) -> None:
        self._sock = sock
        self.heard: list[bytes] = []
        self._host = host
        self.number = 0
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> Self:
        """Open the socket."""
        loop = asyncio.get_running_loop()
        where = None if self._sock is not None else (self._host, 0)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=where, sock=self._sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        self._transport.close()

    @property
    def port(self) -> int:
        """Its port."""
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def datagram_received(self, data: bytes, _address: object) -> None:
        """Keep what comes."""
        self.heard.append(data)

    async def send(
        self,
        port: int,
        packets: int,
        *,
        every_s: float = 0.01,
        ssrc: bytes = b"SSRC",
        payload_type: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        """Send that many packets of 20 ms to a port of that host; of another payload type, they are of no use."""
        for _ in range(packets):
            self.number += 1
            header = (
                bytes([0x80, payload_type])
                + self.number.to_bytes(2, "big")
                + (160 * self.number).to_bytes(4, "big")
                + ssrc
            )
            self._transport.sendto(header + b"\xff" * 160, (host, port))
            await asyncio.sleep(every_s)
