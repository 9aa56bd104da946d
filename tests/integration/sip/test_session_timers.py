"""Session timers (RFC 4028): who refreshes, how often, and what becomes of a call that nobody refreshes."""

import asyncio
import re

import pytest

from jibri_sip.sip.call import Call
from jibri_sip.sip.events import Ended
from tests.integration.sip.conftest import SOON_S, Gateway
from tests.integration.sip.raw_calls import bridged, event, hang_up, up
from tests.peer.raw_peer import RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEAST_S = 90
"""Shortest interval that RFC 4028 allows; refreshed at half of it."""


def timers(message: str) -> str:
    """Its Session-Expires; empty for none."""
    match = re.search(r"(?im)^session-expires:\s*([^\r\n]*)", message)
    return match[1] if match else ""


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        ({"Session-Expires": "1800;refresher=uac", "Supported": "timer"}, "1800;refresher=uac"),
        ({"Session-Expires": "1800;refresher=uas", "Supported": "timer"}, "1800;refresher=uas"),
        ({"x": "1800", "k": "timer"}, "1800;refresher=uac"),
        # A proxy wants them, the caller has them not: they are up to us.
        ({"Session-Expires": "1800"}, "1800;refresher=uas"),
        ({"Supported": "timer"}, ""),
        ({}, ""),
    ],
)
async def test_who_refreshes(gateway: Gateway, headers: dict[str, str], answered: str) -> None:
    """The caller, if it can and leaves it open; whoever it names; we, where it cannot (section 9, table 2)."""
    async with up(gateway, headers=headers) as session:
        assert timers(session.response) == answered
        required = re.search(r"(?im)^require:.*timer", session.response) is not None
        assert required == answered.endswith("uac")


async def test_an_interval_that_is_too_short(gateway: Gateway) -> None:
    """422 with our least (section 6), and no call."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        headers = {"Session-Expires": "30", "Supported": "timer"}
        peer.request("INVITE", peer.describe(peer.audio()), headers)
        code, text = await peer.response()
        assert code == 422
        assert re.search(rf"(?im)^min-se:\s*{LEAST_S}\b", text)
        peer.request("ACK")
    assert gateway.incoming.empty()


async def test_a_callee_that_finds_ours_too_short(gateway: Gateway) -> None:
    """After 422 we call again, with the callee's least, in the same call (section 7.3)."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        assert timers(invite) == "1800"
        peer.respond(invite, "422 Session Interval Too Small\r\nMin-SE: 3600")
        await peer.awaited("ACK")
        again = await peer.awaited("INVITE")
        assert timers(again).startswith("3600")
        assert re.search(r"(?im)^min-se:\s*3600", again)
        call_ids = {re.findall(r"(?im)^call-id:.*", message)[0] for message in (invite, again)}
        assert len(call_ids) == 1
        status = "200 OK\r\nSession-Expires: 3600;refresher=uac\r\nRequire: timer"
        peer.respond(again, status, peer.describe(peer.audio(), peer.video()))
        await peer.awaited("ACK")
        assert (await bridged(call)).video
        await hang_up(call, peer)


async def test_a_refresh_by_the_peer(gateway: Gateway) -> None:
    """re-INVITE and UPDATE that refresh are answered with the interval, and change nothing."""
    refresh = {"Session-Expires": "1800;refresher=uac", "Supported": "timer"}
    async with up(gateway, headers=refresh) as session:
        await bridged(session.call)
        session.peer.request("UPDATE", headers=refresh)
        code, text = await session.peer.response()
        assert (code, timers(text)) == (200, "1800;refresher=uac")
        session.peer.request("INVITE", session.peer.describe(session.peer.audio(), session.peer.video()), refresh)
        code, text = await session.peer.response()
        session.peer.request("ACK")
        assert (code, timers(text)) == (200, "1800;refresher=uac")
        session.peer.forget_media()
        await session.peer.picture.receive(3)


@pytest.mark.slow
async def test_refreshes_of_ours(gateway: Gateway) -> None:
    """At half the interval we refresh: by UPDATE where the peer has it, else by re-INVITE; after 491 once more.

    A peer that should refresh and does not is hung up on before its time is over (section 10). Five calls at once.
    """
    await asyncio.gather(
        _we_refresh(gateway, "UPDATE", glare=False),
        _we_refresh(gateway, "UPDATE", glare=True),
        _we_refresh(gateway, "INVITE", glare=False),
        _we_refresh(gateway, "INVITE", glare=True),
        _nobody_refreshes(gateway),
    )


async def _call(gateway: Gateway, peer: RawPeer, headers: dict[str, str]) -> Call:
    peer.request("INVITE", peer.describe(peer.audio()), headers)
    async with asyncio.timeout(SOON_S):
        while (call := await gateway.take()).sip_call_id != peer.call_id:
            gateway.incoming.put_nowait(call)
            await asyncio.sleep(0.01)
    await call.answer()
    await peer.response()
    peer.request("ACK")
    return call


async def _we_refresh(gateway: Gateway, method: str, *, glare: bool) -> None:
    allow = "INVITE, ACK, BYE, CANCEL" + (", UPDATE" if method == "UPDATE" else "")
    headers = {"Session-Expires": f"{LEAST_S};refresher=uas", "Supported": "timer", "Allow": allow}
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        call = await _call(gateway, peer, headers)
        async with asyncio.timeout(LEAST_S / 2 + 10):
            refresh = await _awaited(peer, method)
        assert timers(refresh) == f"{LEAST_S};refresher=uac"
        if glare:
            peer.respond(refresh, "491 Request Pending")
            refresh = await _awaited(peer, method)
        body = peer.describe(peer.audio()) if "m=audio" in refresh else ""
        peer.respond(refresh, f"200 OK\r\nSession-Expires: {LEAST_S};refresher=uac\r\nRequire: timer", body)
        async with asyncio.timeout(LEAST_S / 2 + 10):
            again = await _awaited(peer, method)
        peer.respond(again, f"200 OK\r\nSession-Expires: {LEAST_S};refresher=uac\r\nRequire: timer", body)
        assert call.ended is None
        await hang_up(call, peer)


async def _awaited(peer: RawPeer, method: str) -> str:
    while not (text := await peer.received.get()).startswith(f"{method} "):
        assert not text.startswith("BYE"), text
    return text


async def _nobody_refreshes(gateway: Gateway) -> None:
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        call = await _call(gateway, peer, {"Session-Expires": f"{LEAST_S};refresher=uac", "Supported": "timer"})
        async with asyncio.timeout(LEAST_S):
            while not (text := await peer.received.get()).startswith("BYE "):
                pass
        peer.respond(text, "200 OK")
        ended = await event(call, Ended)
        assert isinstance(ended, Ended)
        assert not ended.by_peer
