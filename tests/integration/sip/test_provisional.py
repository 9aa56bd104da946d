"""Before a call is up: reliable provisional responses (RFC 3262), early media, forks (RFC 3261 section 13.2.2.4)."""

import asyncio
import re

import pytest

from jibri_sip.sip.events import Answered, Ended, MediaUp, Ringing
from tests.bench import pcmu
from tests.integration.sip.conftest import Gateway
from tests.integration.sip.raw_calls import bridged, event, hang_up
from tests.peer import devices
from tests.peer.listening import hears_tone
from tests.peer.raw_peer import RawPeer, sections

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_VIDEO = "m=video 0 RTP/AVP 97"
EARLY_HZ = 880.0
FRAME_S = 0.02


def header(message: str, name: str) -> str:
    """The value of a header field that is there once."""
    match = re.search(rf"(?im)^{name}:[ \t]*([^\r\n]*)", message)
    assert match is not None, message
    return match[1]


async def level() -> float:
    """How loud the early tone is in what the meeting gets."""
    return devices.heard(EARLY_HZ)


async def test_a_caller_that_requires_reliable_ringing(gateway: Gateway) -> None:
    """180 is sent reliably, again and again until PRACK, and the call comes about."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        peer.request("INVITE", peer.describe(peer.audio(), peer.video()), {"Require": "100rel"})
        call = await gateway.take()
        await call.ring()
        numbers: list[str] = []
        while len(numbers) < 2:
            code, text = await peer.response(final=False)
            if code == 180:
                assert header(text, "Require") == "100rel"
                numbers.append(header(text, "RSeq"))
        assert numbers[0] == numbers[1]
        peer.request("PRACK", headers={"RAck": f"{numbers[0]} 1 INVITE"})
        code, text = await peer.response()
        assert (code, header(text, "CSeq")) == (200, "2 PRACK")
        await call.answer()
        code, text = await peer.response()
        assert (code, header(text, "CSeq")) == (200, "1 INVITE")
        peer.sequence = 1
        peer.request("ACK")
        peer.sequence = 2
        assert (await bridged(call)).video
        await peer.picture.receive(3)
        await hang_up(call, peer)


async def test_an_unknown_extension_is_refused(gateway: Gateway) -> None:
    """What a caller requires and we have not is named in 420 (RFC 3261 section 8.2.2.3)."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        peer.request("INVITE", peer.describe(peer.audio()), {"Require": "100rel, precondition"})
        code, text = await peer.response()
        assert code == 420
        assert header(text, "Unsupported") == "precondition"
        peer.request("ACK")
    assert gateway.incoming.empty()


async def test_early_media_stays_out_of_the_meeting(gateway: Gateway) -> None:
    """The sound that comes with 183 is not let in; once the call is answered it is. Nothing of ours goes out early."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        port = sections(invite)[0].port
        description = peer.describe(peer.audio(), NO_VIDEO)
        peer.respond(invite, "183 Session Progress\r\nRequire: 100rel\r\nRSeq: 17", description)
        prack = await peer.awaited("PRACK")
        assert header(prack, "RAck") == f"17 {header(invite, 'CSeq')}"
        peer.respond(prack, "200 OK")
        assert await event(call, Ringing) == Ringing(183, "Session Progress")
        async with peer.sound.talking(port, 0, pcmu.tone(EARLY_HZ, 1.0), pcmu.PACKET, FRAME_S):
            await asyncio.sleep(0.6)
            assert devices.heard(EARLY_HZ) < 0.01
            assert not any(packet.payload.strip(b"\xff\x7f") for packet in peer.sound.packets)
            peer.respond(invite, "200 OK")
            await peer.awaited("ACK")
            await event(call, Answered)
            assert await hears_tone(level)
        await hang_up(call, peer)


async def test_early_media_is_replaced_by_the_answer(gateway: Gateway) -> None:
    """A 183 with an announcement's SDP, then 200 with another port: sound and picture go where the 200 says."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer, RawPeer(gateway.endpoint.ports.udp) as announcement:
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        peer.respond(invite, "183 Session Progress", peer.describe(announcement.audio(), NO_VIDEO))
        await event(call, Ringing)
        peer.tag += "room"
        peer.respond(invite, "200 OK", peer.describe(peer.audio(), peer.video()))
        await peer.awaited("ACK")
        assert (await bridged(call)).video
        await peer.sound.receive(3)
        await peer.picture.receive(3)
        await hang_up(call, peer)


async def test_a_forked_call(gateway: Gateway) -> None:
    """Two phones ring; both answer: the first has the call, the second gets ACK and BYE at once."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        first, second = peer.tag, f"{peer.tag}2"
        for peer.tag in (first, second):
            peer.respond(invite, "180 Ringing")
        description = peer.describe(peer.audio(), peer.video())
        peer.tag = second
        peer.respond(invite, "200 OK", description)
        assert f";tag={second}" in header(await peer.awaited("ACK"), "To")
        assert await bridged(call) == MediaUp(audio=True, video=True)
        peer.tag = first
        peer.respond(invite, "200 OK", description)
        assert header(await peer.awaited("ACK"), "To").endswith(f";tag={first}")
        bye = await peer.awaited("BYE")
        assert header(bye, "To").endswith(f";tag={first}")
        peer.respond(bye, "200 OK")
        peer.forget_media()
        await peer.picture.receive(3)
        assert call.ended is None
        peer.tag = second
        await hang_up(call, peer)


async def test_an_answer_sent_again_is_acknowledged_again(gateway: Gateway) -> None:
    """A 200 whose ACK was lost comes again, and is acknowledged again; the call is one call."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        description = peer.describe(peer.audio(), peer.video())
        for _ in range(3):
            peer.respond(invite, "200 OK", description)
            await peer.awaited("ACK")
        assert await bridged(call)
        assert call.ended is None
        await hang_up(call, peer)


async def test_ringing_after_a_fork_gave_up(gateway: Gateway) -> None:
    """Of two forks one was busy, which the proxy keeps to itself; the other's final answer ends the call."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        peer.respond(invite, "180 Ringing")
        peer.tag += "2"
        peer.respond(invite, "183 Session Progress")
        peer.tag += "3"
        peer.respond(invite, "486 Busy Here")
        await peer.awaited("ACK")
        ended = await event(call, Ended)
        assert isinstance(ended, Ended)
        assert (ended.code, ended.by_peer, ended.answered) == (486, True, False)
