"""The machine gets another address: it is told to registrars and peers, and a call goes on."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from jibri_sip.dial_plan import SipAccount
from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import gateway_with, until
from tests.integration.sip.raw_calls import counted
from tests.peer.netns import Net, cable, ip, net
from tests.peer.pcmu import PcmuSocket
from tests.peer.provider import SipProvider, field
from tests.peer.raw import AUDIO, RawCaller, sdp

pytestmark = [pytest.mark.own_network, pytest.mark.asyncio]

FAR = "198.51.100.1"
FIRST = "198.51.100.7"
SECOND = "198.51.100.8"
EVERYWHERE = SipSettings(host="0.0.0.0", port=5060)  # noqa: S104  (of the test's own network)


def plug(address: str) -> None:
    """Have this address, and a way to everywhere."""
    ip("address", "add", f"{address}/24", "dev", "near")
    ip("route", "replace", "default", "via", FAR)


def far_net() -> Iterator[Net]:
    """A network at the other end of a cable."""
    ip("link", "set", "lo", "up")
    with net() as far:
        cable("near", "far", far)
        ip("address", "add", f"{FAR}/24", "dev", "far", inside=far)
        yield far


def offer(media: PcmuSocket) -> str:
    """Sound at this socket."""
    return sdp(AUDIO.replace("30000", str(media.port))).replace("127.0.0.1", FAR)


async def test_call_survives() -> None:
    """The peer is sent a re-INVITE from the new address, and its sound and ours go on."""
    for far in far_net():
        plug(FIRST)
        async with (
            gateway_with(EVERYWHERE) as gateway,
            PcmuSocket("", far.udp(FAR)) as media,
            RawCaller(5060, sock=far.udp(FAR)) as caller,
        ):
            caller.target, caller.uri = (FIRST, 5060), f"sip:demo@{FIRST}"
            caller.request("INVITE", offer(media))
            call = await gateway.take()
            await call.answer()
            _, answer = await caller.response()
            assert f"c=IN IP4 {FIRST}" in answer
            caller.request("ACK")
            await media.send(_port(answer), 20, host=FIRST)
            await until(lambda: bool(media.heard))
            ip("address", "del", f"{FIRST}/24", "dev", "near")
            plug(SECOND)
            invite = await caller.awaited("INVITE")
            assert f"c=IN IP4 {SECOND}" in invite
            assert SECOND in field(invite, "Contact")
            caller.target = (SECOND, 5060)
            caller.respond(invite, "200 OK", offer(media))
            await caller.awaited("ACK")
            media.heard.clear()
            await media.send(_port(invite), 40, host=SECOND)
            await until(lambda: len(media.heard) > 10)
            assert await counted(call, 21) > 20
            assert gateway.endpoint.ports.address == f"{SECOND}:5060"
            assert call.ended is None
            await call.hangup()
            caller.respond(await caller.awaited("BYE"), "200 OK")
            await call.wait_ended()


async def test_registered_anew() -> None:
    """The registrar hears of the new address within seconds, and the next call of ours is from there."""
    for far in far_net():
        plug(FIRST)
        async with gateway_with(EVERYWHERE) as gateway, SipProvider("room7", None, sock=far.udp(FAR)) as provider:
            login = SipAccount(f"room7@{FAR}:{provider.port}", SecretStr("x"))
            account = await gateway.endpoint.sign_on(login)
            await asyncio.wait_for(account.registered(), 10)
            assert FIRST in provider.contact
            ip("link", "set", "near", "down")
            ip("address", "del", f"{FIRST}/24", "dev", "near")
            await asyncio.sleep(1)
            ip("link", "set", "near", "up")
            plug(SECOND)
            await until(lambda: SECOND in provider.contact)
            await gateway.endpoint.dial(f"sip:guest@{FAR}:{provider.port}")
            await until(lambda: bool(provider.of("INVITE")))
            invite = provider.of("INVITE")[-1]
            assert f"c=IN IP4 {SECOND}" in invite
            assert SECOND in field(invite, "Via")
            assert SECOND in field(invite, "From")
            assert SECOND in field(invite, "Contact")


def _port(text: str) -> int:
    match = re.search(r"m=audio (\d+)", text)
    assert match is not None
    return int(match[1])
