"""The display and the screen source against a real Xvfb."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from PIL import Image
from Xlib import X
from Xlib.display import Display as Connection

from tests.stamps.stamp import Stamp, draw, read_luma
from virtual_devices import cards
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.errors import DeviceError
from virtual_devices.processes import X_DIRECTORY, leftovers
from virtual_devices.screen import ScreenSource

BLACK_CARD_LUMA = 16
BOUNDED_S = 5.0  # the 50 ms that a picture may cost, on a busy machine; nothing else would end the wait
BACK_S = 10.0


class Painter:
    """An X client that paints stamped pictures on the root window."""

    def __init__(self, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XAUTHORITY", display.env["XAUTHORITY"])
        self._connection = Connection(display.name)
        self._root = self._connection.screen().root
        self._canvas = display.canvas

    def paint(self, counter: int) -> None:
        """Paints the stamp with this counter over the canvas, in strips that fit an X request."""
        width, height = self._canvas.width, self._canvas.height
        luma = bytearray(width * height)
        draw(luma, width, height, Stamp(counter, time.time_ns() // 1_000_000))
        image = Image.frombytes("L", (width, height), bytes(luma)).convert("RGB")
        context = self._root.create_gc()
        for top in range(0, height, 40):
            strip = image.crop((0, top, width, top + 40)).tobytes("raw", "BGRX")
            self._root.put_image(context, 0, top, width, 40, X.ZPixmap, 24, 0, strip)
        context.free()
        self._connection.sync()

    def window(self, name: str) -> None:
        """Maps a small window."""
        window = self._root.create_window(10, 20, 300, 200, 0, 24)
        window.set_wm_name(name)
        window.map()
        self._connection.sync()

    def close(self) -> None:
        """Leaves."""
        self._connection.close()


@pytest.fixture
def painter(display: Display, monkeypatch: pytest.MonkeyPatch) -> Iterator[Painter]:
    """A painter on the display."""
    painter = Painter(display, monkeypatch)
    yield painter
    painter.close()


@pytest.fixture
async def screen(display: Display, canvas: Canvas) -> AsyncIterator[ScreenSource]:
    """A screen source, showing its first card."""
    screen = ScreenSource(display, canvas)
    try:
        await screen.start()
        yield screen
    finally:
        await screen.close()


def counter(picture: bytes, canvas: Canvas) -> int | None:
    """The counter of the stamp in a picture."""
    stamp = read_luma(picture, canvas.width, canvas.height)
    return stamp.counter if stamp else None


def read(screen: ScreenSource) -> tuple[bytes, bool]:
    """The next picture; where X takes longer than a picture may cost, which is counted as an error, the one after."""
    deadline = time.monotonic() + BACK_S
    while True:
        errors = screen.stats().errors
        taken = screen.native.read()
        if screen.stats().errors == errors:
            return taken
        assert time.monotonic() < deadline, "X does not answer"


def asks_x(screen: ScreenSource) -> bool:
    """Whether one more picture is asked of X."""
    before = screen.stats()
    screen.native.read()
    after = screen.stats()
    return (after.grabbed, after.errors) != (before.grabbed, before.errors)


async def test_what_is_painted_is_read(screen: ScreenSource, painter: Painter, canvas: Canvas) -> None:
    """Each painted picture is in the next one read; when nothing is painted, X is not asked."""
    screen.show(None)
    for number in range(1, 6):
        painter.paint(number)
        picture, live = read(screen)
        assert live
        assert counter(picture, canvas) == number
    # Once more where its answer was late.
    assert any(not asks_x(screen) for _ in range(100))
    before = screen.stats()
    again = {screen.native.read()[0] for _ in range(10)}
    after = screen.stats()
    assert {counter(picture, canvas) for picture in again} == {5}
    assert after.unchanged - before.unchanged == 10
    assert (after.grabbed, after.errors) == (before.grabbed, before.errors)
    still = screen.still()
    assert still is not None
    assert counter(still, canvas) == 5


async def test_cards_hide_the_screen(screen: ScreenSource, painter: Painter, canvas: Canvas) -> None:
    """Nothing of the screen is shown before it is asked for, nor while a card is, nor anything old after it."""
    painter.paint(1)
    black, live = screen.native.read()
    assert not live
    assert set(black[: canvas.width * canvas.height]) == {BLACK_CARD_LUMA}
    card = cards.welcome(canvas)
    screen.show(card)
    assert screen.native.read() == (card, False)
    assert screen.still() == card
    screen.show(None)
    assert counter(read(screen)[0], canvas) == 1
    screen.show(card)
    painter.paint(2)
    assert screen.native.read() == (card, False)
    screen.show(None)
    assert counter(read(screen)[0], canvas) == 2


async def test_a_stopped_server_does_not_stop_us(screen: ScreenSource, display: Display, painter: Painter) -> None:
    """A server that does not answer costs 50 ms a picture, and its picture is taken when it comes back."""
    screen.show(None)
    painter.paint(1)
    read(screen)
    errors = screen.stats().errors
    painter.paint(2)
    assert display.pid
    os.kill(display.pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        picture, live = screen.native.read()
        assert time.monotonic() - start < BOUNDED_S
        assert live
        assert counter(picture, display.canvas) == 1
        assert screen.stats().errors == errors + 1
    finally:
        os.kill(display.pid, signal.SIGCONT)
    async with asyncio.timeout(BACK_S):
        while counter(screen.native.read()[0], display.canvas) != 2:  # noqa: ASYNC110  (nobody tells us)
            await asyncio.sleep(0.01)


async def test_what_is_read_is_not_freed_meanwhile(screen: ScreenSource) -> None:
    """Somebody looks, in another thread, while the slot is taken down: closing waits, and later looks are refused."""
    native = screen.native
    with native.held():
        closing = asyncio.create_task(asyncio.to_thread(native.close))
        done, _ = await asyncio.wait({closing}, timeout=0.3)
        assert not done
    await closing
    with pytest.raises(ValueError, match="closed"):
        native.still()


async def test_the_server_is_killed(display: Display, canvas: Canvas, runtime_dir: Path) -> None:
    """The loss is told, reading goes on with the last picture, and display and source can be had anew."""
    lost: list[str] = []
    display.on_lost = lost.append
    screen = ScreenSource(display, canvas)
    await screen.start()
    screen.show(None)
    read(screen)
    assert display.pid
    socket = X_DIRECTORY / ".X11-unix" / f"X{display.name[1:]}"
    assert socket.exists()
    os.kill(display.pid, signal.SIGKILL)
    async with asyncio.timeout(BACK_S):
        while not (lost and screen.stats().lost):
            screen.native.read()
            await asyncio.sleep(0.01)
    assert lost == ["Xvfb ended with status -9"]
    assert screen.stats().lost
    assert screen.native.read()[1]
    with pytest.raises(DeviceError, match="display"):
        display.watch()
    await screen.close()
    await display.close()
    with pytest.raises(DeviceError, match="display"):
        display.watch()
    assert not socket.exists()
    await display.start()
    await screen.start()
    screen.show(None)
    assert read(screen)[1]
    await screen.close()
    assert leftovers(runtime_dir) == [display.pid]


async def test_watch(display: Display, painter: Painter) -> None:
    """The watch sees the size, windows that should not be there, and makes a still."""
    with display.watch() as watch:
        assert watch.geometry() == (1282, 722)
        assert watch.windows() == []
        painter.window("A dialogue")
        [window] = watch.windows()
        assert (window.name, window.x, window.y, window.width, window.height) == ("A dialogue", 10, 20, 300, 200)
        assert watch.still().size == (1280, 720)


async def test_strangers_are_not_let_in(display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the cookie, no client gets in."""
    monkeypatch.delenv("XAUTHORITY", raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(Exception, match=r"(?i)auth|denied|connect"):
        Connection(display.name)


async def test_two_displays(display: Display, canvas: Canvas, tmp_path: Path) -> None:
    """A second instance gets another display, and closing it leaves the first alone."""
    other = Display(tmp_path, canvas)
    await other.start()
    assert other.name != display.name
    await other.close()
    await other.close()
    with display.watch() as watch:
        assert watch.geometry() == (1282, 722)


async def test_half_built(canvas: Canvas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A display that does not come up says so, and leaves nothing."""
    monkeypatch.setenv("PATH", "/nonexistent")
    display = Display(tmp_path, canvas)
    with pytest.raises(DeviceError, match="Xvfb is not installed"):
        await display.start()
    await display.close()
    assert not display.env["DISPLAY"]
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - the loop has nothing else to do
