"""Picture and sound arrive, intact and in time, each way, whatever the peer can do."""

import asyncio
import os
import socket
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from jibri_sip.sip.call import Call
from jibri_sip.sip.events import Held
from tests.integration.sip.conftest import SOON_S, Gateway, until
from tests.integration.sip.raw_calls import event
from tests.peer import devices, gateway_devices
from tests.peer.listening import hears_tone
from tests.peer.measured import MeasuredPeer
from tests.peer.seen import Seen
from tests.stamps import stamp

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

PEER_HZ = 660.0


async def we_hear_peer() -> bool:
    """Whether the peer's tone arrives at the gateway's sound device."""

    async def level() -> float:
        return devices.heard(PEER_HZ)

    return await hears_tone(level)


async def hears(peer: MeasuredPeer, hz: float) -> bool:
    """Whether a tone arrives at the peer."""

    async def level() -> float:
        return (await peer.report(hz)).tones[hz]

    return await hears_tone(level)


async def bridge(gateway: Gateway, peer: MeasuredPeer, *, video: bool = True) -> Call:
    """A call from the peer that is up for long enough to have media."""
    await peer.call(gateway.uri, video=video)
    call = await gateway.take()
    await call.answer()
    await peer.wait_up()
    if video:
        await until(lambda: devices.seen().intact > 0)
        async with asyncio.timeout(SOON_S):
            while not (await peer.report()).video.intact:  # noqa: ASYNC110  (nobody tells of it)
                await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)
    await peer.report()
    devices.seen()
    return call


def is_smooth(seen: Seen) -> bool:
    """Whether next to every picture came, and soon; how many do on a quiet machine is for the bench to say."""
    soon = seen.latency_ms_p50 is not None and seen.latency_ms_p50 < 300
    return soon and seen.fps > 20 and seen.intact >= seen.frames * 0.95


async def test_720p30_both_ways(gateway: Gateway) -> None:
    """At 1280 x 720 and 30 frames a second next to every frame arrives intact, within 300 ms, and so does the tone."""
    async with MeasuredPeer() as peer:
        call = await bridge(gateway, peer)
        for _ in range(5):
            await asyncio.sleep(3)
            report = await peer.report(PEER_HZ, gateway_devices.TONE_HZ)
            both = (report.video, devices.seen())
            # Seconds in which a loaded machine stood still tell nothing.
            if all(map(is_smooth, both)):
                break
        assert all(map(is_smooth, both)), both
        assert [(seen.width, seen.height) for seen in both] == [(1280, 720)] * 2
        assert await hears(peer, gateway_devices.TONE_HZ)
        assert report.tones[PEER_HZ] < 0.02
        assert await we_hear_peer()
        assert devices.heard(gateway_devices.TONE_HZ) < 0.02
        await call.hangup()


async def test_own_screen_never_reaches_the_camera(gateway: Gateway, peer: MeasuredPeer) -> None:
    """The camera shows the peer's picture alone, and none while the peer sends none, although PJSIP has a preview."""
    call = await bridge(gateway, peer)
    await asyncio.sleep(0.5)
    async with asyncio.timeout(SOON_S):
        while not (seen := devices.seen()).frames:  # noqa: ASYNC110  (nobody tells of it)
            await asyncio.sleep(0.1)
    assert seen.width == 640
    await peer.hold()
    await event(call, Held)
    await asyncio.sleep(0.5)
    devices.seen()
    await asyncio.sleep(1)
    assert devices.seen().frames == 0
    await call.hangup()
    await peer.wait_over()


async def test_audio_only_peer(gateway: Gateway, peer: MeasuredPeer) -> None:
    """A peer without video is answered without video, and heard."""
    call = await bridge(gateway, peer, video=False)
    assert not call.facts.video
    stats = await call.stats()
    assert stats.video is None
    assert stats.audio is not None
    assert stats.audio.codec == "opus/48000"
    assert await we_hear_peer()
    await call.hangup()
    await peer.wait_over()


@pytest.mark.parametrize("codec", ["G722", "PCMA", "PCMU"])
async def test_codecs_of_old_peers(gateway: Gateway, codec: str) -> None:
    """A peer that speaks one old codec only is heard and hears."""
    async with MeasuredPeer(width=320, height=180, fps=5, codec=codec) as peer:
        call = await bridge(gateway, peer, video=False)
        audio = (await call.stats()).audio
        assert audio is not None
        assert audio.codec.startswith(codec)
        assert await we_hear_peer()
        assert await hears(peer, gateway_devices.TONE_HZ)
        await call.hangup()


async def test_echo(gateway: Gateway, peer: MeasuredPeer) -> None:
    """After `start_echo` the peer hears its own tone and sees its own picture, and our own no longer."""
    call = await bridge(gateway, peer)
    await call.start_echo()
    await asyncio.sleep(1.5)
    await peer.report()
    await asyncio.sleep(2)
    report = await peer.report(PEER_HZ, gateway_devices.TONE_HZ)
    assert await hears(peer, PEER_HZ)
    assert report.tones[gateway_devices.TONE_HZ] < 0.02
    assert report.video.intact > 10
    assert report.video.fps < 20, "the peer's own pictures come 15 times a second, ours 30 times"
    await call.hangup()
    await peer.wait_over()


async def test_still_shows_the_stamp(gateway: Gateway, peer: MeasuredPeer, tmp_path: Path) -> None:
    """What the peer writes as a still is the picture that we send, stamp and all."""
    call = await bridge(gateway, peer)
    asked_ms = time.clock_gettime(time.CLOCK_REALTIME) * 1000
    await peer.still(tmp_path / "to_sip.png")
    answered_ms = time.clock_gettime(time.CLOCK_REALTIME) * 1000
    with Image.open(tmp_path / "to_sip.png") as image:
        found = stamp.read_image(image)
        assert image.size == (1280, 720)
    assert found is not None
    # It came after it was asked for; to write it takes a while.
    assert found.age_ms(asked_ms) < 2000
    assert found.age_ms(answered_ms) >= 0
    await call.hangup()
    await peer.wait_over()


async def test_stats(gateway: Gateway, peer: MeasuredPeer) -> None:
    """Statistics say codec, size, packets and bitrate of both directions."""
    call = await bridge(gateway, peer)
    await call.stats()
    await asyncio.sleep(1)
    stats = await call.stats()
    assert stats.video is not None
    assert stats.audio is not None
    assert stats.video.codec == "H264/90000"
    assert (stats.video.width, stats.video.height) == (640, 360)
    assert stats.video.received.packets > 10
    assert 20_000 < stats.video.received.bitrate < 2_000_000
    assert 20_000 < stats.video.sent.bitrate < 3_000_000
    assert stats.audio.sent.packets >= 30
    assert stats.audio.received.lost == 0
    await call.hangup()
    await peer.wait_over()


async def test_keyframe_on_demand(gateway: Gateway, peer: MeasuredPeer) -> None:
    """A keyframe can be sent and asked for at any time of a call."""
    call = await bridge(gateway, peer)
    await call.send_keyframe()
    await call.send_keyframe()
    await call.request_keyframe()
    await asyncio.sleep(0.3)
    assert call.ended is None
    await call.hangup()
    await peer.wait_over()


def _dscp_of_udp_sockets() -> set[int]:
    marks = set()
    for connection in psutil.Process().net_connections("udp4"):
        with socket.socket(fileno=os.dup(connection.fd)) as found:
            marks.add(found.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) >> 2)
    return marks


async def test_dscp_marks(gateway: Gateway, peer: MeasuredPeer) -> None:
    """Signalling, sound and picture leave with marks of their own (RFC 4594): CS3, EF, AF41."""
    call = await bridge(gateway, peer)
    assert {24, 46, 34} <= _dscp_of_udp_sockets()
    await call.hangup()
    await peer.wait_over()


async def test_twenty_calls_leave_nothing_behind(gateway: Gateway, peer: MeasuredPeer) -> None:
    """After twenty calls, some refused, some cancelled, there are no more threads and descriptors than before."""
    process = psutil.Process()

    async def one(kind: int) -> None:
        await peer.call(gateway.uri)
        call = await gateway.take()
        if kind == 0:
            await call.reject(486, "Busy")
        elif kind == 1:
            await call.ring()
            await peer.hangup()
        else:
            await call.answer()
            await peer.wait_up()
            await (peer.hangup() if kind == 2 else call.hangup())
        await call.wait_ended()
        await peer.wait_over()

    for n in range(4):
        await one(n)
    await asyncio.sleep(1.5)
    before = (process.num_threads(), process.num_fds())
    for n in range(20):
        await one(n % 4)
    await until(lambda: process.num_threads() <= before[0] and process.num_fds() <= before[1])
