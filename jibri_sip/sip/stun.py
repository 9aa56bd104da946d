"""The address that others see us at, behind a router: asked of a STUN server again and again (RFC 8489)."""

import asyncio
import contextlib
import secrets
import struct
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address

import structlog

log = structlog.get_logger(__name__)

ASK_EVERY_S = 25.0
"""Pause between rounds, where no other is set; routers may forget a way after 30 s (RFC 4787 has two minutes)."""
_BINDING_REQUEST = 0x0001
_BINDING_SUCCESS = 0x0101
_COOKIE = 0x2112A442
_MAPPED_ADDRESS = 0x0001
_XOR_MAPPED_ADDRESS = 0x0020
_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_ADDRESS = struct.Struct("!xBHI")
_IPV4 = 1
_WAITS_S = (0.25, 0.5, 1.0)
"""How long each of the three questions of a round is waited for."""
_CONFIRM_S = 0.2
_PORT = 3478
_SEE = "See sip.network.stun_server; peers are told the address known last."

Seen = tuple[str, int]
"""IPv4 address and port."""


def question() -> bytes:
    """A binding request with a number that nobody can guess."""
    return _HEADER.pack(_BINDING_REQUEST, 0, _COOKIE, secrets.token_bytes(12))


def answered_address(message: bytes) -> Seen | None:
    """The address that an answer to a binding request tells; None where it tells no IPv4 address."""
    if len(message) < _HEADER.size:
        return None
    kind, length, cookie, _ = _HEADER.unpack_from(message)
    if kind != _BINDING_SUCCESS or cookie != _COOKIE:
        return None
    found: dict[int, Seen] = {}
    place, end = _HEADER.size, min(len(message), _HEADER.size + length)
    while place + _ATTRIBUTE.size <= end:
        name, size = _ATTRIBUTE.unpack_from(message, place)
        place += _ATTRIBUTE.size
        if size == _ADDRESS.size and place + size <= end and name in {_MAPPED_ADDRESS, _XOR_MAPPED_ADDRESS}:
            family, port, host = _ADDRESS.unpack_from(message, place)
            if family == _IPV4:
                mask = _COOKIE if name == _XOR_MAPPED_ADDRESS else 0
                found[name] = str(IPv4Address(host ^ mask)), port ^ (mask >> 16)
        # Values are filled up to whole words.
        place += size + -size % 4
    return found.get(_XOR_MAPPED_ADDRESS) or found.get(_MAPPED_ADDRESS)


class OwnSocket(asyncio.DatagramProtocol):
    """Asks from a socket of its own, where that of SIP is behind a proxy. Lives in the event loop.

    Args:
        host: IPv4 address to bind to.
        hear: takes the answers to the question asked last.
    """

    def __init__(self, host: str, hear: Callable[[bytes], object]) -> None:
        self._host = host
        self._hear = hear
        self._number = b""
        self._transport: asyncio.DatagramTransport | None = None

    async def ask(self, address: str, port: int, message: bytes) -> None:
        """Send a question, unless the machine has not got the address, or no way to there, just now."""
        with contextlib.suppress(OSError):
            if self._transport is None:
                loop = asyncio.get_running_loop()
                self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._host, 0))
            self._number = _number(message)
            self._transport.sendto(message, (address, port))

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """Whoever does not know the question's number answers in vain."""
        del addr
        if self._number and _number(data) == self._number:
            self._hear(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody is there; as good as silence."""


def _number(message: bytes) -> bytes:
    return message[8 : _HEADER.size]


class SeenFrom:
    """Asks a STUN server at intervals, which keeps the router's way open too. Lives in the event loop.

    Args:
        server: `host` or `host:port`.
        addresses: resolves that to IP addresses.
        ask: sends a message to an address and port.
        every_s: pause between rounds, seconds.
        on_seen: told the address that a round found; another than before only if it was found twice.
        on_silence: told of each round without an answer.
    """

    def __init__(
        self,
        server: str,
        addresses: Callable[[str], Awaitable[list[str]]],
        ask: Callable[[str, int, bytes], Awaitable[object]],
        every_s: float,
        *,
        on_seen: Callable[[Seen], None],
        on_silence: Callable[[], None],
    ) -> None:
        self._server = server
        self._port = int(server.rpartition(":")[2]) if ":" in server else _PORT
        self._addresses = addresses
        self._ask = ask
        self._every_s = every_s
        self._on_seen = on_seen
        self._on_silence = on_silence
        self._now = asyncio.Event()
        self._answers: asyncio.Queue[Seen] = asyncio.Queue()
        self._is_silent = False
        self._last: Seen | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Ask from now on; the first round comes after the first pause, if not `look_now` has been called."""
        self._task = asyncio.create_task(self._rounds())

    def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    def look_now(self) -> None:
        """Begin the next round at once."""
        self._now.set()

    def hear(self, message: bytes) -> None:
        """Take an answer to the last question."""
        seen = answered_address(message)
        if seen is not None:
            self._answers.put_nowait(seen)

    async def _rounds(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), self._every_s)
            self._now.clear()
            try:
                await self._round()
            except Exception:
                log.exception("stun_round_failed")

    async def _round(self) -> None:
        first = await self._seen()
        if first is None:
            if not self._is_silent:
                log.warning("stun_server_silent", server=self._server, remedy=_SEE)
            self._is_silent = True
            self._on_silence()
            return
        self._is_silent = False
        if first != self._last:
            # A router that takes another of its addresses for each packet would have us move without end.
            await asyncio.sleep(_CONFIRM_S)
            if first != await self._seen():
                return
        self._last = first
        self._on_seen(first)

    async def _seen(self) -> Seen | None:
        for server in (await self._addresses(self._server))[:1]:
            for wait_s in _WAITS_S:
                while not self._answers.empty():
                    self._answers.get_nowait()
                await self._ask(server, self._port, question())
                with contextlib.suppress(TimeoutError):
                    return await asyncio.wait_for(self._answers.get(), wait_s)
        return None
