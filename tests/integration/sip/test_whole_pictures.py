"""No damaged picture is shown: the last good one stays until a clean one comes, which is asked for."""

import asyncio
import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from jibri_sip.sip.settings import SipSettings
from tests.bench import film, rtp
from tests.integration.sip.conftest import Gateway, until
from tests.integration.sip.player import Player, all_shown, settle
from tests.integration.sip.wired import SMALL, dialog, stream, until_no_keyframes
from tests.peer import devices, wire
from tests.peer.lossy import Line, LossyNetwork
from tests.peer.measured import MeasuredPeer
from tests.peer.raw import RawCaller
from tests.peer.seen import add_up
from tests.peer.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = SipSettings(port=0, picture=SMALL)

FPS = 15
WITHOUT_KEYFRAME_S = 2.0
FREEZE_MAX_S = 10.0
"""FREEZE_WITHOUT_KEYFRAME_MSEC and FREEZE_MAX_MSEC of patch 0010."""
ONE_KEYFRAME = {"x264-params": "keyint=infinite:scenecut=0"}
EVERY_FIVE = {"x264-params": "keyint=5:min-keyint=5:scenecut=0"}
EVERY_THIRTY = {"x264-params": "keyint=30:min-keyint=30:scenecut=0"}
HIGH = {"preset": "veryfast", "profile": "high", "x264-params": "keyint=30:min-keyint=30:scenecut=0:bframes=0"}
GRADUAL = {"x264-params": "keyint=8:intra-refresh=1:scenecut=0"}


def play(line: Wire, options: Mapping[str, str], seconds: int = 8) -> Player:
    """A small film, encoded with these options of x264."""
    return Player(line, film.encode(320, 180, FPS, seconds, 400_000, options), FPS)


async def test_under_loss(gateway: Gateway, tmp_path: Path) -> None:
    """One packet in twelve lost, none sent again: what is shown is what was sent, every time."""
    network = LossyNetwork(tmp_path / "network")
    async with MeasuredPeer(width=640, height=360, fps=15, bitrate=500_000, network=network) as peer:
        await peer.call(gateway.uri)
        call = await gateway.take()
        await call.answer()
        await peer.wait_up()
        await asyncio.sleep(1)
        network.set("out", Line(loss=0.08, seed=3))
        devices.seen()
        await asyncio.sleep(4)
        await until(lambda: network.counts("out")[1] > 3)
        seen = devices.seen()
        assert seen.corrupt == 0
        assert seen.frames > 2
        assert seen.longest_gap_ms < 4000
        await call.hangup()


async def test_keyframe_is_asked_for_until_it_comes(gateway: Gateway) -> None:
    """After a loss nothing is shown; PLIs go out twice a second, until there is a keyframe, and then no more."""
    async with stream(gateway, "nack pli") as (line, _, _):
        player = play(line, EVERY_THIRTY)
        assert await player.play(15) > 3
        await all_shown()
        clock = asyncio.get_running_loop().time
        since, begun = clock(), len(line.of_kind(wire.PSFB, wire.PLI))
        player.picture(lose=True)
        assert await player.play(8) == 0
        await line.until(lambda: len(line.of_kind(wire.PSFB, wire.PLI)) > begun)
        # Each is sent twice, in case one is lost.
        assert len(line.of_kind(wire.PSFB, wire.PLI)) - begun <= 2 * (2 * (clock() - since) + 1)
        assert await player.play(15) > 3
        begun = len(line.of_kind(wire.PSFB, wire.PLI))
        assert await player.play(10) > 3
        assert len(line.of_kind(wire.PSFB, wire.PLI)) == begun


def asked_by_info(caller: RawCaller) -> set[str]:
    """Numbers of the requests for a keyframe (RFC 5168) that came since it was last asked, repeated ones too."""
    numbers = set()
    while not caller.received.empty():
        text = caller.received.get_nowait()
        if text.startswith("INFO "):
            assert "picture_fast_update" in text
            numbers |= set(re.findall(r"(?im)^cseq:\s*(\d+)", text))
    return numbers


async def test_peer_without_pli_is_asked_by_info(gateway: Gateway) -> None:
    """By RFC 5168 then, once a second."""
    async with dialog(gateway) as (line, _, _, caller):
        player = play(line, ONE_KEYFRAME)
        await player.play(10)
        # Nobody answers them: those that were sent before the first picture come again and again.
        before = asked_by_info(caller)
        begun = asyncio.get_running_loop().time()
        player.picture(lose=True)
        await player.play(int(1.8 * FPS))
        seconds = asyncio.get_running_loop().time() - begun
        assert 1 <= len(asked_by_info(caller) - before) <= seconds + 1
        assert not line.of_kind(wire.PSFB, wire.PLI)


async def test_peer_without_keyframes_is_not_frozen_for_ever(gateway: Gateway) -> None:
    """Who never sends another keyframe is shown again after two seconds, and with the next loss at once."""
    async with stream(gateway, "nack pli") as (line, _, _):
        player = play(line, ONE_KEYFRAME)
        assert await player.play(10) > 3
        await all_shown()
        begun = asyncio.get_running_loop().time()
        player.picture(lose=True)
        await player.shown_after_s(WITHOUT_KEYFRAME_S + 2)
        # Not by pictures: a busy machine plays fewer in that time.
        assert asyncio.get_running_loop().time() - begun > WITHOUT_KEYFRAME_S * 0.7
        player.picture(lose=True)
        await player.shown_after_s(1)


async def test_keyframes_that_never_come_whole(gateway: Gateway) -> None:
    """Who sends keyframes, each of them damaged, is not shown for ten seconds; then as it is."""
    async with stream(gateway, "nack pli") as (line, _, _):
        player = play(line, EVERY_THIRTY, seconds=16)
        assert await player.play(24) > 3
        await all_shown()
        begun = asyncio.get_running_loop().time()
        # Soon before a keyframe: one that sends none is shown after two seconds.
        for number in range(24, 15 * FPS):
            player.picture(lose=number % 30 in {24, 0})
            await asyncio.sleep(1 / FPS)
            if devices.seen().frames:
                break
        assert FREEZE_MAX_S * 0.9 < asyncio.get_running_loop().time() - begun < FREEZE_MAX_S + 3


async def test_gradual_refresh_ends_a_freeze(gateway: Gateway) -> None:
    """Half a second of gradual refresh (recovery point SEI, H.264 D.2.8) is as good as a keyframe."""
    async with stream(gateway, "nack pli") as (line, _, _):
        player = play(line, GRADUAL)
        assert await player.play(16) > 5
        await all_shown()
        player.picture(lose=True)
        assert 0.2 < await player.shown_after_s(3) < WITHOUT_KEYFRAME_S * 0.9


@pytest.mark.parametrize("profile", [EVERY_THIRTY, HIGH], ids=["baseline", "high"])
async def test_each_picture_is_shown_when_it_comes(gateway: Gateway, profile: Mapping[str, str]) -> None:
    """And not when the next one does; after a loss the keyframe is the first, not the damaged one before it."""
    async with stream(gateway, "nack pli") as (line, _, _):
        player = play(line, profile)
        devices.seen()
        for _ in range(24):
            await player.next()
        assert add_up(await all_shown()).last_counter == 23
        # Soon before the keyframe: what comes damaged is shown all the same after a while.
        player.picture(lose=True)
        for _ in range(6):
            await player.next()
        seen = add_up(await all_shown())
        assert (seen.frames, seen.last_counter) == (1, 30)


async def test_out_of_order(gateway: Gateway) -> None:
    """A packet that comes 15 ms late, after those behind it, is no loss.

    On a busy machine one may come later than that, which costs no more than what is left until the next keyframe.
    """
    async with stream(gateway) as (line, _, _):
        numbers = itertools.count(65_500)
        units = list(film.encode(320, 180, FPS, 3, 400_000, EVERY_FIVE))
        settle(line, numbers)
        devices.seen()
        for picture, unit in enumerate(units):
            packets = [(next(numbers), payload) for payload in rtp.payloads(unit)]
            late = packets.pop(0) if picture % 3 == 2 else None
            for number, payload in packets:
                line.send(number, payload, picture=picture * 2, last=number == packets[-1][0])
            await asyncio.sleep(0.015)
            if late is not None:
                line.send(late[0], late[1], picture=picture * 2, last=not packets)
            await asyncio.sleep(1 / FPS - 0.015)
        assert devices.seen().frames > len(units) * 0.6


@pytest.mark.slow
async def test_keyframe_request_is_kept(gateway: Gateway) -> None:
    """A PLI too soon after a keyframe is not lost: it is answered when the next keyframe may be sent."""
    async with stream(gateway, "nack pli") as (line, _, _):

        async def keyframe(within_s: float) -> float:
            """How long until a keyframe comes; `within_s` if none does."""
            start, clock = len(line.packets), asyncio.get_running_loop().time
            begun = clock()
            while clock() - begun < within_s:
                if any(map(wire.is_keyframe, line.packets[start:])):
                    after = clock() - begun
                    await asyncio.sleep(0.2)  # All of it.
                    return after
                await asyncio.sleep(0.01)
            return within_s

        def ask() -> None:
            line.feed_back(wire.feedback(wire.PSFB, wire.PLI, line.source))

        await until_no_keyframes(line)
        ask()
        assert await keyframe(1.5) < 0.4
        ask()
        assert 0.1 < await keyframe(1.5) < 0.8
        assert await keyframe(1.0) == 1.0
