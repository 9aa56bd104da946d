"""A wire between two programs that can be cut, or fall silent."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

_CHUNK = 65536


class Wire:
    """A TCP proxy on loopback; an async context manager.

    Args:
        target: port that it leads to.

    Attributes:
        port: where it listens.
        connections: how many were made so far.
        sent: what came from those who connected.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.connections = 0
        self.sent = bytearray()
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._works = asyncio.Event()
        self._works.set()
        self._away = False

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        assert self._server
        self._server.close()
        self._works.set()
        self.cut()

    def cut(self) -> None:
        """Reset all connections; new ones can be made."""
        for writer in list(self._writers):
            writer.transport.abort()

    def silence(self) -> None:
        """Pass nothing on any more, nor tell anybody."""
        self._works.clear()

    def take_away(self) -> None:
        """Reset all connections, and those that are made from now on."""
        self._away = True
        self.cut()

    def mend(self) -> None:
        """Pass on again."""
        self._away = False
        self._works.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._away:
            writer.transport.abort()
            return
        try:
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, onward}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pass(reader, onward, self.sent), self._pass(onward_reader, writer))
        self._writers -= {writer, onward}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, copy: bytearray | None = None
    ) -> None:
        try:
            while data := await reader.read(_CHUNK):
                if copy is not None:
                    copy += data
                await self._works.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
