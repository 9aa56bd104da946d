"""Calls whose picture is on bare sockets."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jibri_sip.sip.call import Call
from jibri_sip.sip.settings import Picture
from tests.integration.sip.conftest import Gateway
from tests.peer import wire
from tests.peer.raw import AUDIO, RawCaller, sdp
from tests.peer.wire import Wire

SMALL = Picture(320, 180, 15, 300_000, mtu=700)
"""Of the gateway, to be light."""


@asynccontextmanager
async def stream(
    gateway: Gateway, *kinds: str, mux: bool = False, profile: str = "RTP/AVP"
) -> AsyncIterator[tuple[Wire, Call, str]]:
    """A call whose picture is on bare sockets, once its first packets came; and the answer to its offer."""
    async with dialog(gateway, *kinds, mux=mux, profile=profile) as (line, call, answer, _):
        yield line, call, answer


@asynccontextmanager
async def dialog(
    gateway: Gateway,
    *kinds: str,
    mux: bool = False,
    profile: str = "RTP/AVP",
    bandwidth: str = "",
    session_bandwidth: str = "",
    h264: str = "profile-level-id=42e01f;packetization-mode=1",
) -> AsyncIterator[tuple[Wire, Call, str, RawCaller]]:
    """The same, with its caller. `kinds` of feedback, and a `bandwidth` such as `AS:400`, go into the media section."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller, Wire(mux=mux, profile=profile, h264=h264) as line:
        first, _, rest = line.media(*kinds).partition("\n")
        offer = sdp(AUDIO, first + (f"\nb={bandwidth}\n" if bandwidth else "\n") + rest)
        if session_bandwidth:
            offer = offer.replace("t=0 0\r\n", f"b={session_bandwidth}\r\nt=0 0\r\n", 1)
        caller.request("INVITE", offer)
        call = await gateway.take()
        await call.answer()
        _, answer = await caller.response()
        caller.request("ACK")
        port = re.search(r"m=video (\d+)", answer)
        assert port is not None
        line.remote = int(port[1])
        await line.until(lambda: len(line.packets) > 5)
        yield line, call, answer, caller
        await call.hangup()
        caller.respond(await caller.awaited("BYE"), "200 OK")
        await call.wait_ended()


async def until_no_keyframes(line: Wire) -> None:
    """PJMEDIA sends a keyframe a second to begin with; wait until it no longer does, by the clock of what it sends."""
    async with asyncio.timeout(30):
        while _since_keyframe_s(line) < 1.5:  # noqa: ASYNC110  (nobody can tell us)
            await asyncio.sleep(0.1)


def _since_keyframe_s(line: Wire) -> float:
    keyframe = next(filter(wire.is_keyframe, reversed(line.packets)), line.packets[0])
    newest, then = (int.from_bytes(packet[4:8], "big") for packet in (line.packets[-1], keyframe))
    return (newest - then & 0xFFFFFFFF) / 90_000
