"""Routers between us and the peer: what its messages say of addresses is wrong, and media comes from elsewhere."""

import asyncio
import re
from functools import partial

import pytest

from tests.integration.sip.conftest import Gateway, answered, offer, until
from tests.integration.sip.raw_calls import counted, up
from tests.peer.pcmu import PcmuSocket
from tests.peer.raw import AUDIO, VIDEO, RawCaller, sdp
from tests.peer.rtp import RtpSocket
from tests.peer.wire import sender_report

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRIVATE = "192.168.7.5"
"""What a peer behind a router thinks its address is."""


async def test_caller_behind_a_router(gateway: Gateway) -> None:
    """It asks for no rport (RFC 3581) and gives addresses that nobody can reach, and is answered and called."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        truth, caller.local = caller.local, f"{PRIVATE}:5070"
        caller.wants_rport = False
        caller.request("INVITE", sdp(AUDIO))
        call = await gateway.take()
        await call.answer()
        code, text = await caller.response()
        assert code == 200
        assert "received=127.0.0.1" in text
        caller.request("ACK")
        await call.hangup()
        bye = await caller.awaited("BYE")
        assert bye.startswith(f"BYE sip:raw@{truth} ")
        caller.respond(bye, "200 OK")
        await call.wait_ended()


async def test_callee_behind_a_router(gateway: Gateway) -> None:
    """The answer comes from another address than it names; ACK goes where the peer can be reached, if that is known."""
    async with RawCaller(gateway.endpoint.ports.udp, host="127.0.0.7") as callee:
        truth = callee.local
        call = await gateway.endpoint.dial(f"sip:raw@{truth}")
        invite = await callee.awaited("INVITE")
        callee.local = f"{PRIVATE}:5070"
        callee.respond(invite, "200 OK", sdp(AUDIO))
        ack = await callee.awaited("ACK")
        assert ack.startswith(f"ACK sip:raw@{truth} ")
        await call.hangup()
        callee.respond(await callee.awaited("BYE"), "200 OK")
        await call.wait_ended()


async def test_proxy_that_stays(gateway: Gateway) -> None:
    """Where a proxy records its route, the address that the peer gave is for the proxy to understand."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        truth, caller.local = caller.local, f"{PRIVATE}:5070"
        caller.request("INVITE", sdp(AUDIO), {"Record-Route": f"<sip:{truth};lr>"})
        call = await gateway.take()
        await call.answer()
        await caller.response()
        caller.request("ACK")
        await call.hangup()
        bye = await caller.awaited("BYE")
        assert bye.startswith(f"BYE sip:raw@{PRIVATE}:5070 ")
        caller.respond(bye, "200 OK")
        await call.wait_ended()


async def test_symmetric_rtp(gateway: Gateway) -> None:
    """Sound goes where the peer's comes from, not to the address of its SDP."""
    async with PcmuSocket("127.0.0.1") as media, answered(gateway, offer(media, PRIVATE)) as (call, port):
        await media.send(port, 50)
        await until(lambda: len(media.heard) > 10)
        assert await counted(call, 41) > 40


def has_picture(packets: list[bytes]) -> bool:
    """Whether any of these packets is of a picture."""
    return any(packet[1] & 0x7F == 97 for packet in packets)


@pytest.mark.parametrize("feedback", ["", "a=rtcp-fb:97 nack\n"], ids=["plain", "nack"])
async def test_symmetric_picture(gateway: Gateway, feedback: str) -> None:
    """So does the picture, with and without retransmission, also when a router gives the peer another port mid-call."""
    async with (
        PcmuSocket("127.0.0.1") as media,
        PcmuSocket("127.0.0.1") as later,
        RawCaller(gateway.endpoint.ports.udp) as caller,
    ):
        picture = VIDEO.replace("30002", str(media.port)) + feedback
        caller.request("INVITE", sdp(AUDIO, picture).replace("127.0.0.1", PRIVATE))
        call = await gateway.take()
        await call.answer()
        _, answer = await caller.response()
        assert ("nack" in answer.replace("nack pli", "")) is bool(feedback)
        caller.request("ACK")
        port = re.search(r"m=video (\d+)", answer)
        assert port is not None
        for socket in (media, later):
            later.number = media.number
            await socket.send(int(port[1]), 60, payload_type=97)
            await until(partial(has_picture, socket.heard))
        await call.hangup()
        caller.respond(await caller.awaited("BYE"), "200 OK")
        await call.wait_ended()


async def test_report_takes_no_stream(gateway: Gateway) -> None:
    """RTCP where only RTP is to come, as for the call that had the port before, is no sign of where the peer is."""
    async with up(gateway) as call, RtpSocket() as other:
        for section, stream in zip(call.answer, (call.peer.sound, call.peer.picture), strict=True):
            for _ in range(20):
                other.report(section.port, sender_report(other.source, 0.0, 0))
            await asyncio.sleep(0.2)
            call.peer.forget_media()
            await stream.receive(3)
        assert other.packets == []


@pytest.mark.parametrize("first", [True, False], ids=["before-the-peer", "after-the-peer"])
async def test_stranger_cannot_take_the_stream(gateway: Gateway, first: bool) -> None:
    """Whoever finds the port, with many packets and before the peer itself, hears nothing and is not heard."""
    async with (
        PcmuSocket("127.0.0.1") as media,
        PcmuSocket("127.0.0.66") as stranger,
        answered(gateway, offer(media, "127.0.0.1")) as (call, port),
    ):
        if not first:
            await media.send(port, 20)
        await stranger.send(port, 500, every_s=0, ssrc=b"EVIL")
        await stranger.send(port + 1, 20, every_s=0, ssrc=b"EVIL")
        before = len(media.heard)
        await media.send(port, 30)
        await until(lambda: len(media.heard) > before + 10)
        assert stranger.heard == []
        stats = (await call.stats()).audio
        assert stats is not None
        assert stats.received.packets <= 50
