"""A SIP provider, as small as can be: registers one account by digest (RFC 3261 section 22), answers its calls."""

import asyncio
import hashlib
import re
import secrets
import socket
import time
from collections.abc import Sequence
from typing import Self

from tests.peer.raw import spelled_out

_REALM = "provider.test"
_AUTHENTICATE = {"REGISTER": (401, "WWW-Authenticate", "Authorization")}
_PROXY = (407, "Proxy-Authenticate", "Proxy-Authorization")


def field(message: str, name: str) -> str:
    """The value of a header field; empty if there is none."""
    match = re.search(rf"(?im)^{name}\s*:\s*(.*?)\r?$", message)
    return match[1] if match else ""


class SipProvider(asyncio.DatagramProtocol):
    """A registrar and proxy on a UDP socket; an async context manager.

    Args:
        user: the account.
        password: its password; None to ask nobody for one.
        answers: final response to a call of the account, once it has shown who it is.
        grants_s: for how long it registers at most.
        sock: the socket to use; None for one on 127.0.0.1.
        algorithms: of its challenges, the best first (RFC 8760).

    Attributes:
        requests: all that came.
        arrived_at: monotonic seconds at which the first INVITE came since `requests` was cleared.
        contact: where the account is registered; empty while it is not.
        shown_by: the algorithm of the last credentials.
        fails_with: what it answers to REGISTER while something is wrong with it; 0 for nothing wrong.
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
    ) -> None:
        self._sock = sock
        self.fails_with = 0
        self.shown_by = ""
        self._algorithms = algorithms
        self._grants_s = grants_s
        self.requests: list[str] = []
        self.arrived_at = 0.0
        self.contact = ""
        self.port = 0
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
        where = None if self._sock is not None else ("127.0.0.1", 0)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=where, sock=self._sock)
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
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
        message = spelled_out(data.decode())
        method = message.split(" ", 1)[0]
        if not message.strip():
            self._kept_alive.set()
        if method in {"SIP/2.0", "ACK"} or not message.strip():
            return
        if method == "INVITE" and not self.of("INVITE"):
            self.arrived_at = time.monotonic()
        self.requests.append(message)
        code, challenge, shown = _AUTHENTICATE.get(method, _PROXY)
        if method == "REGISTER" and self.fails_with:
            self._respond(message, address, self.fails_with, {})
        elif method in {"REGISTER", "INVITE"} and not self._is_right(method, field(message, shown)):
            ways = [f'Digest realm="{_REALM}", nonce="{self._nonce}", algorithm={name}' for name in self._algorithms]
            self._respond(message, address, code, {challenge: f"\r\n{challenge}: ".join(ways)})
        elif method == "REGISTER":
            expires = re.search(r"expires=(\d+)", field(message, "Contact"), re.IGNORECASE)
            seconds = expires[1] if expires else field(message, "Expires")
            self.contact = "" if seconds == "0" else re.sub(r"[<>]|;expires=\d+", "", field(message, "Contact"))
            granted = min(int(seconds), self._grants_s)
            bound = {"Contact": f"<{self.contact}>;expires={granted}"} if self.contact else {}
            self._respond(message, address, 200, bound)
        else:
            self._respond(message, address, self._answers if method == "INVITE" else 200, {})
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

    def _respond(self, request: str, address: tuple[str, int], code: int, more: dict[str, str]) -> None:
        copied = [line for line in request.split("\r\n") if re.match(r"(?i)(via|from|call-id|cseq)\s*:", line)]
        to = field(request, "To")
        lines = [
            f"SIP/2.0 {code} Answer",
            *copied,
            f"To: {to}" if ";tag=" in to else f"To: {to};tag={secrets.token_hex(4)}",
            *(f"{name}: {value}" for name, value in more.items()),
            "Content-Length: 0",
        ]
        self._transport.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), address)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
