"""What was agreed on is what goes over the wire: packetization modes, payload types, ports."""

import asyncio
import itertools

import pytest

from tests.integration.sip.conftest import Gateway
from tests.integration.sip.raw_calls import bridged, counted, hang_up, up
from tests.peer.h264 import first_macroblock
from tests.peer.raw import VIDEO
from tests.peer.raw_peer import RawPeer, sections

pytestmark = pytest.mark.asyncio(loop_scope="module")

SINGLE_NAL_UNITS = range(1, 24)
"""Types of NAL units that are packets by themselves; STAP-A is 24, FU-A 28 (RFC 6184 section 5.2)."""
SPS, PPS, IDR = 7, 8, 5
FRAGMENT = 28
OPUS_SILENCE = b"\xf8\xff\xfe"
MTU_PAYLOAD = 1472 - 12


@pytest.mark.parametrize("mode", [None, 0, 1])
async def test_packets_fit_the_mode(gateway: Gateway, mode: int | None) -> None:
    """In mode 0, and where none is said, each packet is one NAL unit and fits a datagram; mode 1 may fragment as well.

    A stream begins with its parameter sets and a whole picture.
    """
    said = "" if mode is None else f";packetization-mode={mode}"
    base = VIDEO.replace(";packetization-mode=1", said)
    async with up(gateway, lambda peer: (peer.audio(), peer.video(base=base))) as session:
        packets = await session.peer.picture.receive(60)
        kinds = [packet.payload[0] & 0x1F for packet in packets]
        first = next(kind for kind in kinds if kind not in (SPS, PPS))
        assert {SPS, PPS} <= set(kinds[:4])
        assert first in ((IDR,) if mode != 1 else (IDR, 24, 28))
        if mode != 1:
            assert all(kind in SINGLE_NAL_UNITS for kind in kinds)
        assert max(len(packet.payload) for packet in packets) <= MTU_PAYLOAD
        # The marker ends a picture, and only that (section 5.1).
        for before, after in itertools.pairwise(packets):
            assert before.marker == (before.timestamp != after.timestamp)


async def test_each_packet_is_a_slice(gateway: Gateway) -> None:
    """A packet that gets lost is a strip of its picture and no more: all others can be decoded, keyframes' too."""
    async with up(gateway) as session:
        packets = await session.peer.picture.receive(250)
    pictures = [list(group) for _, group in itertools.groupby(packets, lambda packet: packet.timestamp)][1:-1]
    assert not [packet for packet in packets if packet.payload[0] & 0x1F == FRAGMENT]
    begins = [[first_macroblock(packet.payload) for packet in picture] for picture in pictures]
    strips = [[at for at in each if at is not None] for each in begins]
    assert max(map(len, strips)) >= 3
    for each in strips:
        assert each[0] == 0
        assert each == sorted(set(each))


async def test_payload_types_of_each_side(gateway: Gateway) -> None:
    """A callee that answers with numbers of its own gets these, and may send with ours (RFC 3264 section 5.1)."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        sound, picture = sections(invite)
        opus = next(number for number in sound.formats if sound.attribute(f"rtpmap:{number}") == "opus/48000/2")
        assert picture.formats[0] != "113"
        answer = peer.describe(
            peer.audio(base="m=audio 30000 RTP/AVP 112\na=rtpmap:112 opus/48000/2"),
            peer.video(base=VIDEO.replace("97", "113")),
        )
        peer.respond(invite, "200 OK", answer)
        await peer.awaited("ACK")
        assert (await bridged(call)).video
        assert {packet.payload_type for packet in await peer.sound.receive(5)} == {112}
        assert {packet.payload_type for packet in await peer.picture.receive(5)} == {113}
        for n in range(10):
            peer.sound.send(sound.port, int(opus), 960 * n, OPUS_SILENCE, marker=n == 0)
            await asyncio.sleep(0.02)
        assert await counted(call, 10) == 10
        await hang_up(call, peer)


async def test_offered_numbers_are_sent_with(gateway: Gateway) -> None:
    """A caller's numbers are what it gets packets with, whatever ours would have been."""
    audio = "m=audio 30000 RTP/AVP 127\na=rtpmap:127 opus/48000/2"
    video = VIDEO.replace("97", "126")
    async with up(gateway, lambda peer: (peer.audio(base=audio), peer.video(base=video))) as session:
        assert {packet.payload_type for packet in await session.peer.sound.receive(5)} == {127}
        assert {packet.payload_type for packet in await session.peer.picture.receive(5)} == {126}
