"""What the device tests share: a runtime directory, devices that are closed, and a check that nothing stays behind."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.devices.pjsip import pjsip
from virtual_devices.audio import AudioServer
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.processes import leftovers


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A directory with a short path (sockets), in which and from which nothing may be left at the end."""
    with tempfile.TemporaryDirectory(prefix="jibri-sip-test-") as name:
        path = Path(name)
        yield path
        assert leftovers(path) == []
        assert [socket for socket in path.rglob("*") if socket.is_socket()] == []


@pytest.fixture
def canvas() -> Canvas:
    """The usual canvas; JIBRI_SIP_TEST_CANVAS=320x180x3 for a machine that is emulated."""
    width, height, fps = map(int, os.environ.get("JIBRI_SIP_TEST_CANVAS", "1280x720x30").split("x"))
    return Canvas(width, height, fps)


@pytest.fixture
async def display(runtime_dir: Path, canvas: Canvas) -> AsyncIterator[Display]:
    """A running display."""
    display = Display(runtime_dir, canvas)
    try:
        await display.start()
        yield display
    finally:
        await display.close()


@pytest.fixture
async def audio(runtime_dir: Path) -> AsyncIterator[AudioServer]:
    """A running PulseAudio."""
    audio = AudioServer(runtime_dir)
    try:
        await audio.start()
        yield audio
    finally:
        await audio.close()


@pytest.fixture
def endpoint(canvas: Canvas) -> Iterator[Any]:
    """PJSIP in this process, with our devices."""
    with pjsip(canvas) as endpoint:
        yield endpoint
