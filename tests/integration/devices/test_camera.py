"""The camera's contract: what is pushed in is what a page gets by plain getUserMedia.

It holds for both backends: JIBRI_SIP_TEST_CAMERA names the one to try (`pipewire`, or `v4l2loopback`, which takes the
device labelled SIP_Room_1). Where 30 pictures a second are too many, JIBRI_SIP_TEST_CANVAS gives what will do; the same
number of pictures then takes longer.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException

from tests.integration.devices.chromium import CameraPage, Frame, camera_page
from tests.integration.devices.pjsip import STRETCHES
from tests.stamps.stamp import BLACK, Stamp, draw
from virtual_devices import cards
from virtual_devices.camera import Backend, Camera, open_camera
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.errors import DeviceError
from virtual_devices.patience import PATIENCE
from virtual_devices.processes import instance_env, leftovers

pytestmark = pytest.mark.alone

BACKEND: Backend = "v4l2loopback" if os.environ.get("JIBRI_SIP_TEST_CAMERA") == "v4l2loopback" else "pipewire"
LABEL = "SIP_Room_1" if BACKEND == "v4l2loopback" else "SIP Room"
FULL_RATE = 30
SHOWN_S = 10.0 * PATIENCE
NO_SIGNAL_S = 2
LATENCY_MS, SLOW_LATENCY_MS = 50, 2000
"""What a machine at full rate must keep; and one that is emulated, where it is the pictures that count."""


@pytest.fixture
async def camera(runtime_dir: Path, canvas: Canvas) -> AsyncIterator[Camera]:
    """A running camera that browsers can open on this machine."""
    camera = open_camera(BACKEND, runtime_dir, canvas, LABEL)
    try:
        await camera.start()
        yield camera
    finally:
        await camera.close()


@asynccontextmanager
async def browser(profile: Path, display: Display, camera: Camera) -> AsyncIterator[CameraPage]:
    """A page in a browser that sees the camera."""
    env = instance_env(profile.parent) | display.env | camera.env
    manager = camera_page(profile, env, camera.chrome_flags)
    before = set(leftovers(profile.parent))
    try:
        page = await asyncio.to_thread(manager.__enter__)
        try:
            yield page
        finally:
            await asyncio.to_thread(manager.__exit__, None, None, None)
    finally:
        # Chromium's helpers end by themselves, some time after it.
        await until(lambda: before.issuperset(leftovers(profile.parent)), "end of the browser")


@pytest.fixture
async def page(runtime_dir: Path, display: Display, camera: Camera) -> AsyncIterator[CameraPage]:
    """The page in a browser of its own."""
    async with browser(runtime_dir / "profile", display, camera) as page:
        yield page


class Peer:
    """Pushes stamped pictures into a camera, as many a second as the canvas has."""

    def __init__(self, camera: Camera, size: tuple[int, int] | None = None) -> None:
        self._camera = camera
        self._size = size or (camera.canvas.width, camera.canvas.height)
        self.pushed = 0

    async def send(self, pictures: int) -> None:
        """Sends so many, without catching up when late."""
        await asyncio.to_thread(self._send, pictures / self._camera.canvas.fps)

    def _send(self, seconds: float) -> None:
        width, height = self._size
        picture = bytearray(b"\x80" * (width * height * 3 // 2))
        due = time.monotonic()
        end = due + seconds
        while due < end:
            self.pushed += 1
            draw(picture, width, height, Stamp(self.pushed, time.time_ns() // 1_000_000))
            self._camera.native.write(bytes(picture), width, height)
            due = max(due + 1 / self._camera.canvas.fps, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


async def until(probe: Callable[[], bool], what: str, timeout_s: float = SHOWN_S) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < deadline, f"no {what} within {timeout_s} s"
        await asyncio.sleep(0.02)


async def frames_until(page: CameraPage, enough: Callable[[list[Frame]], bool]) -> list[Frame]:
    """The frames since the last call, until they are enough."""
    frames: list[Frame] = []
    async with asyncio.timeout(SHOWN_S):
        while not enough(frames):
            frames += await asyncio.to_thread(page.take)
    return frames


def boxes(frames: list[Frame]) -> list[bool]:
    """Whether there were pillar boxes, and then not, and then again, and so on."""
    return [boxed for boxed, _ in itertools.groupby(frame.edge == BLACK for frame in frames)]


async def test_the_page_gets_the_peers_pictures(camera: Camera, page: CameraPage, canvas: Canvas) -> None:
    """Stamped pictures arrive intact, in order, at full rate, without waiting anywhere, under the camera's label."""
    camera.show(None)
    assert await asyncio.to_thread(page.open) == LABEL
    peer = Peer(camera)
    await peer.send(30)
    await asyncio.to_thread(page.take)
    most_ms = LATENCY_MS if canvas.fps >= FULL_RATE else SLOW_LATENCY_MS
    for _ in range(STRETCHES):
        await peer.send(90)
        frames = await asyncio.to_thread(page.take)
        counters = [frame.counter for frame in frames if frame.counter is not None]
        assert {(frame.width, frame.height) for frame in frames} == {(canvas.width, canvas.height)}
        latency_ms = statistics.median(frame.latency for frame in frames if frame.latency is not None)
        assert counters == sorted(counters)
        assert len(counters) >= 0.98 * len(frames)
        if len(set(counters)) >= 60 and latency_ms < most_ms:
            break
    assert len(set(counters)) >= 60
    assert latency_ms < most_ms
    stats = camera.stats()
    assert stats.watched
    assert (stats.peer_width, stats.peer_height) == (canvas.width, canvas.height)
    assert stats.received == peer.pushed


async def test_what_the_page_sees_when_nothing_comes(camera: Camera, page: CameraPage, canvas: Canvas) -> None:
    """A card, a peer of another shape in his pillar box, his last picture again, "no signal", and the peer again."""
    card = cards.audio_only(canvas, "Ann Other")
    camera.show(card)
    await asyncio.to_thread(page.open)
    assert camera.still() == card
    await frames_until(page, lambda frames: len(frames) >= 2)
    camera.show(None)
    assert camera.still() == card  # until the peer's first picture
    await Peer(camera, (canvas.height * 4 // 3, canvas.height)).send(15)
    await until(lambda: camera.stats().no_signal >= 2, '"no signal"', NO_SIGNAL_S + SHOWN_S)
    stats = camera.stats()
    assert time.monotonic_ns() - stats.last_received_ns >= NO_SIGNAL_S * 1e9
    assert stats.repeated >= 2
    assert camera.still() == cards.no_signal(canvas)
    frames = await frames_until(page, lambda frames: boxes(frames)[-2:] == [True, False])
    # The card, the peer and his last picture again, "no signal": nothing else came between.
    assert boxes(frames) in ([True, False], [False, True, False])
    again = Peer(camera)
    again.pushed = 1000
    await again.send(15)
    await frames_until(page, lambda frames: any((frame.counter or 0) > 1005 for frame in frames))


async def test_a_killed_browser_does_not_stall_the_camera(runtime_dir: Path, display: Display, camera: Camera) -> None:
    """After kill -9 of the browser, the next one gets pictures at full rate."""
    camera.show(None)
    with contextlib.suppress(WebDriverException):
        async with browser(runtime_dir / "first", display, camera) as page:
            assert await asyncio.to_thread(page.open) == LABEL
            await until(lambda: camera.stats().watched, "watcher")
            await Peer(camera).send(15)
            await asyncio.to_thread(page.kill)
    async with browser(runtime_dir / "second", display, camera) as page:
        assert await asyncio.to_thread(page.open) == LABEL
        await Peer(camera).send(15)
        await asyncio.to_thread(page.take)
        await Peer(camera).send(90)
        assert len(await asyncio.to_thread(page.take)) >= 60
    shutil.rmtree(runtime_dir / "first")  # a killed browser leaves its profile as it was


async def test_wrong_pictures_are_refused(camera: Camera, canvas: Canvas) -> None:
    """A picture whose bytes do not fit its size never reaches C."""
    with pytest.raises(ValueError, match="even sizes"):
        camera.native.write(bytes(100), 11, 7)
    with pytest.raises(ValueError, match="not an I420 picture"):
        camera.native.write(bytes(100), 640, 480)
    with pytest.raises(ValueError, match="not an I420 picture"):
        camera.show(bytes(canvas.picture_bytes - 1))


def test_no_such_backend(runtime_dir: Path, canvas: Canvas) -> None:
    """A backend that does not exist is refused with the names of those that do."""
    with pytest.raises(ValueError, match="choose auto, v4l2loopback or pipewire"):
        open_camera("other", runtime_dir, canvas)  # type: ignore[arg-type]


async def test_no_loopback_device(runtime_dir: Path, canvas: Canvas) -> None:
    """Without a device of the label, the error says how to load the module."""
    with pytest.raises(DeviceError, match="card_label='A label that no device has'"):
        await open_camera("v4l2loopback", runtime_dir, canvas, "A label that no device has").start()
