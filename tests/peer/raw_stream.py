"""The raw caller over a connection: TCP or TLS."""

import asyncio
import re
import ssl
from typing import Self

from tests.peer.raw import RawCaller, spelled_out


class RawStreamCaller(RawCaller):
    """A connection of its own, and the few header fields of one dialog; an async context manager.

    Args:
        port: where to call, on loopback.
        tls: speak TLS with this context; None for TCP.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(port)
        self.protocol = "TCP" if tls is None else "TLS"
        self.closed = asyncio.Event()
        self._tls = tls
        self._writer: asyncio.StreamWriter
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        """Connect."""
        reader, self._writer = await asyncio.open_connection(*self.target, ssl=self._tls)
        self.local = "{}:{}".format(*self._writer.get_extra_info("sockname"))
        self._reading = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        self._writer.close()
        await self._reading

    def send(self, message: str) -> None:
        """Send a message as it is, lines ended by CRLF."""
        self._writer.write(message.encode())

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self.received.put_nowait(spelled_out(head.lstrip() + body.decode()))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            self.closed.set()
