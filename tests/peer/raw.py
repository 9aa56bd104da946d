"""A SIP caller that sends exactly what a test writes: for messages that no well-bred stack would send."""

import asyncio
import re
import secrets
import socket
from collections.abc import Mapping
from typing import Self

from tests.peer.ports import udp_socket

_TIMEOUT_S = 10.0
_FINAL = 200
_CALL_ID = re.compile(r"(?im)^(?:call-id|i)[ \t]*:\s*(\S+)")
_TO_NOBODY = re.compile(r"(?m)^(?!SIP/)(?s:.*)^To:(?!.*;tag=)")
_LONG_NAMES = {
    "c": "Content-Type",
    "f": "From",
    "i": "Call-ID",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "r": "Refer-To",
    "b": "Referred-By",
    "t": "To",
    "v": "Via",
    "x": "Session-Expires",
}


class RawCaller(asyncio.DatagramProtocol):
    """A UDP socket of its own, or one that it is given, and the few header fields of one dialog; a context manager."""

    protocol = "UDP"

    def __init__(
        self, port: int, user: str = "demo", host: str = "127.0.0.1", sock: socket.socket | None = None
    ) -> None:
        self._host = host
        self._sock = sock
        six = ":" in host
        self.target = ("::1" if six else "127.0.0.1", port)
        self.uri = f"sip:{user}@{'[::1]' if six else '127.0.0.1'}:{port}"
        self.call_id = secrets.token_hex(8)
        self.tag = secrets.token_hex(4)
        self.remote_tag = ""
        self.branch = ""
        self.sequence = 0
        self.local = ""
        self.wants_rport = True
        self.received: asyncio.Queue[str] = asyncio.Queue()
        self._calls: set[str] = set()
        self._taken: set[str] = set()
        self._over: set[str] = set()
        self.octets = 0
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> Self:
        """Open the socket."""
        loop = asyncio.get_running_loop()
        sock = self._sock or udp_socket(self._host)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=sock)
        host, port = self._transport.get_extra_info("sockname")[:2]
        self.local = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        self._transport.close()

    def datagram_received(self, data: bytes, _address: object) -> None:
        """Keep what comes, and the size of the last of it.

        A test before may have had this port, and a BYE that it did not answer is repeated for 32 s.
        """
        text = spelled_out(data.decode())
        calls = set(_CALL_ID.findall(text))
        if _TO_NOBODY.match(text):
            self._calls |= calls
        if (calls and not calls & self._calls) or text in self._over:
            return
        self.octets = len(data)
        self.received.put_nowait(text)

    def send(self, message: str) -> None:
        """Send a message as it is, lines ended by CRLF."""
        self.send_octets(message.encode())

    def send_octets(self, message: bytes) -> None:
        """Send what may be no SIP."""
        self._calls |= set(_CALL_ID.findall(message.decode(errors="replace")))
        self._transport.sendto(message, self.target)

    def request(self, method: str, body: str = "", headers: Mapping[str, str] | None = None) -> str:
        """Send a request of the dialog, and return it. ACK and CANCEL keep the number of their INVITE."""
        if method not in ("ACK", "CANCEL"):
            self.sequence += 1
        if method == "ACK":
            self._be_done_with(self._taken)
        if method != "CANCEL":
            self.branch = f"z9hG4bK{secrets.token_hex(8)}"
        remote = f"<{self.uri}>" + (f";tag={self.remote_tag}" if self.remote_tag and method != "CANCEL" else "")
        fields = {
            "Via": f"SIP/2.0/{self.protocol} {self.local};branch={self.branch}{';rport' * self.wants_rport}",
            "Max-Forwards": "70",
            "From": f"<sip:raw@{self.local}>;tag={self.tag}",
            "To": remote,
            "Call-ID": self.call_id,
            "CSeq": f"{self.sequence} {method}",
            "Contact": f"<sip:raw@{self.local}>",
            **(headers or {}),
        }
        if body:
            fields.setdefault("Content-Type", "application/sdp")
        fields["Content-Length"] = str(len(body))
        lines = [f"{method} {self.uri} SIP/2.0", *(f"{name}: {value}" for name, value in fields.items())]
        message = "\r\n".join(lines) + "\r\n\r\n" + body
        self.send(message)
        return message

    def _be_done_with(self, messages: set[str]) -> None:
        """Have these not come again: they are repeated after half a second, which a busy machine lets pass."""
        self._over |= messages
        for _ in range(self.received.qsize()):
            if (text := self.received.get_nowait()) not in self._over:
                self.received.put_nowait(text)

    async def awaited(self, method: str) -> str:
        """The next request of this method; whatever else comes before it is passed over."""
        async with asyncio.timeout(_TIMEOUT_S):
            while not (text := await self.received.get()).startswith(f"{method} "):
                pass
            return text

    def respond(self, request: str, status: str, body: str = "") -> None:
        """Answer a request with a status line's code and phrase, as a callee would."""
        kept = re.findall(r"(?im)^(?:via|from|call-id|cseq):[^\r]*", request)
        remote = re.search(r"(?im)^to:[^\r]*", request)
        to = f"{remote[0] if remote else 'To: <sip:raw@raw>'};tag={self.tag}"
        fields = [*kept, to, f"Contact: <sip:raw@{self.local}>", f"Content-Length: {len(body)}"]
        if body:
            fields.append("Content-Type: application/sdp")
        self.send("\r\n".join([f"SIP/2.0 {status}", *fields]) + "\r\n\r\n" + body)
        if int(status[:3]) >= _FINAL:
            self._be_done_with({request})

    async def response(self, *, final: bool = True, timeout_s: float = _TIMEOUT_S) -> tuple[int, str]:
        """The next response: its code and text; provisional ones are passed over unless `final` is false."""
        async with asyncio.timeout(timeout_s):
            while True:
                text = await self.received.get()
                match = re.match(r"SIP/2\.0 (\d{3}) ", text)
                if match is None or (final and int(match[1]) < _FINAL):
                    continue
                tag = re.search(r"(?im)^(?:to|t)\s*:.*;tag=([^\s;]+)", text)
                if tag:
                    self.remote_tag = tag[1]
                if int(match[1]) >= _FINAL:
                    self._taken.add(text)
                return int(match[1]), text


def spelled_out(message: str) -> str:
    """The message with the long names of its header fields (RFC 3261 section 7.3.3)."""
    head, empty, body = message.partition("\r\n\r\n")
    return re.sub(r"(?m)^([a-z]):[ \t]*", lambda name: f"{_LONG_NAMES.get(name[1], name[1])}: ", head) + empty + body


def sdp(*media: str) -> str:
    """A session description of these media sections (each begins with its m= line, lines ended by newlines)."""
    head = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
    return "\r\n".join([*head, *(line for section in media for line in section.strip().splitlines())]) + "\r\n"


AUDIO = """
m=audio 30000 RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
"""
VIDEO = """
m=video 30002 RTP/AVP 97
a=rtpmap:97 H264/90000
a=fmtp:97 profile-level-id=42e01f;packetization-mode=1
"""
