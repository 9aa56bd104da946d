"""SIP servers found by name (RFC 3263): NAPTR, SRV, and the next server where one is silent or refuses."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from jibri_sip.config.network import NetworkSettings
from jibri_sip.dial_plan import SipAccount
from jibri_sip.sip.events import Answered, Ended
from jibri_sip.sip.settings import SipSettings, Tls
from tests.integration.sip.conftest import SOON_S, Gateway, gateway_with, until
from tests.integration.sip.large import black_hole, mute
from tests.peer.authority import Authority
from tests.peer.nameserver import Nameserver
from tests.peer.ports import free_port
from tests.peer.provider import SipProvider
from tests.peer.raw import AUDIO, RawCaller, sdp

pytestmark = pytest.mark.asyncio(loop_scope="module")


def port(peer: RawCaller) -> str:
    """Its port."""
    return peer.local.rpartition(":")[2]


@asynccontextmanager
async def knowing(*records: str, tls: Tls | None = None) -> AsyncIterator[tuple[Gateway, Nameserver]]:
    """An endpoint whose nameserver has these records."""
    async with Nameserver(*records) as dns:
        settings = SipSettings(port=0, tls=tls, network=NetworkSettings(nameservers=(dns.address,)))
        async with gateway_with(settings) as gateway:
            yield gateway, dns


@asynccontextmanager
async def two_servers() -> AsyncIterator[tuple[RawCaller, RawCaller, Gateway]]:
    """Two servers of rooms.test; the first is to be asked first."""
    async with RawCaller(9, host="127.0.0.7") as first, RawCaller(9, host="127.0.0.8") as second:
        records = (
            f"_sip._udp.rooms.test 60 SRV 20 0 {port(second)} two.rooms.test.",
            f"_sip._udp.rooms.test 60 SRV 10 0 {port(first)} one.rooms.test.",
            "one.rooms.test 60 A 127.0.0.7",
            "two.rooms.test 60 A 127.0.0.8",
        )
        async with knowing(*records) as (gateway, _):
            yield first, second, gateway


async def test_silent_server() -> None:
    """The second server is called within seconds, and for a while first; a late answer of the first is undone."""
    async with two_servers() as (first, second, gateway):
        since = time.monotonic()
        call = await gateway.endpoint.dial("sip:board@rooms.test", headers={"X-Order": "7"})
        late = await first.awaited("INVITE")
        invite = await second.awaited("INVITE")
        assert 2 < time.monotonic() - since < 10
        assert "X-Order: 7" in invite
        assert invite.startswith("INVITE sip:board@rooms.test SIP/2.0")
        first.target = second.target = ("127.0.0.1", gateway.endpoint.ports.udp)
        second.respond(invite, "200 OK", sdp(AUDIO))
        await second.awaited("ACK")
        async with asyncio.timeout(SOON_S):
            while not isinstance(await call.events.get(), Answered):
                pass
        first.respond(late, "200 OK", sdp(AUDIO))
        await first.awaited("ACK")
        first.respond(await first.awaited("BYE"), "200 OK")
        assert call.ended is None
        await call.hangup()
        second.respond(await second.awaited("BYE"), "200 OK")
        await call.wait_ended()
        again = await gateway.endpoint.dial("sip:board@rooms.test")
        second.respond(await second.awaited("INVITE"), "486 Busy Here")
        assert (await asyncio.wait_for(again.wait_ended(), SOON_S)).code == 486


async def test_all_silent() -> None:
    """The call ends as it would with one server, and only once."""
    async with two_servers() as (first, second, gateway):
        call = await gateway.endpoint.dial("sip:board@rooms.test", timeout_s=7)
        await first.awaited("INVITE")
        await second.awaited("INVITE")
        assert (await asyncio.wait_for(call.wait_ended(), SOON_S)).code == 408
        events = [call.events.get_nowait() for _ in range(call.events.qsize())]
        assert [type(event) for event in events] == [Ended]


async def test_server_that_refuses() -> None:
    """503 of one server sends the call to the next, at once; the last one's counts."""
    async with two_servers() as (first, second, gateway):
        call = await gateway.endpoint.dial("sip:board@rooms.test")
        for server in (first, second):
            server.target = ("127.0.0.1", gateway.endpoint.ports.udp)
            server.respond(await server.awaited("INVITE"), "503 Service Unavailable")
        ended = await asyncio.wait_for(call.wait_ended(), SOON_S)
        assert (ended.code, ended.by_peer) == (503, True)


async def test_naptr() -> None:
    """The domain says that it wants TCP, and where."""
    invites: asyncio.Queue[str] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        invites.put_nowait(head)
        kept = re.findall(r"(?im)^(?:via|v|from|f|to|t|call-id|i|cseq):[^\r]*", head)
        writer.write("\r\n".join(["SIP/2.0 486 Busy Here", *kept, "Content-Length: 0", "", ""]).encode())
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.7", 0) as server:
        number = server.sockets[0].getsockname()[1]
        records = (
            'rooms.test 60 NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp.elsewhere.test.',
            'rooms.test 60 NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.rooms.test.',
            f"_sip._tcp.elsewhere.test 60 SRV 10 0 {number} one.rooms.test.",
            "_sip._udp.rooms.test 60 SRV 10 0 9 one.rooms.test.",
            "one.rooms.test 60 A 127.0.0.7",
        )
        async with knowing(*records) as (gateway, _):
            call = await gateway.endpoint.dial("sip:board@rooms.test")
            assert (await asyncio.wait_for(call.wait_ended(), SOON_S)).code == 486
            assert "SIP/2.0/TCP" in invites.get_nowait()


async def test_registrar_by_name() -> None:
    """An account's domain is looked up as an address that is called is."""
    async with SipProvider("room7", "secret") as provider:
        records = (
            f"_sip._udp.provider.test 60 SRV 10 0 {provider.port} sbc.provider.test.",
            "sbc.provider.test 60 A 127.0.0.1",
        )
        async with knowing(*records) as (gateway, _):
            account = await gateway.endpoint.sign_on(SipAccount("room7@provider.test", SecretStr("secret")))
            await asyncio.wait_for(account.registered(), SOON_S)
            await account.close()
            await provider.registered(now=False)


async def test_silent_registrar() -> None:
    """The account is registered at the next server, once the first has been silent for 3.5 s."""
    async with SipProvider("room7", "secret") as provider, RawCaller(9, host="127.0.0.7") as silent:
        records = (
            f"_sip._udp.provider.test 60 SRV 10 0 {port(silent)} one.provider.test.",
            f"_sip._udp.provider.test 60 SRV 20 0 {provider.port} two.provider.test.",
            "one.provider.test 60 A 127.0.0.7",
            "two.provider.test 60 A 127.0.0.1",
        )
        async with knowing(*records) as (gateway, _):
            began = time.monotonic()
            account = await gateway.endpoint.sign_on(SipAccount("room7@provider.test", SecretStr("secret")))
            await provider.registered(now=True, timeout_s=SOON_S)
            assert 3 < time.monotonic() - began < 10
            await until(lambda: account.is_registered)
            await account.close()


def on_connections(encrypted: bool, first: int, second: int) -> tuple[str, ...]:
    """Records of a domain with two servers, to which one connects."""
    service = "_sips._tcp" if encrypted else "_sip._tcp"
    return (
        f"{service}.provider.test 60 SRV 10 0 {first} one.provider.test.",
        f"{service}.provider.test 60 SRV 20 0 {second} two.provider.test.",
        "one.provider.test 60 A 127.0.0.7",
        "two.provider.test 60 A 127.0.0.1",
    )


def login(encrypted: bool) -> SipAccount:
    """An account whose registrar is found by these records."""
    transport = "tls" if encrypted else "tcp"
    return SipAccount("room7@provider.test", SecretStr("secret"), registrar=f"sip:provider.test;transport={transport}")


@pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("hole", [black_hole, mute], ids=["dead", "mute"])
async def test_registrar_that_takes_no_connection(
    tmp_path: Path, encrypted: bool, hole: Callable[[str], AbstractContextManager[object]]
) -> None:
    """By TCP and TLS, too, the next one is asked in seconds: where packets vanish, and where nothing comes back."""
    authority = Authority(tmp_path, "authority")
    certificate = authority.certificate("two.provider.test", "provider.test")
    where = f"127.0.0.7:{free_port()}"
    with hole(where):
        async with SipProvider("room7", "secret", stream=True, tls=certificate.served() if encrypted else None) as two:
            records = on_connections(encrypted, int(where.rpartition(":")[2]), two.port)
            async with knowing(*records, tls=Tls(0, authorities=authority.file)) as (gateway, _):
                began = time.monotonic()
                account = await gateway.endpoint.sign_on(login(encrypted))
                await asyncio.wait_for(account.registered(), SOON_S)
                assert 3 < time.monotonic() - began < 10
                assert "transport=" in two.contact.lower()
                await account.close()
                await two.registered(now=False)


@pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
async def test_registrar_that_falls_mute(tmp_path: Path, encrypted: bool) -> None:
    """One that answered, and says nothing any more on the connection that is up, is left for the next as soon."""
    authority = Authority(tmp_path, "authority")
    shown = authority.certificate("provider.test").served() if encrypted else None
    async with (
        SipProvider("room7", "secret", stream=True, tls=shown, grants_s=7, host="127.0.0.7") as one,
        SipProvider("room7", "secret", stream=True, tls=shown) as two,
    ):
        records = on_connections(encrypted, one.port, two.port)
        async with knowing(*records, tls=Tls(0, authorities=authority.file)) as (gateway, _):
            account = await gateway.endpoint.sign_on(login(encrypted))
            await asyncio.wait_for(account.registered(), SOON_S)
            assert one.contact
            assert not two.contact
            one.mute = True
            asked = len(one.requests)
            await until(lambda: len(one.requests) > asked)
            # It may have been asked a while before we see it.
            began = time.monotonic()
            await two.registered(now=True, timeout_s=SOON_S)
            assert 2 < time.monotonic() - began < 10
            await until(lambda: account.is_registered)
            await account.close()


async def test_no_such_name() -> None:
    """The call ends at once."""
    async with knowing("rooms.test 60 A 127.0.0.7") as (gateway, dns):
        call = await gateway.endpoint.dial("sip:board@nowhere.test")
        ended = await asyncio.wait_for(call.wait_ended(), SOON_S)
        assert (ended.code, ended.by_peer) == (502, False)
        assert "_sip._udp.nowhere.test. SRV" in dns.asked


async def test_port_needs_no_service() -> None:
    """An address with a port names its host (RFC 3263 section 4.2)."""
    async with RawCaller(9, host="127.0.0.7") as peer, knowing("rooms.test 60 A 127.0.0.7") as (gateway, dns):
        call = await gateway.endpoint.dial(f"sip:board@rooms.test:{port(peer)}")
        await peer.awaited("INVITE")
        assert set(dns.asked) == {"rooms.test. A"}
        await call.hangup()


@pytest.mark.slow
async def test_no_nameserver() -> None:
    """Where DNS is silent a call ends soon all the same, and other calls are not held up."""
    settings = SipSettings(port=0, network=NetworkSettings(nameservers=("127.0.0.1:9",)))
    async with gateway_with(settings) as gateway, RawCaller(9) as peer:
        dead = await gateway.endpoint.dial("sip:board@rooms.invalid")
        live = await gateway.endpoint.dial(f"sip:board@{peer.local}")
        await peer.awaited("INVITE")
        assert (await asyncio.wait_for(dead.wait_ended(), SOON_S)).code == 502
        await live.hangup()
