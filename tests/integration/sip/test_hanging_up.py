"""A call ends while something else is still under way in it, and the endpoint closes after it."""

import asyncio

import pytest

from tests.integration.sip.conftest import Gateway
from tests.integration.sip.raw_calls import both, bridged
from tests.peer.raw_peer import RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.mark.parametrize("video", [True, False])
async def test_hung_up_while_our_offer_is_out(video: bool) -> None:
    """A peer that answers neither our re-INVITE nor our BYE does not keep the endpoint from closing in good order."""
    gateway = Gateway()
    await gateway.endpoint.start()
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        peer.request("INVITE", peer.describe(*(both(peer) if video else [peer.audio()])))
        call = await gateway.take()
        await call.answer()
        await peer.response()
        peer.request("ACK")
        await bridged(call)
        offering = asyncio.create_task(call.set_video(video=not video))
        await peer.awaited("INVITE")
        await call.hangup()
        await call.wait_ended()
        assert await asyncio.wait_for(offering, 5) in (408, 487)
        await gateway.endpoint.close()
