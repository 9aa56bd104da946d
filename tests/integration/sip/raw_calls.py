"""Calls between the endpoint and a raw peer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from jibri_sip.sip.call import Call
from jibri_sip.sip.events import Answered, CallEvent, MediaUp
from tests.integration.sip.conftest import Gateway
from tests.peer.raw_peer import RawPeer, Section, sections

Media = Callable[[RawPeer], Sequence[str]]


@dataclass(frozen=True)
class UpCall:
    """A call that is up.

    Attributes:
        call: the endpoint's side.
        peer: the other.
        answer: the sections that the endpoint answered.
        response: its 200.
    """

    call: Call
    peer: RawPeer
    answer: list[Section]
    response: str


def both(peer: RawPeer) -> list[str]:
    """Sound and picture."""
    return [peer.audio(), peer.video()]


@asynccontextmanager
async def up(gateway: Gateway, media: Media = both, headers: Mapping[str, str] | None = None) -> AsyncIterator[UpCall]:
    """A call that a raw peer made with an offer of these sections, up while the body runs."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        peer.request("INVITE", peer.describe(*media(peer)), headers)
        call = await gateway.take()
        await call.answer()
        code, text = await peer.response()
        peer.request("ACK")
        assert code == 200, text
        try:
            yield UpCall(call, peer, sections(text), text)
        finally:
            await hang_up(call, peer)


async def counted(call: Call, packets: int) -> int:
    """How many packets of sound have come, once there are so many; fewer after five seconds."""
    for _ in range(250):
        audio = (await call.stats()).audio
        if audio is not None and audio.received.packets >= packets:
            break
        await asyncio.sleep(0.02)
    return audio.received.packets if audio is not None else 0


async def hang_up(call: Call, peer: RawPeer) -> None:
    """End a call properly, so that the next test finds none."""
    if call.ended is None:
        await call.hangup()
        peer.respond(await peer.awaited("BYE"), "200 OK")
        await call.wait_ended()


async def event(call: Call, kind: type[CallEvent], timeout_s: float = 10) -> CallEvent:
    """The call's next event of this kind; others before it are passed over."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = await call.events.get()
            if isinstance(found, kind):
                return found


async def bridged(call: Call) -> MediaUp:
    """Wait until the call is up and has media, and say which."""
    await event(call, Answered)
    media = await event(call, MediaUp)
    assert isinstance(media, MediaUp)
    return media
