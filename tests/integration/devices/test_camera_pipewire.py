"""What can happen to the camera over PipeWire only: its daemons."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from virtual_devices import cards
from virtual_devices.camera import open_camera
from virtual_devices.camera.pipewire import PipeWireCamera
from virtual_devices.canvas import Canvas
from virtual_devices.errors import DeviceError


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
    await asyncio.sleep(0.6)
    assert len(lost) == 1
    camera.native.write(cards.welcome(canvas), canvas.width, canvas.height)
    start = time.monotonic()
    await camera.close()
    await camera.close()
    await camera.start()
    assert time.monotonic() - start < 2
    assert not camera.stats().lost


async def test_a_missing_program(runtime_dir: Path, canvas: Canvas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera whose daemons are not installed says which, and leaves nothing."""
    monkeypatch.setenv("PATH", "/nonexistent")
    camera = open_camera("pipewire", runtime_dir, canvas)
    with pytest.raises(DeviceError, match="is not installed"):
        await camera.start()
    with pytest.raises(ValueError, match="not started"):
        camera.still()
