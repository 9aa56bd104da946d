"""A call ends while something else is still under way in it, and the endpoint closes after it."""

import asyncio
import time

import pytest

from tests.integration.sip.conftest import Gateway
from tests.integration.sip.raw_calls import both, bridged
from tests.peer.measured import MeasuredPeer, PeerError
from tests.peer.raw_peer import RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="function")

_ENDS = 100
_RING_S = 4.0
_BUSY_S = 0.5


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


async def test_answered_before_we_know_that_it_rings() -> None:
    """A peer that answers while our loop has no time for its call is not hung up on when its ringing time is over."""
    gateway = Gateway()
    await gateway.endpoint.start()
    async with MeasuredPeer() as peer:
        dialling = asyncio.create_task(gateway.endpoint.dial(peer.uri, timeout_s=_RING_S))
        await asyncio.sleep(0)
        time.sleep(_BUSY_S)  # noqa: ASYNC251  (the loop is to be held up)
        call = await dialling
        await bridged(call)
        await asyncio.sleep(_RING_S + 1)
        assert call.ended is None
        await call.hangup()
        await peer.wait_over()
    await gateway.endpoint.close()


@pytest.mark.slow
async def test_hung_up_while_packets_are_sent() -> None:
    """However a call's end falls between two packets of its picture, both sides go on: the next call is taken.

    One in some hundred ends falls badly, so there are many.
    """
    gateway = Gateway()
    await gateway.endpoint.start()
    async with MeasuredPeer(width=640, height=360, fps=30, bitrate=3_000_000) as peer:
        for number in range(_ENDS):
            await peer.call(gateway.uri)
            call = await gateway.take()
            await call.answer()
            await peer.wait_up()
            await asyncio.sleep(0.3 + number % 7 / 50)
            await (peer if number % 2 else call).hangup()
            await peer.wait_over()
            await call.wait_ended()
            peer.forget_events()
    await gateway.endpoint.close()


@pytest.mark.slow
async def test_hung_up_by_both_at_once() -> None:
    """The peer's BYE comes while ours is made: PJSIP handles it in the middle of stopping the picture, and lives.

    One in some hundred ends meets it so.
    """
    gateway = Gateway()
    await gateway.endpoint.start()
    async with MeasuredPeer(width=320, height=180, fps=30, bitrate=300_000) as peer:
        for number in range(2 * _ENDS):
            await peer.call(gateway.uri)
            call = await gateway.take()
            await call.answer()
            await peer.wait_up()
            await asyncio.sleep(number % 11 / 50)
            # The peer has no call any more where ours was first.
            _, refused = await asyncio.gather(call.hangup(), peer.hangup(), return_exceptions=True)
            assert refused is None or isinstance(refused, PeerError)
            await peer.wait_over()
            await call.wait_ended()
            peer.forget_events()
    await gateway.endpoint.close()
