"""Sound and picture are brought together by what their sender says of their clocks (RFC 3550 section 6.4.1)."""

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from jibri_sip.sip.settings import SipSettings
from tests.bench import film
from tests.integration.sip.conftest import Gateway
from tests.integration.sip.player import Player
from tests.integration.sip.wired import SMALL, dialog
from tests.peer import devices, wire
from tests.peer.rtp import RtpSocket
from tests.peer.wire import Wire

# Tenths of a second count.
pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

SETTINGS = SipSettings(port=0, picture=SMALL)

FPS = 10
TICK_S = 0.02
"""Of sound in a packet; a picture is sent with each fifth."""
TICKS = round(1 / FPS / TICK_S)
PCMU_HZ, PICTURE_HZ = 8000, 90_000
SILENCE = b"\xff" * int(PCMU_HZ * TICK_S)
REPORT_TICKS = 50
LONG_S = 60


class Sender:
    """Sends silence and a film in their time, and reports of both once a second.

    Args:
        picture: where the picture goes.
        sound: where the sound is sent from.
        port: where to.
    """

    def __init__(self, picture: Wire, sound: RtpSocket, port: int) -> None:
        self._picture = picture
        self._sound = sound
        self._port = port
        self._player = Player(picture, film.encode(320, 180, FPS, LONG_S, 300_000), FPS)
        self._tick = 0
        self._begun = time.monotonic()
        self._sent_ms: dict[int, float] = {}

    async def play(self, seconds: float, ahead_s: float) -> Mapping[int, float]:
        """Go on, as if pictures had been taken so much later than they were; delays in ms of those shown, by number."""
        devices.pictures()
        first = self._tick // TICKS
        for _ in range(round(seconds / TICK_S)):
            await asyncio.sleep(self._begun + self._tick * TICK_S - time.monotonic())
            self._send(ahead_s)
        shown = {frame.counter: frame.seen_ms for frame in devices.pictures() if frame.counter is not None}
        return {number: ms - self._sent_ms[number] for number, ms in shown.items() if number >= first}

    async def settle(self, seconds: float, ahead_s: float, holds: Callable[[float], bool]) -> None:
        """Go on for so long, most of it shown, then for ten seconds at most until the usual delay is as it must be."""
        delays = await self.play(seconds, ahead_s)
        assert len(delays) > seconds * FPS * 0.6
        for _ in range(5):
            if holds(usual(delays)):
                break
            # The sound of a machine that stood still for a moment is late for a while, and so is its picture.
            delays = await self.play(2, ahead_s)
        assert holds(usual(delays)), usual(delays)

    def _send(self, ahead_s: float) -> None:
        if self._tick % TICKS == 0:
            self._sent_ms[self._tick // TICKS] = time.time_ns() / 1e6
            self._player.picture()
        at = int(self._tick * TICK_S * PCMU_HZ)
        self._sound.send(self._port, 0, at, SILENCE, marker=self._tick == 0)
        if self._tick % REPORT_TICKS == 0 and self._tick:
            self._report(at, ahead_s)
        self._tick += 1

    def _report(self, sound_at: int, ahead_s: float) -> None:
        now = time.time_ns() / 1e9
        picture_at = int(self._tick * TICK_S * PICTURE_HZ)
        self._sound.report(self._port + 1, wire.sender_report(self._sound.source, now, sound_at))
        self._picture.feed_back(wire.sender_report(wire.OWN_SOURCE, now + ahead_s, picture_at))


@asynccontextmanager
async def sender(gateway: Gateway) -> AsyncIterator[Sender]:
    """One in a call, whose reports were right for two seconds."""
    async with dialog(gateway) as (line, _, answer, _), RtpSocket() as sound:
        port = re.search(r"m=audio (\d+)", answer)
        assert port is not None
        sending = Sender(line, sound, int(port[1]))
        await sending.play(2, 0)
        yield sending


def usual(delays: Mapping[int, float]) -> float:
    """Of the last ten."""
    return statistics.median([delays[number] for number in sorted(delays)[-FPS:]])


async def test_picture_waits_for_its_sound_and_no_longer(gateway: Gateway) -> None:
    """Who says that his pictures are 250 ms ahead has each shown later, and as before once he is right."""
    async with sender(gateway) as sending:
        before = usual(await sending.play(2, 0))
        await sending.settle(5, 0.25, lambda wrong: before + 100 < wrong < before + 400)
        await sending.settle(8, 0, lambda right: right < before + 100)


async def test_clocks_that_cannot_be_right(gateway: Gateway) -> None:
    """Who says that his pictures are seconds ahead, or behind, is not believed."""
    async with sender(gateway) as sending:
        before = usual(await sending.play(2, 0))
        for ahead_s in (3, -3):
            await sending.settle(4, ahead_s, lambda wrong: wrong < before + 100)
