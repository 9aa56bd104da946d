"""SIP and RTP over IPv6 (RFC 3261, RFC 8866 section 5.7), to loopback; the other version of IP beside it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import Gateway
from tests.integration.sip.large import FALL_BACK_S, arrival_s, black_hole, dial, mute, read_head, stream_port
from tests.integration.sip.raw_calls import both, bridged, counted, hang_up
from tests.peer.raw import RawCaller
from tests.peer.raw_peer import RawPeer, sections

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def six() -> AsyncIterator[Gateway]:
    """An endpoint on ::1."""
    gateway = Gateway(SipSettings(host="::1", port=0))
    await gateway.endpoint.start()
    yield gateway
    await gateway.endpoint.close()


async def test_call_from_an_ipv6_peer(six: Gateway) -> None:
    """A caller on ::1 is answered with IN IP6, sees and is heard."""
    async with RawPeer(six.endpoint.ports.udp, host="::1") as peer:
        peer.request("INVITE", peer.describe(*both(peer)))
        call = await six.take()
        assert call.request_uri.host == "[::1]"
        await call.answer()
        code, text = await peer.response()
        peer.request("ACK")
        assert code == 200
        assert "c=IN IP6 ::1" in text
        assert f"Contact: <sip:jibri-sip@[::1]:{six.endpoint.ports.udp}" in text
        assert (await bridged(call)).video
        await peer.sound.receive(3)
        await peer.picture.receive(3)
        port = sections(text)[0].port
        for n in range(5):
            peer.sound.send(port, 0, 160 * n, b"\xff" * 160)
            await asyncio.sleep(0.02)
        assert await counted(call, 5) == 5
        await hang_up(call, peer)


async def test_call_to_an_ipv6_peer(six: Gateway) -> None:
    """An address with an IPv6 host in brackets is called, with IN IP6 in the offer."""
    async with RawPeer(six.endpoint.ports.udp, host="::1") as peer:
        call = await six.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        assert "c=IN IP6 ::1" in invite
        peer.respond(invite, "200 OK", peer.describe(*both(peer)))
        await peer.awaited("ACK")
        assert (await bridged(call)).video
        await peer.picture.receive(3)
        await hang_up(call, peer)


async def test_delayed_offer_over_ipv6(six: Gateway) -> None:
    """An INVITE without an offer gets one with IN IP6."""
    async with RawPeer(six.endpoint.ports.udp, host="::1") as peer:
        peer.request("INVITE")
        call = await six.take()
        await call.answer()
        code, text = await peer.response()
        assert code == 200
        assert "c=IN IP6 ::1" in text
        peer.request("ACK", peer.describe(*both(peer)))
        assert (await bridged(call)).video
        await hang_up(call, peer)


@pytest.mark.alone  # tenths of a second count
async def test_large_request_over_ipv6(six: Gateway) -> None:
    """A large INVITE goes by TCP there, too, and by UDP where that is refused, or met with silence of either kind."""
    async with RawCaller(six.endpoint.ports.udp, host="::1") as callee, stream_port(callee.local) as connections:
        call = await dial(six, callee)
        connection = await asyncio.wait_for(connections.get(), 5)
        invite = await read_head(connection)
        assert "Via: SIP/2.0/TCP [::1]" in invite
        by_udp, callee.send = callee.send, lambda message: connection[1].write(message.encode())  # type: ignore[method-assign]
        callee.respond(invite, "603 Decline")
        assert (await call.wait_ended()).code == 603
        assert callee.received.empty()
        callee.send = by_udp  # type: ignore[method-assign]
        connection[1].transport.abort()
    for trouble in (black_hole, mute, contextlib.nullcontext):
        # What a busy machine adds is not in all of some tries.
        for _ in range(5):
            async with RawCaller(six.endpoint.ports.udp, host="::1") as callee:
                with trouble(callee.local):
                    elapsed, invite = await arrival_s(six, callee)
            assert "Via: SIP/2.0/UDP [::1]" in invite
            if elapsed < FALL_BACK_S + 0.3:
                break
        assert elapsed < FALL_BACK_S + 0.3
