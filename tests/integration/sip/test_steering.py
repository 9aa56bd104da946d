"""What is sent follows what the peer can take and what arrives there, without a re-INVITE."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from jibri_sip.sip.call import Call
from jibri_sip.sip.rate import RateState
from jibri_sip.sip.settings import Picture, SipSettings
from tests.integration.sip.conftest import SOON_S, Gateway
from tests.integration.sip.wired import dialog, until_no_keyframes
from tests.peer import devices, gateway_devices, h264, wire
from tests.peer.lossy import Line, LossyNetwork
from tests.peer.measured import MeasuredPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = 600_000
SETTINGS = SipSettings(port=0, picture=Picture(1280, 720, 5, LIMIT))
"""A picture that is wide, and slow, to be light."""
PEER_HZ = 660.0


async def rate(call: Call) -> RateState:
    """How the bitrate of the picture stands, once it is known."""
    async with asyncio.timeout(5):
        while True:
            video = (await call.stats()).video
            if video is not None and video.rate is not None:
                return video.rate
            await asyncio.sleep(0.1)


async def until(call: Call, condition: Callable[[RateState], bool], *, within_s: float) -> RateState:
    """Wait for the bitrate to stand so.

    Raises:
        TimeoutError: it did not, in time.
    """
    async with asyncio.timeout(within_s):
        while not condition(state := await rate(call)):  # noqa: ASYNC110  (nobody can tell us)
            await asyncio.sleep(0.3)
        return state


async def test_tmmbr_is_obeyed(gateway: Gateway) -> None:
    """A peer that wants no more than so much gets less, its headers counted in; and more again when it lets us."""
    async with dialog(gateway, "ccm tmmbr") as (line, call, _, _):
        assert await rate(call) == RateState(LIMIT, LIMIT, "nothing")
        line.feed_back(wire.tmmbr(line.source, 3, 32_000, 40))
        state = await until(call, lambda now: now.held_by == "tmmbr", within_s=20)
        assert 180_000 < state.target_bps <= 256_000
        assert state.limit_bps == LIMIT
        line.feed_back(wire.tmmbr(line.source, 10, 32_000, 40))
        await until(call, lambda now: now.target_bps == LIMIT, within_s=20)


async def test_peer_that_cannot_ask_gets_keyframes(gateway: Gateway) -> None:
    """Without PLI and FIR, a report of loss is as good as a request: every three seconds at most."""
    async with dialog(gateway) as (line, _, _, _):
        await until_no_keyframes(line)
        clock = asyncio.get_running_loop().time
        begun, start, keyframes = clock(), len(line.packets), 0
        while clock() - begun < 4:
            line.feed_back(wire.report(line.source, 0.05, int.from_bytes(line.packets[-1][2:4], "big")))
            await asyncio.sleep(0.3)
            keyframes += any(map(wire.is_keyframe, line.packets[start:]))
            start = len(line.packets)
        assert 1 <= keyframes <= 4


@pytest.mark.parametrize(("bandwidth", "most"), [("AS:400", 400_000), ("TIAS:300000", 300_000)])
async def test_bandwidth_of_the_offer(gateway: Gateway, bandwidth: str, most: int) -> None:
    """`b=` of the media section is a limit from the first picture on (RFC 8866 section 5.8, RFC 3890)."""
    async with dialog(gateway, bandwidth=bandwidth) as (_, call, _, _):
        state = await rate(call)
        assert most * 0.7 < state.limit_bps <= most
        assert state.target_bps <= state.limit_bps


async def test_bandwidth_of_the_session(gateway: Gateway) -> None:
    """`b=` above the media sections is for sound and headers too."""
    async with dialog(gateway, session_bandwidth="AS:500") as (_, call, _, _):
        assert 380_000 < (await rate(call)).limit_bps < 440_000


async def test_level_of_the_peer(gateway: Gateway) -> None:
    """A peer of H.264 level 1.3 (396 macroblocks, 768 kbit/s) gets a picture of that size, whole and undistorted."""
    async with MeasuredPeer(width=320, height=180, fps=5, bitrate=100_000, level=13) as peer:
        await peer.call(gateway.uri)
        call = await gateway.take()
        await call.answer()
        await peer.wait_up()
        intact = 0
        async with asyncio.timeout(SOON_S):
            while intact <= 3:
                await asyncio.sleep(0.5)
                seen = (await peer.report()).video
                intact += seen.intact
        assert (seen.width, seen.height) == (416, 234)
        video = (await call.stats()).video
        assert video is not None
        assert (video.sent_width, video.sent_height) == (416, 234)
        await call.hangup()


@pytest.mark.parametrize(
    ("said", "macroblocks", "most_bps"),
    [
        # What each level allows: ITU-T H.264 table A-1; the picture is 720p at 5 a second.
        pytest.param("42e00d", (350, 396), 768_000, marks=pytest.mark.slow),
        ("42e00d;max-fs=3600", (1800, 11_880 // 5), 768_000),
        pytest.param("42e00d;max-fs=3600;max-mbps=108000", (3600, 3600), 768_000, marks=pytest.mark.slow),
        pytest.param("42e00b", (350, 396), 192_000, marks=pytest.mark.slow),
        ("42e00b;max-br=400;max-cpb=2000;max-dpb=900", (350, 396), 400_000),
        ("42e00a", (80, 99), 64_000),
    ],
)
async def test_limits_on_the_wire(gateway: Gateway, said: str, macroblocks: tuple[int, int], most_bps: int) -> None:
    """Size and bits of what is sent are within the peer's level, max-fs, max-mbps and max-br (RFC 6184 section 8.1)."""
    async with dialog(gateway, h264=f"profile-level-id={said};packetization-mode=1") as (line, call, _, _):
        shown = h264.sequence(line.packets)
        assert macroblocks[0] <= shown.macroblocks <= macroblocks[1]
        assert abs(shown.width / shown.height - 16 / 9) < 0.05
        assert (await rate(call)).limit_bps <= most_bps
        clock = asyncio.get_running_loop().time
        start, begun = len(line.packets), clock()
        await asyncio.sleep(2)
        packets, seconds = line.packets[start:], clock() - begun
        octets = sum(len(packet) - 12 for packet in packets)
        # There is a keyframe a second to begin with.
        assert octets * 8 / seconds < most_bps * 1.5
        assert len({packet[4:8] for packet in packets}) <= seconds * 5 + 2


async def test_loss_and_back(gateway: Gateway, tmp_path: Path) -> None:
    """Much loss halves the bitrate within seconds, in the encoder too; without loss it rises again."""
    network = LossyNetwork(tmp_path / "network")
    async with MeasuredPeer(width=320, height=180, fps=5, bitrate=500_000, network=network) as peer:
        await peer.call(gateway.uri)
        call = await gateway.take()
        await call.answer()
        await peer.wait_up()
        assert (await rate(call)).target_bps == LIMIT
        network.set("in", Line(loss=0.4, seed=2))
        state = await until(call, lambda now: now.target_bps <= LIMIT / 2, within_s=20)
        assert state.held_by == "loss"
        network.set("in", Line())
        # The next report is still of a lossy second, and takes more back.
        targets = [state.target_bps]

        def has_risen(now: RateState) -> bool:
            targets.append(now.target_bps)
            return now.target_bps > min(targets) * 1.1

        await until(call, has_risen, within_s=30)
        assert call.ended is None
        await call.hangup()


async def test_fec_is_offered(gateway: Gateway) -> None:
    """We say that we take Opus' FEC (RFC 7587 section 6.1)."""
    async with MeasuredPeer(width=320, height=180, fps=5) as peer:
        call = await gateway.endpoint.dial(f"{peer.uri};transport=udp", video=False)
        assert "useinbandfec=1" in (await peer.wait_for("incoming"))["message"]
        await call.hangup()


@pytest.mark.slow
@pytest.mark.alone  # a busy machine makes gaps, too
async def test_fec_fills_gaps(gateway: Gateway, tmp_path: Path) -> None:
    """A tenth of the packets lost: speech-like sound has far fewer gaps at a peer that takes Opus' FEC."""
    missing = {}
    for fec in (True, False):
        network = LossyNetwork(tmp_path / f"network-{fec}")
        async with MeasuredPeer(width=320, height=180, fps=5, fec=fec, network=network) as peer:
            devices.say(gateway_devices.TONE_HZ, rhythm="syllables")
            await peer.call(gateway.uri, video=False)
            call = await gateway.take()
            await call.answer()
            await peer.wait_up()
            await asyncio.sleep(2)
            await peer.count_gaps(gateway_devices.TONE_HZ, 0.15)
            await asyncio.sleep(8)
            silent = await peer.gaps()
            network.set("in", Line(loss=0.1, seed=7))
            await asyncio.sleep(5)
            await peer.gaps()
            await asyncio.sleep(15)
            missing[fec] = await peer.gaps() - silent
            await call.hangup()
    devices.say(gateway_devices.TONE_HZ)
    assert missing[True] < missing[False] * 0.6


@pytest.mark.slow
@pytest.mark.alone  # a busy machine makes gaps, too
async def test_fec_of_the_peer_fills_gaps(gateway: Gateway, tmp_path: Path) -> None:
    """The same towards the meeting: of what is lost of a peer's speech, most is taken from the packet after it."""
    network = LossyNetwork(tmp_path / "network")
    missing = {}
    async with MeasuredPeer(width=320, height=180, fps=5, expects_loss=20, network=network) as peer:
        await peer.say(PEER_HZ, rhythm="syllables")
        await peer.call(gateway.uri, video=False)
        call = await gateway.take()
        await call.answer()
        await peer.wait_up()
        await asyncio.sleep(2)
        devices.count_gaps(PEER_HZ, 0.15)
        for loss in (0.0, 0.05, 0.1):
            network.set("out", Line(loss=loss, seed=7))
            await asyncio.sleep(3)
            devices.gaps()
            await asyncio.sleep(12)
            missing[loss] = devices.gaps()
        await call.hangup()
    print("silent pieces of 10 ms", missing)
    assert missing[0.05] - missing[0.0] < 0.05 * 0.6
    assert missing[0.1] - missing[0.0] < 0.1 * 0.6
