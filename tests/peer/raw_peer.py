"""A raw SIP caller that has media too: a socket for each stream, and answers read section by section."""

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from tests.peer.raw import AUDIO, VIDEO, RawCaller, sdp
from tests.peer.rtp import RtpSocket


@dataclass(frozen=True)
class Section:
    """One m= line of a session description (RFC 8866) with what belongs to it.

    Attributes:
        kind: `audio`, `video`, `application`.
        port: 0 where it is refused.
        profile: `RTP/AVP`.
        formats: payload types, as they stand there.
        lines: the lines after it.
    """

    kind: str
    port: int
    profile: str
    formats: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def direction(self) -> str:
        """Its direction; `sendrecv` where it says none."""
        return next((line[2:] for line in self.lines if line in _DIRECTIONS), "sendrecv")

    def attribute(self, name: str) -> str | None:
        """The value of its first attribute that begins so, as `rtpmap:97`; empty for a flag, None for none."""
        for line in self.lines:
            found, _, value = line.removeprefix("a=").partition(" ")
            if found == name:
                return value
        return None


_DIRECTIONS = frozenset(f"a={name}" for name in ("sendrecv", "sendonly", "recvonly", "inactive"))


def sections(message: str) -> list[Section]:
    """The sections of the description that a message brings."""
    found = []
    for text in re.split(r"(?m)^(?=m=)", message.partition("\r\n\r\n")[2])[1:]:
        first, *lines = text.split("\r\n")
        kind, port, profile, *formats = first.removeprefix("m=").split()
        found.append(Section(kind, int(port), profile, tuple(formats), tuple(filter(None, lines))))
    return found


class RawPeer(RawCaller):
    """A caller with sockets for sound and picture; `sound` and `picture` keep what comes."""

    def __init__(self, port: int, user: str = "demo", host: str = "127.0.0.1") -> None:
        super().__init__(port, user, host)
        self.sound = RtpSocket(host)
        self.picture = RtpSocket(host)
        self._version = 0
        self._sockets = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the sockets."""
        await self._sockets.enter_async_context(self.sound)
        await self._sockets.enter_async_context(self.picture)
        return await super().__aenter__()

    async def __aexit__(self, *details: object) -> None:
        """Close them."""
        await super().__aexit__(*details)
        await self._sockets.aclose()

    def audio(self, *attributes: str, base: str = AUDIO) -> str:
        """The section of its sound, with more attribute lines."""
        return "\n".join([base.replace("30000", str(self.sound.port)).strip(), *attributes])

    def video(self, *attributes: str, base: str = VIDEO) -> str:
        """The section of its picture, with more attribute lines."""
        return "\n".join([base.replace("30002", str(self.picture.port)).strip(), *attributes])

    def describe(self, *media: str) -> str:
        """A description of these sections, one version after its last (RFC 3264 section 8)."""
        self._version += 1
        text = sdp(*media).replace("o=- 1 1 ", f"o=- 1 {self._version} ")
        return text.replace("IN IP4 127.0.0.1", "IN IP6 ::1") if ":" in self.local.rpartition(":")[0] else text

    async def offer(self, *media: str, method: str = "INVITE") -> tuple[int, list[Section]]:
        """Offer these sections in a call that is up, by re-INVITE or UPDATE: the answer's code and sections."""
        self.request(method, self.describe(*media))
        code, text = await self.response()
        if method == "INVITE":
            self.request("ACK")
        return code, sections(text)

    def forget_media(self) -> None:
        """Drop what came so far."""
        self.sound.packets.clear()
        self.picture.packets.clear()
