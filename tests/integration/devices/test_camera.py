"""The camera's contract: what is pushed in is what a page gets by plain getUserMedia."""

import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException

from tests.integration.devices.chromium import CameraPage, camera_page
from tests.stamps.stamp import BLACK, Stamp, draw
from virtual_devices import cards
from virtual_devices.camera import open_camera
from virtual_devices.camera.pipewire import PipeWireCamera
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.errors import DeviceError
from virtual_devices.processes import instance_env


@pytest.fixture
async def camera(runtime_dir: Path, canvas: Canvas) -> AsyncIterator[PipeWireCamera]:
    """A running camera that browsers can open on this machine."""
    camera = open_camera("pipewire", runtime_dir, canvas, "SIP Room")
    assert isinstance(camera, PipeWireCamera)
    try:
        await camera.start()
        yield camera
    finally:
        await camera.close()


@asynccontextmanager
async def browser(profile: Path, display: Display, camera: PipeWireCamera) -> AsyncIterator[CameraPage]:
    """A page in a browser that sees the camera."""
    env = instance_env(profile.parent) | display.env | camera.env
    manager = camera_page(profile, env, camera.chrome_flags)
    page = await asyncio.to_thread(manager.__enter__)
    try:
        yield page
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


@pytest.fixture
async def page(runtime_dir: Path, display: Display, camera: PipeWireCamera) -> AsyncIterator[CameraPage]:
    """The page in a browser of its own."""
    async with browser(runtime_dir / "profile", display, camera) as page:
        yield page


class Peer:
    """Pushes stamped pictures into a camera, 30 a second."""

    def __init__(self, camera: PipeWireCamera, width: int = 1280, height: int = 720) -> None:
        self._camera = camera
        self._size = (width, height)
        self.pushed = 0

    async def send(self, seconds: float) -> None:
        """Sends for a while, without catching up when late."""
        await asyncio.to_thread(self._send, seconds)

    def _send(self, seconds: float) -> None:
        width, height = self._size
        picture = bytearray(b"\x80" * (width * height * 3 // 2))
        due = time.monotonic()
        end = due + seconds
        while due < end:
            self.pushed += 1
            draw(picture, width, height, Stamp(self.pushed, time.time_ns() // 1_000_000))
            self._camera.native.write(bytes(picture), width, height)
            due = max(due + 1 / 30, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


async def test_the_page_gets_the_peers_pictures(camera: PipeWireCamera, page: CameraPage) -> None:
    """Stamped pictures arrive intact, in order, at full rate, without waiting anywhere, under the camera's label."""
    camera.show(None)
    assert await asyncio.to_thread(page.open) == "SIP Room"
    peer = Peer(camera)
    await peer.send(1)
    await asyncio.to_thread(page.take)
    await peer.send(3)
    frames = await asyncio.to_thread(page.take)
    counters = [frame.counter for frame in frames if frame.counter is not None]
    latencies = sorted(frame.latency for frame in frames if frame.latency is not None)
    assert {(frame.width, frame.height) for frame in frames} == {(1280, 720)}
    assert counters == sorted(counters)
    assert len(set(counters)) >= 60
    assert len(counters) >= 0.98 * len(frames)
    assert statistics.median(latencies) < 50
    stats = camera.stats()
    assert stats.watched
    assert (stats.peer_width, stats.peer_height) == (1280, 720)
    assert stats.received == peer.pushed


async def test_what_the_page_sees_when_nothing_comes(camera: PipeWireCamera, page: CameraPage, canvas: Canvas) -> None:
    """A card, a peer of another shape in his pillar box, his last picture again, "no signal", and the peer again."""
    card = cards.audio_only(canvas, "Ann Other")
    camera.show(card)
    await asyncio.to_thread(page.open)
    await asyncio.sleep(0.5)
    assert camera.still() == card
    assert len(await asyncio.to_thread(page.take)) >= 2
    camera.show(None)
    assert camera.still() == card  # until the peer's first picture
    peer = Peer(camera, 640, 480)
    await peer.send(0.5)
    await asyncio.sleep(0.6)
    repeated = (await asyncio.to_thread(page.take))[-2:]
    assert {frame.edge for frame in repeated} == {BLACK}
    assert camera.stats().repeated >= 2
    assert camera.stats().no_signal == 0
    await asyncio.sleep(2)
    assert camera.still() == cards.no_signal(canvas)
    assert camera.stats().no_signal >= 2
    assert all(frame.edge != BLACK for frame in (await asyncio.to_thread(page.take))[-2:])
    again = Peer(camera)
    again.pushed = 1000
    await again.send(0.5)
    counters = [frame.counter for frame in await asyncio.to_thread(page.take)]
    assert max(counter for counter in counters if counter is not None) > 1005


async def test_a_killed_browser_does_not_stall_the_camera(
    runtime_dir: Path, display: Display, camera: PipeWireCamera
) -> None:
    """After kill -9 of the browser, the next one gets pictures at full rate."""
    camera.show(None)
    with contextlib.suppress(WebDriverException):
        async with browser(runtime_dir / "first", display, camera) as page:
            await asyncio.to_thread(page.open)
            await Peer(camera).send(0.5)
            assert camera.stats().watched
            await asyncio.to_thread(page.kill)
    async with browser(runtime_dir / "second", display, camera) as page:
        await asyncio.to_thread(page.open)
        await Peer(camera).send(0.5)
        await asyncio.to_thread(page.take)
        await Peer(camera).send(1)
        assert len(await asyncio.to_thread(page.take)) >= 20
    shutil.rmtree(runtime_dir / "first")  # a killed browser leaves its profile as it was


@pytest.mark.parametrize("daemon", ["pipewire", "dbus-daemon"])
async def test_a_daemon_is_killed(camera: PipeWireCamera, canvas: Canvas, daemon: str) -> None:
    """The loss is told once, pictures are swallowed, the camera closes cleanly and can be started again."""
    lost: list[str] = []
    camera.on_lost = lost.append
    os.kill(camera.pids[daemon], signal.SIGKILL)
    await asyncio.sleep(0.6)
    assert len(lost) == 1
    camera.native.write(cards.welcome(canvas), canvas.width, canvas.height)
    start = time.monotonic()
    await camera.close()
    await camera.close()
    await camera.start()
    assert time.monotonic() - start < 2
    assert not camera.stats().lost


async def test_wrong_pictures_are_refused(camera: PipeWireCamera, canvas: Canvas) -> None:
    """A picture whose bytes do not fit its size never reaches C."""
    with pytest.raises(ValueError, match="even sizes"):
        camera.native.write(bytes(100), 11, 7)
    with pytest.raises(ValueError, match="not an I420 picture"):
        camera.native.write(bytes(100), 640, 480)
    with pytest.raises(ValueError, match="not an I420 picture"):
        camera.show(bytes(canvas.picture_bytes - 1))


async def test_a_missing_program(runtime_dir: Path, canvas: Canvas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera whose daemons are not installed says which, and leaves nothing."""
    monkeypatch.setenv("PATH", "/nonexistent")
    camera = open_camera("pipewire", runtime_dir, canvas)
    with pytest.raises(DeviceError, match="is not installed"):
        await camera.start()
    with pytest.raises(ValueError, match="not started"):
        camera.still()


def test_no_such_backend(runtime_dir: Path, canvas: Canvas) -> None:
    """A backend that does not exist is refused with the names of those that do."""
    with pytest.raises(ValueError, match="choose auto, v4l2loopback or pipewire"):
        open_camera("other", runtime_dir, canvas)  # type: ignore[arg-type]


async def test_no_loopback_device(runtime_dir: Path, canvas: Canvas) -> None:
    """Without a device of the label, the error says how to load the module."""
    with pytest.raises(DeviceError, match="card_label='A label that no device has'"):
        await open_camera("v4l2loopback", runtime_dir, canvas, "A label that no device has").start()
