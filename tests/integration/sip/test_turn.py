"""STUN, ICE and TURN towards the SIP side, with coturn and a real router (nftables)."""

import asyncio
import re
import secrets
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr, ValidationError

from jibri_sip.config.network import NetworkSettings
from jibri_sip.dial_plan import SipAccount
from jibri_sip.sip.call import Call
from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import SOON_S, Gateway, answered, gateway_with, offer, until
from tests.integration.sip.raw_calls import counted
from tests.integration.sip.ways import BESIDE, FAR, PASSWORD, RTP, on_a_cable, relayed
from tests.peer.measured import MeasuredPeer
from tests.peer.netns import Net, cable, ip, masquerade, net, nft
from tests.peer.pcmu import PcmuSocket
from tests.peer.provider import SipProvider, field
from tests.peer.raw import AUDIO, RawCaller, sdp
from tests.peer.turn import USER, turn_server

pytestmark = pytest.mark.asyncio

NEAR = "10.7.0.2"
ROUTER_INSIDE = "10.7.0.1"
ROUTER_OUTSIDE = "198.51.100.9"
ROUTER_LATER = "198.51.100.10"
NEAR_LATER = "10.7.0.3"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_relay(tmp_path: Path, transport: str) -> None:
    """A peer without ICE hears and is heard by way of the relay, whose password is in no log."""
    with structlog.testing.capture_logs() as log:
        async with turn_server(PASSWORD) as port:
            settings = SipSettings(port=0, network=relayed(port, tmp_path, transport), trace=5, **RTP)
            async with (
                gateway_with(settings) as gateway,
                PcmuSocket("127.0.0.1") as media,
                answered(gateway, offer(media, "127.0.0.1")) as (call, rtp),
            ):
                assert rtp not in range(23200, 23300)
                # The relay lets in whom something was sent to.
                await until(lambda: bool(media.heard))
                await media.send(rtp, 60)
                await until(lambda: len(media.heard) > 10)
                assert await counted(call, 31) > 30
    assert log
    assert PASSWORD not in "\n".join(map(str, log))


async def test_relay_needs_ice() -> None:
    """It would be of no use without, and nobody would notice."""
    with pytest.raises(ValidationError, match="ice = true"):
        NetworkSettings.model_validate({"turn": {"server": "turn.example.com"}})


@asynccontextmanager
async def behind_a_router() -> AsyncIterator[tuple[Net, Net]]:
    """A router that translates addresses and ports, with this test behind it, and the internet."""
    ip("link", "set", "lo", "up")
    with net() as router, net() as internet:
        cable("near", "inside", router)
        cable("outside", "far", internet, near=router)
        ip("address", "add", f"{NEAR}/24", "dev", "near")
        ip("route", "add", "default", "via", ROUTER_INSIDE)
        ip("address", "add", f"{ROUTER_INSIDE}/24", "dev", "inside", inside=router)
        ip("address", "add", f"{ROUTER_OUTSIDE}/24", "dev", "outside", inside=router)
        ip("address", "add", f"{FAR}/24", "dev", "far", inside=internet)
        masquerade(router, "outside")
        yield router, internet


@pytest.mark.own_network
async def test_stun() -> None:
    """What the STUN server sees is what the peer is told, and media comes back through the router that way."""
    async with (
        behind_a_router() as (_, internet),
        turn_server(PASSWORD, FAR, 3478, tuple(internet.prefix)),
        gateway_with(
            SipSettings(host=NEAR, port=5060, network=NetworkSettings(stun_server=f"{FAR}:3478"), **RTP)
        ) as gateway,
        PcmuSocket("", internet.udp(FAR)) as media,
        RawCaller(5060, sock=internet.udp(FAR)) as peer,
    ):
        peer.target = (ROUTER_OUTSIDE, 5060)
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        assert re.search(rf"(?m)^Contact: <sip:[^>]*{ROUTER_OUTSIDE}", invite)
        assert set(re.findall(r"(?m)^c=IN IP4 (\S+)", invite)) == {ROUTER_OUTSIDE}
        port = re.search(r"m=audio (\d+)", invite)
        assert port is not None
        peer.respond(invite, "200 OK", sdp(AUDIO.replace("30000", str(media.port))).replace("127.0.0.1", FAR))
        await peer.awaited("ACK")
        # The router lets in what it has seen an answer's question of.
        await until(lambda: bool(media.heard))
        await media.send(int(port[1]), 40, host=ROUTER_OUTSIDE)
        await until(lambda: len(media.heard) > 10)
        assert await counted(call, 21) > 20
        await call.hangup()
        peer.respond(await peer.awaited("BYE"), "200 OK")
        await call.wait_ended()


@asynccontextmanager
async def known_by_stun(host: str) -> AsyncIterator[tuple[Net, Gateway, SipProvider, RawCaller, Call]]:
    """A router, and an endpoint behind it that is known by what a STUN server sees: registered, and with a call up."""
    network = NetworkSettings(stun_server=f"{FAR}:3478", keep_alive_s=1)
    async with (
        behind_a_router() as (router, internet),
        turn_server(PASSWORD, FAR, 3478, tuple(internet.prefix)),
        gateway_with(SipSettings(host=host, port=5060, network=network, **RTP)) as gateway,
        SipProvider("room7", None, sock=internet.udp(FAR)) as provider,
        RawCaller(5060, sock=internet.udp(FAR)) as peer,
    ):
        account = await gateway.endpoint.sign_on(SipAccount(f"room7@{FAR}:{provider.port}", SecretStr("x")))
        await asyncio.wait_for(account.registered(), SOON_S)
        assert ROUTER_OUTSIDE in provider.contact
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        assert addresses(invite) == {ROUTER_OUTSIDE}
        peer.target = (ROUTER_OUTSIDE, 5060)
        peer.respond(invite, "200 OK", sdp(AUDIO).replace("127.0.0.1", FAR))
        await peer.awaited("ACK")
        yield router, gateway, provider, peer, call


def addresses(invite: str) -> set[str]:
    """What an INVITE says of where its sender is."""
    told = (
        r"Via: SIP/2\.0/UDP ([\d.]+)",
        r"Contact: <sip:[^>]*?@([\d.]+)",
        r"c=IN IP4 ([\d.]+)",
    )
    return {found for one in told for found in re.findall(f"(?m)^{one}", invite)}


@pytest.mark.own_network
async def test_router_gets_another_address() -> None:
    """What the STUN server sees is asked again: calls that are up, registrations and new calls have what it is now."""
    async with known_by_stun(NEAR) as (router, gateway, provider, peer, call):
        ip("address", "del", f"{ROUTER_OUTSIDE}/24", "dev", "outside", inside=router)
        ip("address", "add", f"{ROUTER_LATER}/24", "dev", "outside", inside=router)
        invite = await peer.awaited("INVITE")
        assert addresses(invite) == {ROUTER_LATER}
        peer.target = (ROUTER_LATER, 5060)
        peer.respond(invite, "200 OK", sdp(AUDIO).replace("127.0.0.1", FAR))
        await peer.awaited("ACK")
        await until(lambda: ROUTER_LATER in provider.contact)
        assert gateway.endpoint.ports.address == f"{ROUTER_LATER}:5060"
        await gateway.endpoint.dial(f"sip:guest@{FAR}:{provider.port}")
        await until(lambda: bool(provider.of("INVITE")))
        invite = provider.of("INVITE")[-1]
        assert addresses(invite) == {ROUTER_LATER}
        assert ROUTER_LATER in field(invite, "From")
        assert call.ended is None
        await call.hangup()
        peer.respond(await peer.awaited("BYE"), "200 OK")
        await call.wait_ended()


@pytest.mark.own_network
async def test_address_behind_a_router_changes() -> None:
    """With another address of our own all are told anew, though the router shows the same: media has other ports."""
    async with known_by_stun("0.0.0.0") as (_, gateway, provider, peer, call):  # noqa: S104  (of the test's own network)
        registered = len(provider.of("REGISTER"))
        ip("address", "del", f"{NEAR}/24", "dev", "near")
        ip("address", "add", f"{NEAR_LATER}/24", "dev", "near")
        ip("route", "replace", "default", "via", ROUTER_INSIDE)
        invite = await peer.awaited("INVITE")
        assert addresses(invite) == {ROUTER_OUTSIDE}
        seen = re.search(r"Contact: <sip:[^>]*?@([\d.]+:\d+)", invite)
        assert seen is not None
        assert gateway.endpoint.ports.address == seen[1]
        await until(lambda: len(provider.of("REGISTER")) > registered)
        peer.target = (ROUTER_OUTSIDE, int(seen[1].rpartition(":")[2]))
        peer.respond(invite, "200 OK", sdp(AUDIO).replace("127.0.0.1", FAR))
        await peer.awaited("ACK")
        await call.hangup()
        peer.respond(await peer.awaited("BYE"), "200 OK")
        await call.wait_ended()


@asynccontextmanager
async def beside_a_proxy(host: str) -> AsyncIterator[tuple[Net, RawCaller, PcmuSocket]]:
    """A router, and an endpoint behind it to whose signalling a proxy on its machine sees, with a call up."""
    network = NetworkSettings(stun_server=f"{FAR}:3478", keep_alive_s=1)
    settings = SipSettings(host=host, signalling_host="127.0.0.1", port=5060, network=network, **RTP)
    async with (
        behind_a_router() as (router, internet),
        turn_server(PASSWORD, FAR, 3478, tuple(internet.prefix)),
        gateway_with(settings) as gateway,
        PcmuSocket("", internet.udp(FAR)) as media,
        RawCaller(5060) as proxy,
    ):
        proxy.request("INVITE", offer(media, FAR))
        call = await gateway.take()
        await call.answer()
        _, answer = await proxy.response()
        assert media_addresses(answer) == {ROUTER_OUTSIDE}
        proxy.request("ACK")
        yield router, proxy, media
        assert call.ended is None
        await call.hangup()
        proxy.respond(await proxy.awaited("BYE"), "200 OK")
        await call.wait_ended()


async def told_anew(proxy: RawCaller, media: PcmuSocket, address: str) -> None:
    """By a re-INVITE that says so of media alone, the call's media is at this address now, both ways."""
    invite = await proxy.awaited("INVITE")
    assert media_addresses(invite) == {address}
    assert "@127.0.0.1:5060" in field(invite, "Contact")
    proxy.respond(invite, "200 OK", offer(media, FAR))
    await proxy.awaited("ACK")
    port = re.search(r"m=audio (\d+)", invite)
    assert port is not None
    media.heard.clear()
    # The router lets in what it has seen an answer's question of.
    await until(lambda: bool(media.heard))
    await media.send(int(port[1]), 40, host=address)
    await until(lambda: len(media.heard) > 10)


@pytest.mark.own_network
async def test_router_gets_another_address_beside_a_proxy() -> None:
    """Calls that are up are told where their media is seen now, once."""
    async with beside_a_proxy(NEAR) as (router, proxy, media):
        await asyncio.sleep(2.5)
        assert proxy.received.empty()
        ip("address", "del", f"{ROUTER_OUTSIDE}/24", "dev", "outside", inside=router)
        ip("address", "add", f"{ROUTER_LATER}/24", "dev", "outside", inside=router)
        await told_anew(proxy, media, ROUTER_LATER)
        await asyncio.sleep(2.5)
        assert proxy.received.empty()


@pytest.mark.own_network
async def test_address_behind_a_router_changes_beside_a_proxy() -> None:
    """With another address of our own they are told anew, though the router shows the same: media has other ports."""
    async with beside_a_proxy("0.0.0.0") as (_, proxy, media):  # noqa: S104  (of the test's own network)
        ip("address", "del", f"{NEAR}/24", "dev", "near")
        ip("address", "add", f"{NEAR_LATER}/24", "dev", "near")
        ip("route", "replace", "default", "via", ROUTER_INSIDE)
        await told_anew(proxy, media, ROUTER_OUTSIDE)


def media_addresses(message: str) -> set[str]:
    """Where a description says that media goes."""
    return set(re.findall(r"(?m)^c=IN IP4 ([\d.]+)", message))


@pytest.mark.own_network
async def test_stun_server_lost_and_back() -> None:
    """A server that falls silent is told of once, and what it said last holds; strangers' answers count for nothing."""
    with structlog.testing.capture_logs() as log:
        async with known_by_stun(NEAR) as (router, gateway, _, peer, call):
            nft(router, "add table ip deaf")
            nft(router, "add chain ip deaf way { type filter hook forward priority 0; }")
            nft(router, "add rule ip deaf way udp dport 3478 drop")
            await until(lambda: any(line["event"] == "stun_server_silent" for line in log))
            for forged in (answer(bytes(12)), answer(secrets.token_bytes(12)), b"\1\1" + bytes(20), bytes(32)):
                peer.send_octets(forged)
            peer.uri = f"sip:demo@{ROUTER_OUTSIDE}"
            peer.request("OPTIONS")
            assert (await peer.response())[0] == 200
            assert gateway.endpoint.ports.address == f"{ROUTER_OUTSIDE}:5060"
            await asyncio.sleep(3)
            assert call.ended is None
            await call.hangup()
            peer.respond(await peer.awaited("BYE"), "200 OK")
            await call.wait_ended()
    events = [line["event"] for line in log]
    assert events.count("stun_server_silent") == 1
    assert "public_address_changed" not in events
    assert not [line for line in log if "Dropping" in str(line.get("text"))]


def answer(number: bytes) -> bytes:
    """An answer of a STUN server's to the question of this number, which tells of an address that is nobody's."""
    mapped = struct.pack("!HHxBHI", 0x20, 8, 1, 9 ^ 0x2112, 0xC0000263 ^ 0x2112A442)
    return struct.pack("!HHI", 0x0101, len(mapped), 0x2112A442) + number + mapped


@pytest.mark.own_network
async def test_ice() -> None:
    """Two that can do ICE agree on a way, and picture and sound take it."""
    with structlog.testing.capture_logs() as log:
        async with (
            on_a_cable(SipSettings(network=NetworkSettings(ice=True), trace=4)) as (gateway, far),
            MeasuredPeer(width=320, height=180, fps=10, ice=True, host=FAR, prefix=far.prefix) as peer,
        ):
            await peer.call(f"sip:demo@{BESIDE};transport=udp")
            call = await gateway.take()
            await call.answer()
            await peer.wait_up()
            async with asyncio.timeout(30):
                while True:
                    stats = await call.stats()
                    if (await peer.report()).video.intact and stats.video and stats.video.received.packets:
                        break
                    await asyncio.sleep(0.2)
            await call.hangup()
            await peer.wait_over()
    assert [line for line in log if "ICE negotiation success" in str(line.get("text"))]


@pytest.mark.own_network
@pytest.mark.parametrize(
    "turn",
    [{}, {"server": f"{FAR}:9", "user": USER}],
    ids=["alone", "relay-down"],
)
async def test_peer_without_ice(turn: dict[str, str]) -> None:
    """Nothing checks who sends then: the filter does. A relay that is down is done without, after a second or two."""
    async with (
        on_a_cable(SipSettings(network=NetworkSettings.model_validate({"ice": True, "turn": turn}))) as (gateway, far),
        PcmuSocket("", far.udp(FAR)) as media,
        PcmuSocket(BESIDE) as stranger,
        RawCaller(5060, sock=far.udp(FAR)) as caller,
    ):
        caller.target, caller.uri = (BESIDE, 5060), f"sip:demo@{BESIDE}"
        caller.request("INVITE", sdp(AUDIO.replace("30000", str(media.port))).replace("127.0.0.1", FAR))
        call = await gateway.take()
        await call.answer()
        _, answer = await caller.response(timeout_s=6)
        caller.request("ACK")
        port = re.search(r"m=audio (\d+)", answer)
        assert port is not None
        await stranger.send(int(port[1]), 200, every_s=0, ssrc=b"EVIL", host=BESIDE)
        await media.send(int(port[1]), 30, host=BESIDE)
        await until(lambda: len(media.heard) > 10)
        assert stranger.heard == []
        await call.hangup()
        caller.respond(await caller.awaited("BYE"), "200 OK")
        await call.wait_ended()


@pytest.mark.own_network
async def test_caller_behind_a_real_router() -> None:
    """Its addresses are of a network that nobody else knows; it is answered, seen to, and hung up on all the same."""
    ip("link", "set", "lo", "up")
    with net() as router, net() as home:
        cable("near", "outside", router)
        cable("inside", "desk", home, near=router)
        ip("address", "add", f"{BESIDE}/24", "dev", "near")
        ip("address", "add", f"{ROUTER_OUTSIDE}/24", "dev", "outside", inside=router)
        ip("address", "add", f"{ROUTER_INSIDE}/24", "dev", "inside", inside=router)
        ip("address", "add", f"{NEAR}/24", "dev", "desk", inside=home)
        ip("route", "add", "default", "via", ROUTER_INSIDE, inside=home)
        masquerade(router, "outside")
        async with (
            gateway_with(SipSettings(host=BESIDE, port=5060, **RTP)) as gateway,
            PcmuSocket("", home.udp(NEAR)) as media,
            RawCaller(5060, sock=home.udp(NEAR)) as caller,
        ):
            caller.target, caller.uri, caller.wants_rport = (BESIDE, 5060), f"sip:demo@{BESIDE}", False
            caller.request("INVITE", sdp(AUDIO.replace("30000", str(media.port))).replace("127.0.0.1", NEAR))
            call = await gateway.take()
            await call.answer()
            _, answer = await caller.response()
            caller.request("ACK")
            port = re.search(r"m=audio (\d+)", answer)
            assert port is not None
            await media.send(int(port[1]), 40, host=BESIDE)
            await until(lambda: len(media.heard) > 10)
            assert await counted(call, 21) > 20
            await call.hangup()
            caller.respond(await caller.awaited("BYE"), "200 OK")
            await call.wait_ended()
