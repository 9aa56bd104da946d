"""Plays films on a bare wire, picture by picture, and loses what it is told to lose."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator

from tests.bench import rtp
from tests.peer import devices
from tests.peer.seen import Frame
from tests.peer.wire import Wire

_BURST = 50
_PAUSE_S = 0.001
"""A receiver's socket holds some hundred packets."""
_POLL_S = 0.05
_QUIET, _MOST = 10, 200
"""Looks in a row that find no new picture, and all of them."""


async def all_shown() -> list[Frame]:
    """What is shown until nothing more is, though nothing is sent: a busy machine is behind with its pictures."""
    frames: list[Frame] = []
    quiet = 0
    for _ in range(_MOST):
        more = devices.pictures()
        frames += more
        quiet = 0 if more else quiet + 1
        if quiet == _QUIET:
            break
        await asyncio.sleep(_POLL_S)
    return frames


def settle(line: Wire, numbers: Iterator[int]) -> None:
    """Send filler data (H.264 7.3.2.7): a receiver does not take the first packets of a source (RFC 3550 A.1)."""
    for _ in range(4):
        number = next(numbers)
        line.send(number, b"\x0c\xff\x80", picture=number - 70_000)


class Player:
    """Plays films on the wire, one picture after the other, without those packets that it is told to lose.

    Args:
        line: where to.
        film: access units of H.264 in Annex B form.
        fps: how many of them a second; it divides 30.
    """

    def __init__(self, line: Wire, film: Iterable[bytes], fps: int) -> None:
        self._line = line
        self._fps = fps
        self._numbers = itertools.count(65_500)
        self._count = itertools.count()
        self.insert(film)
        settle(line, self._numbers)

    def insert(self, film: Iterable[bytes], payload: int = 1200) -> None:
        """Go on with another film, in packets of about `payload` bytes."""
        self._pictures: Iterator[list[bytes]] = iter([list(rtp.payloads(unit, payload)) for unit in film])

    def _send(self, *, lose: bool = False) -> Iterator[int]:
        """Send the next picture, a packet at each step; yields how many there were."""
        payloads, picture = next(self._pictures), next(self._count)
        for index, payload in enumerate(payloads):
            number = next(self._numbers)
            if not (lose and index == 0):
                at = picture * (30 // self._fps)
                self._line.send(number, payload, picture=at, last=index == len(payloads) - 1)
            yield index + 1

    def picture(self, *, lose: bool = False) -> None:
        """The next picture, at once; `lose`: without its first packet."""
        for _ in self._send(lose=lose):
            pass

    async def play(self, pictures: int) -> int:
        """So many pictures, in their time; returns how many were shown meanwhile."""
        devices.seen()
        for _ in range(pictures):
            await self.next()
        return devices.seen().frames

    async def next(self) -> int:
        """The next picture, and the time until the one after; returns of how many packets it was."""
        clock = asyncio.get_running_loop().time
        due = clock() + 1 / self._fps
        packets = 0
        for packets in self._send():
            if packets % _BURST == 0:
                await asyncio.sleep(_PAUSE_S)
        # Encoding it took some of its time.
        await asyncio.sleep(due - clock())
        return packets

    async def shown_after_s(self, most_s: float) -> float:
        """Play until a picture is shown again; returns the seconds that took."""
        for number in range(int(most_s * self._fps)):
            await self.next()
            # What was on its way before is shown with the first two.
            if devices.seen().frames and number >= 2:
                return number / self._fps
        raise TimeoutError
