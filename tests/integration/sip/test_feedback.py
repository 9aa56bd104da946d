"""RTCP feedback on the wire: NACK both ways (RFC 4585), FIR and TMMBR (RFC 5104), and what a peer without them gets."""

import asyncio
import re
import struct

import psutil
import pytest

from jibri_sip.sip.call import Call
from jibri_sip.sip.native import Feedback
from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import SOON_S, Gateway, until
from tests.integration.sip.wired import SMALL, stream, until_no_keyframes
from tests.peer import wire
from tests.peer.raw import RawCaller
from tests.peer.wire import OWN_SOURCE, Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = SipSettings(port=0, picture=SMALL)

ALL_KINDS = ("nack", "nack pli", "ccm fir", "ccm tmmbr")
RESENT_AT_ONCE = 98304
"""RESEND_BURST of resend.h."""


async def told(call: Call) -> Feedback:
    """The call's feedback."""
    found = await call.feedback()
    assert found is not None
    return found


async def told_of(call: Call, **counts: int) -> Feedback:
    """The call's feedback, once these counts of it are as high: what a packet tells is counted after the packet."""
    async with asyncio.timeout(SOON_S):
        while True:
            feedback = await told(call)
            if all(getattr(feedback, name) >= least for name, least in counts.items()):
                return feedback
            await asyncio.sleep(0.02)


def keyframes(line: Wire) -> int:
    """How many keyframes came."""
    return len({packet[4:8] for packet in line.packets if wire.is_keyframe(packet)})


async def test_what_is_agreed_on(gateway: Gateway) -> None:
    """The answer has what the offer has, on plain RTP/AVP; a call of ours offers it all."""
    async with stream(gateway, *ALL_KINDS) as (_, call, answer):
        assert set(re.findall(r"a=rtcp-fb:\* ([^\r]+)", answer)) == set(ALL_KINDS)
        assert "m=video" in answer
        assert "RTP/AVPF" not in answer
        assert (await told(call)).nack
    async with stream(gateway, "ccm fir") as (_, call, answer):
        assert set(re.findall(r"a=rtcp-fb:\* ([^\r]+)", answer)) == {"nack pli", "ccm fir"}
        assert not (await told(call)).nack
    async with RawCaller(gateway.endpoint.ports.udp) as callee:
        call = await gateway.endpoint.dial(f"sip:raw@{callee.local};transport=udp")
        invite = await callee.awaited("INVITE")
        assert set(re.findall(r"a=rtcp-fb:\* ([^\r]+)", invite)) == set(ALL_KINDS)
        callee.respond(invite, "486 Busy Here")
        await call.wait_ended()


async def test_nack_is_answered(gateway: Gateway) -> None:
    """A packet that is asked for comes again as it was, once; asked for again a while later, it comes once more."""
    async with stream(gateway, "nack") as (line, call, _):
        wanted = line.packets[3]
        number = int.from_bytes(wanted[2:4], "big")
        for times in (2, 3):
            # In one datagram: a machine without time for the second would take it for one a while later.
            line.feed_back(2 * wire.nack(line.source, number))
            await line.until(lambda: line.packets.count(wanted) >= times)  # noqa: B023  (it is over before the next)
            await asyncio.sleep(0.3)
            assert line.packets.count(wanted) == times
        feedback = await told(call)
        assert (feedback.asked, feedback.resent) == (4, 2)


async def test_avpf(gateway: Gateway) -> None:
    """An offer of RTP/AVPF is answered in kind, and NACK works there."""
    async with stream(gateway, "nack", profile="RTP/AVPF") as (line, call, answer):
        assert "RTP/AVPF" in answer
        line.feed_back(wire.nack(line.source, int.from_bytes(line.packets[3][2:4], "big")))
        await line.until(lambda: line.packets.count(line.packets[3]) == 2)
        assert (await told(call)).nack


async def test_one_port_for_both(gateway: Gateway) -> None:
    """With RTP and RTCP on one port (RFC 5761), feedback is found among the packets, both ways."""
    async with stream(gateway, "nack", mux=True) as (line, call, answer):
        assert "a=rtcp-mux" in answer
        line.feed_back(wire.nack(line.source, int.from_bytes(line.packets[3][2:4], "big")))
        await line.until(lambda: line.packets.count(line.packets[3]) == 2)
        for number in (1, 2, 4):
            line.send(number)
        await line.until(lambda: bool(line.of_kind(wire.RTPFB, wire.NACK)))
        assert (await told(call)).missed == 1


async def test_packets_fit_the_path(gateway: Gateway) -> None:
    """No packet of the picture is larger than `video.mtu`, with the headers of IP and UDP."""
    async with stream(gateway) as (line, _, _):
        await line.until(lambda: len(line.packets) > 60)
        largest = max(map(len, line.packets))
        assert 350 < largest <= 700 - 28


async def test_nack_that_cannot_be_answered(gateway: Gateway) -> None:
    """What was never sent, and what another stream is asked for, gets nothing."""
    async with stream(gateway, "nack") as (line, call, _):
        number = int.from_bytes(line.packets[3][2:4], "big")
        line.feed_back(wire.nack(line.source ^ 1, number))
        line.feed_back(wire.nack(line.source, number - 100, number + 20_000))
        feedback = await told_of(call, asked=2)
        assert (feedback.asked, feedback.resent) == (2, 0)


async def test_nack_storm(gateway: Gateway) -> None:
    """Whoever asks for everything again and again gets half of what was sent, beyond one burst; the call goes on."""
    async with stream(gateway, "nack") as (line, call, _):
        for _ in range(100):
            newest = int.from_bytes(line.packets[-1][2:4], "big")
            entries = b"".join(struct.pack("!HH", newest - 17 * n & 0xFFFF, 0xFFFF) for n in range(1, 20))
            for _ in range(20):
                line.feed_back(wire.feedback(wire.RTPFB, wire.NACK, line.source, entries))
            await asyncio.sleep(0.02)
        await told_of(call, asked=100_001)
        once = {packet[2:4]: len(packet) for packet in line.packets}
        again = sum(map(len, line.packets)) - sum(once.values())
        assert 0 < again < RESENT_AT_ONCE + sum(once.values()) / 2
        assert call.ended is None


async def test_missing_packet_is_asked_for(gateway: Gateway) -> None:
    """A gap is reported at once and again, what comes behind it waits, and goes on when the packet has come."""
    async with stream(gateway, "nack") as (line, call, _):
        begun = asyncio.get_running_loop().time()
        for number in (65533, 65534, 65535, 1):
            line.send(number)
        await line.until(lambda: len(line.of_kind(wire.RTPFB, wire.NACK)) >= 2)
        first, second = line.of_kind(wire.RTPFB, wire.NACK)[:2]
        assert first.sequences == second.sequences == [0]
        assert (first.media, first.sender) == (OWN_SOURCE, line.source)
        # Not from `first.at`: what waits for us is read at once, whenever it came.
        assert second.at - begun >= 0.02
        line.send(0)
        feedback = await told_of(call, received=5, recovered=1)
        assert (feedback.received, feedback.missed, feedback.recovered, feedback.given_up) == (5, 1, 1, 0)
        assert all(compound[1] in (200, 201) for compound in line.compounds)


async def test_missing_packet_that_never_comes(gateway: Gateway) -> None:
    """It is asked for a few times and then, after a third of a second or so, given up; a wide gap is not asked for."""
    async with stream(gateway, "nack") as (line, call, _):
        for number in (10, 11, 13):
            line.send(number)
        # It waits from when it was missed.
        await line.until(lambda: bool(line.of_kind(wire.RTPFB, wire.NACK)))
        await asyncio.sleep(0.6)
        line.send(14)
        feedback = await told_of(call, received=4, given_up=1)
        assert (feedback.missed, feedback.recovered, feedback.given_up) == (1, 0, 1)
        assert 1 <= feedback.nacked <= 4
        line.send(400)
        line.send(401)
        after = await told_of(call, received=6)
        assert (after.missed, after.nacked) == (1, feedback.nacked)


async def test_peer_that_ignores_nacks(gateway: Gateway) -> None:
    """A peer that agreed to NACK and answers none is waited for eight times, then its packets pass as they come."""
    async with stream(gateway, "nack") as (line, call, _):
        for number in range(0, 20, 2):
            line.send(number)
        await line.until(lambda: any(17 in one.sequences for one in line.of_kind(wire.RTPFB, wire.NACK)))
        await asyncio.sleep(0.6)
        line.send(19)
        before = await told_of(call, received=11, given_up=9)
        assert (before.missed, before.recovered, before.given_up) == (9, 0, 9)
        line.send(21)
        after = await told_of(call, received=12, given_up=10)
        assert (after.given_up, after.nacked) == (10, before.nacked)


async def requests(line: Wire, keyframe_every: int) -> tuple[int, float]:
    """PLIs that came while pictures were sent, one in so many a keyframe that lacks a packet; in how many seconds.

    These are 1.6, or more on a busy machine.
    """
    number, since, clock = 100, len(line.of_kind(wire.PSFB, wire.PLI)), asyncio.get_running_loop().time
    begun = clock()
    for picture in range(1, 49):
        is_keyframe = picture % keyframe_every == 0
        number += 2 if is_keyframe or picture == 1 else 1
        # The heads of an IDR slice of type I, and of a slice of type P (ITU-T H.264 section 7.3.3).
        line.send(number, (b"\x65\x88" if is_keyframe else b"\x41\xc0") + bytes(20), picture=picture)
        await asyncio.sleep(1 / 30)
    return len(line.of_kind(wire.PSFB, wire.PLI)) - since, clock() - begun


def most(seconds: float, pause_s: float) -> float:
    """How many they are at most, each twice, with this pause."""
    return 2 * (seconds / pause_s + 1)


async def test_damaged_keyframes_are_asked_for_again_soon(gateway: Gateway) -> None:
    """One that came damaged is asked for again after 200 ms; one that does not come, after 500. Each time twice."""
    async with stream(gateway, "nack pli") as (line, _, _):
        seldom, seconds = await requests(line, 1000)
        assert 2 <= seldom <= most(seconds, 0.5)
    for _ in range(4):
        async with stream(gateway, "nack pli") as (line, _, _):
            often, seconds = await requests(line, 3)
        assert often <= most(seconds, 0.2)
        # They go out with our pictures: where those are held up, some are left out.
        if often > most(seconds, 0.5):
            break
    assert often > most(seconds, 0.5)


async def test_packets_out_of_order(gateway: Gateway) -> None:
    """Packets that overtake each other are put in order; what comes twice, or far too late, does no harm."""
    async with stream(gateway, "nack") as (line, call, _):
        for number in (1, 2, 4, 3, 6, 5, 5, 2, 7, 60_000, 60_001):
            line.send(number)
        feedback = await told_of(call, received=11)
        assert (feedback.received, feedback.missed, feedback.given_up) == (11, 2, 0)
        assert call.ended is None


async def test_fir(gateway: Gateway) -> None:
    """A full intra request gets a keyframe; repeated with its number it is the same request, with the next another."""
    async with stream(gateway, "ccm fir") as (line, call, _):
        await until_no_keyframes(line)
        before = keyframes(line)
        for number in (1, 2):
            line.feed_back(wire.fir(line.source, number))
            await line.until(lambda: keyframes(line) >= before + number)  # noqa: B023  (it is over before the next)
            line.feed_back(wire.fir(line.source, number))
            # The next may be sent half a second after the last.
            await asyncio.sleep(0.8)
            assert keyframes(line) == before + number
        assert (await told(call)).keyframes_asked == 2


async def test_tmmbr(gateway: Gateway) -> None:
    """A limit is confirmed with its owner and value, and told to whoever controls the bitrate."""
    async with stream(gateway, "ccm tmmbr") as (line, call, _):
        assert (await told(call)).tmmbr_bps is None
        line.feed_back(wire.tmmbr(line.source, 3, 64_000, 40))
        await line.until(lambda: bool(line.of_kind(wire.RTPFB, wire.TMMBN)))
        (answer,) = line.of_kind(wire.RTPFB, wire.TMMBN)
        assert (answer.sender, answer.media) == (line.source, 0)
        owner, value = struct.unpack("!II", answer.entries)
        assert owner == OWN_SOURCE
        assert (value >> 9 & 0x1FFFF) << (value >> 26) == 512_000
        feedback = await told(call)
        assert (feedback.tmmbr_bps, feedback.tmmbr_overhead) == (512_000, 40)


async def test_malformed_feedback(gateway: Gateway) -> None:
    """Feedback with lengths that lie, cut short or empty changes nothing."""
    async with stream(gateway, *ALL_KINDS) as (line, call, _):
        number = int.from_bytes(line.packets[3][2:4], "big")
        whole = [wire.nack(line.source, number), wire.fir(line.source, 9), wire.tmmbr(line.source, 1, 1000, 40)]
        for compound in whole:
            for size in range(1, len(compound)):
                line.feed_back(compound[:size])
            line.feed_back(compound[:10] + b"\xff\xff" + compound[12:])
            line.feed_back(compound[:8] + bytes([compound[8] & 0x3F]) + compound[9:])
            line.feed_back(compound[:10] + b"\0\0" + compound[12:])
        line.feed_back(wire.feedback(wire.RTPFB, wire.NACK, line.source))
        line.feed_back(wire.feedback(wire.PSFB, wire.FIR, line.source))
        await asyncio.sleep(0.3)
        feedback = await told(call)
        assert (feedback.asked, feedback.keyframes_asked, feedback.tmmbr_bps) == (0, 0, None)
        # The largest limit that can be written is none that could be kept to.
        line.feed_back(wire.tmmbr(line.source, 63, 0x1FFFF, 0x1FF))
        await line.until(lambda: bool(line.of_kind(wire.RTPFB, wire.TMMBN)))
        assert ((await told(call)).tmmbr_bps or 0) > 10**12


async def test_peer_without_feedback(gateway: Gateway) -> None:
    """A peer that said nothing of NACK is sent none and gets nothing twice; its packets pass as they come."""
    threads = psutil.Process().num_threads()
    async with stream(gateway) as (line, call, answer):
        assert "a=rtcp-fb:* nack\r" not in answer
        assert "ccm" not in answer
        line.feed_back(wire.nack(line.source, int.from_bytes(line.packets[3][2:4], "big")))
        for number in (10, 11, 13):
            line.send(number)
        await told_of(call, received=3)
        await asyncio.sleep(0.3)
        feedback = await told(call)
        assert (feedback.nack, feedback.resent, feedback.missed, feedback.nacked) == (False, 0, 0, 0)
        assert feedback.received == 3
        assert line.of_kind(wire.RTPFB, wire.NACK) == []
        with_stream = psutil.Process().num_threads()
    async with stream(gateway, "nack"):
        # What has ended is counted for a moment more.
        await until(lambda: psutil.Process().num_threads() == with_stream + 1)
    await until(lambda: psutil.Process().num_threads() <= with_stream)
    assert threads <= with_stream


async def troubled_calls(gateway: Gateway, count: int) -> None:
    """Calls that end with open gaps, and with packets asked for."""
    for _ in range(count):
        async with stream(gateway, *ALL_KINDS) as (line, _, _):
            for number in (10, 11, 13, 20, 40):
                line.send(number)
            line.feed_back(wire.nack(line.source, *range(300)))
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.2)


async def test_nothing_is_left(gateway: Gateway) -> None:
    """Calls with open gaps leave no thread and no file behind when they end."""
    process = psutil.Process()
    await troubled_calls(gateway, 2)
    before = process.num_threads(), process.num_fds()
    await troubled_calls(gateway, 6)
    await until(lambda: process.num_threads() <= before[0] and process.num_fds() <= before[1])


@pytest.mark.slow
async def test_memory_does_not_grow(gateway: Gateway) -> None:
    """What is kept for a call, 1.6 MB, is given back; PJSIP's own pools take their time."""
    process = psutil.Process()
    await troubled_calls(gateway, 5)
    before = process.memory_info().rss
    await troubled_calls(gateway, 60)
    assert process.memory_info().rss - before < 60 << 20
