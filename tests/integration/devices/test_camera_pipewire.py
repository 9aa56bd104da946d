"""What can happen to the camera over PipeWire only: its daemons."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from virtual_devices import cards
from virtual_devices.camera import open_camera
from virtual_devices.camera.pipewire import PipeWireCamera
from virtual_devices.canvas import Canvas
from virtual_devices.errors import DeviceError
from virtual_devices.native.binding import NativeCamera

TOLD_S = 10.0
AGAIN_S = 8.0  # a fifth of a second on a machine that is not busy


@pytest.fixture
async def camera(runtime_dir: Path, canvas: Canvas) -> AsyncIterator[PipeWireCamera]:
    """A running camera."""
    camera = open_camera("pipewire", runtime_dir, canvas, "SIP Room")
    assert isinstance(camera, PipeWireCamera)
    try:
        await camera.start()
        yield camera
    finally:
        await camera.close()


@pytest.mark.parametrize("daemon", ["pipewire", "dbus-daemon"])
async def test_a_daemon_is_killed(camera: PipeWireCamera, canvas: Canvas, daemon: str) -> None:
    """The loss is told once, pictures are swallowed, the camera closes cleanly and can be started again."""
    lost: list[str] = []
    camera.on_lost = lost.append
    os.kill(camera.pids[daemon], signal.SIGKILL)
    async with asyncio.timeout(TOLD_S):
        while not lost:  # noqa: ASYNC110  (what tells is under test)
            await asyncio.sleep(0.01)
    # Whoever else notices has had the time to.
    await asyncio.sleep(0.6)
    assert len(lost) == 1
    camera.native.write(cards.welcome(canvas), canvas.width, canvas.height)
    start = time.monotonic()
    await camera.close()
    await camera.close()
    await camera.start()
    assert time.monotonic() - start < AGAIN_S
    assert not camera.stats().lost


async def test_a_missing_program(runtime_dir: Path, canvas: Canvas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera whose daemons are not installed says which, and leaves nothing."""
    monkeypatch.setenv("PATH", "/nonexistent")
    camera = open_camera("pipewire", runtime_dir, canvas)
    with pytest.raises(DeviceError, match="is not installed"):
        await camera.start()
    with pytest.raises(ValueError, match="not started"):
        camera.still()


class SlowToOpen(PipeWireCamera):
    """A camera that takes its time to open the C part."""

    def __init__(self, runtime_dir: Path, canvas: Canvas) -> None:
        super().__init__(runtime_dir, canvas, "SIP Room")
        self.opening, self.go_on = threading.Event(), threading.Event()
        self.opened: NativeCamera | None = None

    def _open(self, no_signal: bytes) -> NativeCamera:
        self.opening.set()
        assert self.go_on.wait(TOLD_S)
        self.opened = super()._open(no_signal)
        return self.opened


async def test_a_start_that_is_broken_off(runtime_dir: Path, canvas: Canvas) -> None:
    """As when another device of the slot does not start: what was being opened is closed as well."""
    camera = SlowToOpen(runtime_dir, canvas)
    start = asyncio.create_task(camera.start())
    assert await asyncio.to_thread(camera.opening.wait, TOLD_S)
    start.cancel()
    await asyncio.sleep(0)
    camera.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert camera.opened is not None
    with pytest.raises(ValueError, match="closed"):
        camera.opened.stats()
    assert camera.pids == {}
