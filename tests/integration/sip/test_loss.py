"""Real streams over a line that loses packets: pictures come whole, and the peer's feedback is heard, however it comes.

NACK both ways (RFC 4585), FIR and TMMBR (RFC 5104), over plain RTP, SRTP with both kinds of keys, a relay, and ICE.
"""

import asyncio
import time
from pathlib import Path
from typing import Literal

import pytest

from jibri_sip.config.network import NetworkSettings
from jibri_sip.sip.call import Call
from jibri_sip.sip.native import Feedback
from jibri_sip.sip.settings import Picture, SipSettings, Srtp
from tests.integration.sip.conftest import SOON_S, gateway_with
from tests.integration.sip.ways import BESIDE, FAR, PASSWORD, on_a_cable, relayed
from tests.peer import devices
from tests.peer.lossy import Line, LossyNetwork, Way
from tests.peer.measured import MeasuredPeer
from tests.peer.turn import turn_server

pytestmark = pytest.mark.asyncio

SMALL = Picture(320, 180, 15, 300_000)
Keys = Literal["", "sdes", "dtls"]
WAYS: tuple[Way, ...] = ("out", "in")


def lossy_peer(
    network: LossyNetwork, keys: Keys, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()
) -> MeasuredPeer:
    """A peer on that line; it requires SRTP if it has keys, and does ICE if it is not on loopback."""
    return MeasuredPeer(
        width=320,
        height=180,
        fps=15,
        bitrate=300_000,
        nack=True,
        network=network,
        srtp=2 if keys else 0,
        keys=keys,
        ice=host == FAR,
        host=host,
        prefix=prefix,
    )


async def repaired(call: Call) -> Feedback:
    """What the call tells as soon as lost packets were asked for and sent again, each way; within 20 s.

    Sound takes its share of what is lost: by chance all of it for a while.
    """
    async with asyncio.timeout(20):
        while True:
            feedback = await call.feedback()
            if feedback is not None and feedback.recovered and feedback.resent:
                return feedback
            await asyncio.sleep(0.2)


async def bears_loss(call: Call, peer: MeasuredPeer, network: LossyNetwork) -> None:
    """With one packet in twenty lost each way and 40 ms of round trip, most pictures are whole at both ends."""
    await asyncio.sleep(1)
    network.set("out", Line(loss=0.05, delay_ms=20, seed=3))
    network.set("in", Line(loss=0.05, delay_ms=20, seed=4))
    await asyncio.sleep(0.2)
    await peer.report()
    devices.seen()
    await asyncio.sleep(4)
    feedback = await repaired(call)
    # What was asked for while a busy machine stood still comes too late.
    assert feedback.given_up <= max(2, feedback.missed // 2)
    video = (await call.stats()).video
    assert video is not None
    assert video.received.repaired >= feedback.recovered
    assert video.sent.repaired >= feedback.resent
    assert network.counts("in")[1] > 0
    for seen in ((await peer.report()).video, devices.seen()):
        assert seen.intact > 20
        assert seen.intact >= seen.frames * 0.7
    for way in WAYS:
        network.set(way, Line())


async def obeys(call: Call, peer: MeasuredPeer) -> None:
    """A full intra request and a limit of the bitrate are heard, and the limit is kept to; then the call ends."""
    for number in (1, 1, 2):
        await peer.ask_for_keyframe(number)
    await peer.limit(64_000)
    async with asyncio.timeout(SOON_S):
        while (feedback := await call.feedback()) is None or feedback.tmmbr_bps is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (feedback.keyframes_asked, feedback.tmmbr_bps) == (2, 64_000)
    await asyncio.sleep(2)
    async with asyncio.timeout(SOON_S):
        # What waited on a busy machine may come in any two seconds.
        while await octets_per_s(peer) >= 64_000 / 8 * 1.3:
            pass
    await call.hangup()


async def octets_per_s(peer: MeasuredPeer) -> float:
    """Of the picture, as they came to the peer in two seconds."""
    begun = time.monotonic()
    before = (await peer.report()).streams[1]["received_octets"]
    await asyncio.sleep(2)
    octets: int = (await peer.report()).streams[1]["received_octets"] - before
    return octets / (time.monotonic() - begun)


@pytest.mark.parametrize(
    ("srtp", "keys"),
    [
        ("off", ""),
        pytest.param("required", "sdes", marks=pytest.mark.slow),
        pytest.param("required", "dtls", marks=pytest.mark.slow),
    ],
    ids=["plain", "sdes", "dtls"],
)
async def test_lossy_line(tmp_path: Path, srtp: Srtp, keys: Keys) -> None:
    """Directly, encrypted or not."""
    network = LossyNetwork(tmp_path / "network")
    async with (
        gateway_with(SipSettings(port=0, srtp=srtp, picture=SMALL)) as gateway,
        lossy_peer(network, keys) as peer,
    ):
        await peer.call(gateway.uri)
        call = await gateway.take()
        await call.answer()
        await peer.wait_up()
        await bears_loss(call, peer, network)
        await obeys(call, peer)


@pytest.mark.alone
async def test_one_picture_lost(tmp_path: Path) -> None:
    """Without NACK one keyframe mends it, asked for at once: no second is lost, each way."""
    network = LossyNetwork(tmp_path / "network")
    async with (
        gateway_with(SipSettings(port=0, picture=SMALL)) as gateway,
        MeasuredPeer(width=320, height=180, fps=15, bitrate=300_000, network=network) as peer,
    ):
        call = await gateway.endpoint.dial(f"{peer.uri};transport=udp")
        await peer.wait_up()
        for way in WAYS:
            network.set(way, Line(delay_ms=20))
        await asyncio.sleep(2)
        mended = 0
        # A machine that stood still for a moment is let off twice.
        for _ in range(6):
            network.cut(off=True)
            await asyncio.sleep(0.1)
            await peer.report()
            devices.seen()
            network.cut(off=False)
            await asyncio.sleep(1.5)
            both = ((await peer.report()).video, devices.seen())
            mended += all(seen.intact > 8 and seen.longest_gap_ms < 900 for seen in both)
            if mended == 4:
                break
        assert mended == 4, both
        await call.hangup()
        await peer.wait_over()


@pytest.mark.parametrize("keys", ["sdes", "dtls"])
async def test_packets_that_come_twice(tmp_path: Path, keys: Keys) -> None:
    """Each packet of the first second comes twice, which no key is lost by: reports and requests are understood."""
    network = LossyNetwork(tmp_path / "network")
    network.set("out", Line(repeat=1, delay_ms=5))  # not both ways: both ends would lose the same
    async with (
        gateway_with(SipSettings(port=0, srtp="required", picture=SMALL)) as gateway,
        lossy_peer(network, keys) as peer,
    ):
        await peer.call(gateway.uri)
        call = await gateway.take()
        await call.answer()
        await peer.wait_up()
        await asyncio.sleep(1)
        for way in WAYS:
            network.set(way, Line(loss=0.05, delay_ms=5, seed=3))
        await repaired(call)
        await call.hangup()


@pytest.mark.parametrize("keys", [pytest.param("", marks=pytest.mark.slow), "sdes"], ids=["plain", "sdes"])
async def test_lossy_line_behind_a_relay(tmp_path: Path, keys: Keys) -> None:
    """By way of a TURN server, to a peer without ICE that has Baseline alone."""
    network = LossyNetwork(tmp_path / "network")
    async with turn_server(PASSWORD) as port:
        settings = SipSettings(
            port=0,
            srtp="required" if keys else "off",
            picture=SMALL,
            network=relayed(port, tmp_path),
            rtp_port_first=23200,
            rtp_port_last=23299,
        )
        async with gateway_with(settings) as gateway, lossy_peer(network, keys) as peer:
            call = await gateway.endpoint.dial(f"{peer.uri};transport=udp")
            await peer.wait_up()
            await bears_loss(call, peer, network)
            await obeys(call, peer)


@pytest.mark.own_network
@pytest.mark.parametrize(
    "keys",
    [pytest.param("", marks=pytest.mark.slow), pytest.param("sdes", marks=pytest.mark.slow), "dtls"],
    ids=["plain", "sdes", "dtls"],
)
async def test_lossy_line_found_by_ice(tmp_path: Path, keys: Keys) -> None:
    """By the way that ICE found."""
    network = LossyNetwork(tmp_path / "network")
    settings = SipSettings(srtp="required" if keys else "off", picture=SMALL, network=NetworkSettings(ice=True))
    async with (
        on_a_cable(settings) as (gateway, far),
        lossy_peer(network, keys, FAR, tuple(far.prefix)) as peer,
    ):
        await peer.call(f"sip:demo@{BESIDE};transport=udp")
        call = await gateway.take()
        await call.answer()
        await peer.wait_up()
        await bears_loss(call, peer, network)
        await obeys(call, peer)
        await peer.wait_over()
