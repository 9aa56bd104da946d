"""Whatever size the peer's picture has, and however many packets, it is shown; our own has nothing to do with it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from jibri_sip.sip.settings import SipSettings
from tests.bench import film
from tests.integration.sip.conftest import Gateway
from tests.integration.sip.player import Player, all_shown
from tests.integration.sip.wired import SMALL, dialog
from tests.peer import devices
from tests.peer.baresip import Baresip
from tests.peer.seen import add_up

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = SipSettings(port=0, picture=SMALL)

FPS = 10
LEVEL_4 = "profile-level-id=42e028;packetization-mode=1"


def pictures(width: int, height: int, bitrate: int = 600_000) -> Iterator[bytes]:
    """A film of this size, a keyframe and 14 others."""
    return film.encode(width, height, FPS, 2, bitrate, {"x264-params": "keyint=infinite:scenecut=0"})


async def shown(player: Player, count: int = 15) -> tuple[int, int, int]:
    """Play so many pictures; how many were shown of them, and the size of the last."""
    devices.seen()
    for _ in range(count):
        await player.next()
    seen = add_up(await all_shown())
    return seen.intact, seen.width, seen.height


async def test_720p(gateway: Gateway) -> None:
    """What every room sends, in a call whose own picture is small."""
    async with dialog(gateway) as (line, _, _, _):
        intact, *size = await shown(Player(line, pictures(1280, 720), FPS))
        assert size == [1280, 720]
        assert intact >= 12


async def test_size_changes(gateway: Gateway) -> None:
    """A room that begins small and grows to 1080p, upright in between, is seen all the way."""
    async with dialog(gateway, h264=LEVEL_4) as (line, _, _, _):
        player = Player(line, (), FPS)
        for width, height in ((320, 180), (1280, 720), (720, 1280), (640, 360), (1920, 1080), (352, 288)):
            player.insert(pictures(width, height))
            intact, *size = await shown(player)
            assert size == [width, height]
            assert intact >= 11


async def test_many_packets(gateway: Gateway) -> None:
    """A keyframe of many small packets is shown: of 500 as of one."""
    async with dialog(gateway) as (line, _, _, _):
        player = Player(line, (), FPS)
        player.insert(pictures(640, 360, 2_000_000), payload=60)
        assert await player.next() > 500
        assert (await shown(player))[0] >= 12


async def test_larger_than_agreed(gateway: Gateway) -> None:
    """A peer that goes beyond 1080p is not shown, until it comes back; the log says why, once."""
    async with dialog(gateway, h264=LEVEL_4) as (line, _, _, _):
        player = Player(line, pictures(320, 180), FPS)
        assert (await shown(player))[0] >= 12
        with capture_logs() as logs:
            player.insert(pictures(2560, 1440))
            assert (await shown(player))[0] == 0
        assert ["2560x1440" in entry["text"] for entry in logs if "too large" in entry.get("text", "")] == [True]
        player.insert(pictures(640, 360))
        intact, *size = await shown(player)
        assert size == [640, 360]
        assert intact >= 11


@pytest.mark.alone
async def test_720p_from_baresip(gateway: Gateway, tmp_path: Path) -> None:
    """A foreign room's 720p, keyframes of 70 packets and more among it."""
    async with Baresip(tmp_path, width=1280, height=720, fps=FPS, bitrate=1_500_000, shown=(320, 180)) as baresip:
        await baresip.dial(gateway.uri.partition(";")[0])
        call = await gateway.take()
        await call.answer()
        await baresip.wait_for("CALL_ESTABLISHED")
        await asyncio.sleep(3)
        devices.seen()
        for _ in range(3):
            await call.request_keyframe()
            await asyncio.sleep(1)
        seen = devices.seen()
        assert (seen.width, seen.height) == (1280, 720)
        assert seen.intact > 15
        await call.hangup()
