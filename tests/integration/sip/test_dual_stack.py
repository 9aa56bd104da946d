"""SIP and RTP by both versions of IP at once: each peer is spoken to by its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import Gateway
from tests.integration.sip.raw_calls import both, bridged, hang_up
from tests.peer.raw_peer import RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOPBACK = {"127.0.0.1": "IN IP4", "::1": "IN IP6"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dual() -> AsyncIterator[Gateway]:
    """An endpoint on all addresses."""
    gateway = Gateway(SipSettings(host="::", port=0))
    await gateway.endpoint.start()
    yield gateway
    await gateway.endpoint.close()


@pytest.mark.parametrize("host", LOOPBACK)
async def test_call_from_either(dual: Gateway, host: str) -> None:
    """A caller is answered by the version of IP that it came by, in SIP and in SDP, early offer or none."""
    for offers in (True, False):
        async with RawPeer(dual.endpoint.ports.udp, host=host) as peer:
            peer.request("INVITE", peer.describe(*both(peer)) if offers else "")
            call = await dual.take()
            await call.answer()
            code, text = await peer.response()
            assert code == 200
            assert f"c={LOOPBACK[host]} " in text
            contact = next(line for line in text.splitlines() if line.lower().startswith("contact:"))
            assert ("sip:jibri-sip@[" in contact) == (":" in host)
            peer.request("ACK", "" if offers else peer.describe(*both(peer)))
            assert (await bridged(call)).video
            await peer.picture.receive(3)
            await hang_up(call, peer)


@pytest.mark.parametrize("host", LOOPBACK)
async def test_call_to_either(dual: Gateway, host: str) -> None:
    """An address of either version is called by it, and offered media by it."""
    async with RawPeer(dual.endpoint.ports.udp, host=host) as peer:
        call = await dual.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        assert f"c={LOOPBACK[host]} " in invite
        peer.respond(invite, "200 OK", peer.describe(*both(peer)))
        await peer.awaited("ACK")
        assert (await bridged(call)).video
        await peer.picture.receive(3)
        await hang_up(call, peer)
