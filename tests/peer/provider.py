"""A SIP provider, as small as can be: registers one account by digest (RFC 3261 section 22), answers its calls."""

import asyncio
import contextlib
import hashlib
import re
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Self

from tests.peer.raw import spelled_out

_REALM = "provider.test"
_AUTHENTICATE = {"REGISTER": (401, "WWW-Authenticate", "Authorization")}
_PROXY = (407, "Proxy-Authenticate", "Proxy-Authorization")


def field(message: str, name: str) -> str:
    """The value of a header field; empty if there is none."""
    match = re.search(rf"(?im)^{name}\s*:\s*(.*?)\r?$", message)
    return match[1] if match else ""


Send = Callable[[bytes], object]


class SipProvider(asyncio.DatagramProtocol):
    """A registrar and proxy on a UDP socket, or on connections; an async context manager.

    Args:
        user: the account.
        password: its password; None to ask nobody for one.
        answers: final response to a call of the account, once it has shown who it is.
        grants_s: for how long it registers at most.
        sock: the socket to use; None for one on 127.0.0.1.
        algorithms: of its challenges, the best first (RFC 8760).
        stream: whether it takes connections instead.
        tls: encryption of those.
        host: where it takes them.
        port: the same; 0 for any.

    Attributes:
        requests: all that came, each once however often it was sent.
        arrived_at: monotonic seconds at which the first INVITE came since `requests` was cleared.
        contact: where the account is registered; empty while it is not.
        shown_by: the algorithm of the last credentials.
        fails_with: what it answers to REGISTER while something is wrong with it; 0 for nothing wrong.
        mute: whether it answers nothing at all.
    """

    def __init__(
        self,
        user: str,
        password: str | None,
        answers: int = 486,
        grants_s: int = 3600,
        sock: socket.socket | None = None,
        *,
        algorithms: Sequence[str] = ("MD5",),
        stream: bool = False,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._host = host
        self._stream = stream
        self._tls = tls
        self._server: asyncio.Server | None = None
        self.mute = False
        self._sock = sock
        self.fails_with = 0
        self.shown_by = ""
        self._algorithms = algorithms
        self._grants_s = grants_s
        self.requests: list[str] = []
        self.arrived_at = 0.0
        self.contact = ""
        self.port = port
        self._user = user
        self._password = password
        self._answers = answers
        self._nonce = secrets.token_hex(8)
        self._transport: asyncio.DatagramTransport
        self._changed = asyncio.Event()
        self._kept_alive = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Open the socket."""
        loop = asyncio.get_running_loop()
        if self._stream:
            self._server = await asyncio.start_server(self._serve, self._host, self.port, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
            return self
        where = None if self._sock is not None else ("127.0.0.1", 0)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=where, sock=self._sock)
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        if self._server is not None:
            self._server.close()
        else:
            self._transport.close()

    @property
    def account(self) -> str:
        """Address of the account, without `sip:`."""
        return f"{self._user}@127.0.0.1:{self.port}"

    async def registered(self, *, now: bool, timeout_s: float = 10.0) -> None:
        """Wait until the account is registered, or is no more."""
        async with asyncio.timeout(timeout_s):
            while bool(self.contact) is not now:
                self._changed.clear()
                await self._changed.wait()

    async def kept_alive(self) -> None:
        """Wait for a message of white space alone."""
        await self._kept_alive.wait()

    def of(self, method: str) -> list[str]:
        """The requests of this method."""
        return [request for request in self.requests if request.startswith(f"{method} ")]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        """Answer a request."""
        self._take(data, lambda answer: self._transport.sendto(answer, address))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(field(spelled_out(head.decode()), "Content-Length") or 0)
                self._take(head + await reader.readexactly(length), writer.write)
        writer.close()

    def _take(self, data: bytes, send: Send) -> None:
        message = spelled_out(data.decode())
        method = message.split(" ", 1)[0]
        if not message.strip():
            self._kept_alive.set()
        if method in {"SIP/2.0", "ACK"} or not message.strip():
            return
        if method == "INVITE" and not self.of("INVITE"):
            self.arrived_at = time.monotonic()
        if message not in self.requests:
            self.requests.append(message)
        if self.mute:
            return
        code, challenge, shown = _AUTHENTICATE.get(method, _PROXY)
        if method == "REGISTER" and self.fails_with:
            self._respond(message, send, self.fails_with, {})
        elif method in {"REGISTER", "INVITE"} and not self._is_right(method, field(message, shown)):
            ways = [f'Digest realm="{_REALM}", nonce="{self._nonce}", algorithm={name}' for name in self._algorithms]
            self._respond(message, send, code, {challenge: f"\r\n{challenge}: ".join(ways)})
        elif method == "REGISTER":
            expires = re.search(r"expires=(\d+)", field(message, "Contact"), re.IGNORECASE)
            seconds = expires[1] if expires else field(message, "Expires")
            self.contact = "" if seconds == "0" else re.sub(r"[<>]|;expires=\d+", "", field(message, "Contact"))
            granted = min(int(seconds), self._grants_s)
            bound = {"Contact": f"<{self.contact}>;expires={granted}"} if self.contact else {}
            self._respond(message, send, 200, bound)
        else:
            self._respond(message, send, self._answers if method == "INVITE" else 200, {})
        self._changed.set()

    def _is_right(self, method: str, shown: str) -> bool:
        """Whether these credentials are the account's."""
        if self._password is None:
            return True
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', shown))
        if given.get("username") != self._user or given.get("nonce") != self._nonce:
            return False
        self.shown_by = given.get("algorithm", "MD5")
        hashed = {"MD5": _md5, "SHA-256": _sha256}[self.shown_by]
        first = hashed(f"{self._user}:{_REALM}:{self._password}")
        second = hashed(f"{method}:{given.get('uri', '')}")
        return given.get("response") == hashed(f"{first}:{self._nonce}:{second}")

    def _respond(self, request: str, send: Send, code: int, more: dict[str, str]) -> None:
        copied = [line for line in request.split("\r\n") if re.match(r"(?i)(via|from|call-id|cseq)\s*:", line)]
        to = field(request, "To")
        lines = [
            f"SIP/2.0 {code} Answer",
            *copied,
            f"To: {to}" if ";tag=" in to else f"To: {to};tag={secrets.token_hex(4)}",
            *(f"{name}: {value}" for name, value in more.items()),
            "Content-Length: 0",
        ]
        send(("\r\n".join(lines) + "\r\n\r\n").encode())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
