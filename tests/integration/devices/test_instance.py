"""Whole instances: how long they take, two at once, and what the death of one leaves."""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.devices.instance import Instance
from virtual_devices.processes import X_DIRECTORY, accepts, leftovers, reap

pytestmark = pytest.mark.alone


def shared_memory() -> set[str]:
    """What lies in /dev/shm and belongs to us."""
    found = set()
    for entry in os.scandir("/dev/shm"):  # noqa: S108
        with contextlib.suppress(FileNotFoundError):  # others come and go meanwhile
            if entry.stat().st_uid == os.getuid():
                found.add(entry.name)
    return found


def open_files() -> int:
    """How many file descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one of them is the listing itself, both times


@pytest.fixture
def other_dir() -> Iterator[Path]:
    """The runtime directory of a second instance."""
    with tempfile.TemporaryDirectory(prefix="jibri-sip-test-") as name:
        yield Path(name)


async def test_again_and_again(runtime_dir: Path) -> None:
    """Starting and closing takes a moment, and leaves neither descriptors nor memory nor processes."""
    first = Instance(runtime_dir)
    await first.start()
    await first.close()
    files, memory = open_files(), shared_memory()
    taken = []
    for _ in range(3):
        start = time.monotonic()
        instance = Instance(runtime_dir)
        await instance.start()
        await instance.close()
        await instance.close()
        taken.append(time.monotonic() - start)
    # A daemon that has to be killed takes that long each time.
    assert min(taken) < 2
    assert open_files() == files
    assert shared_memory() <= memory
    assert leftovers(runtime_dir) == []


async def test_two_at_once(runtime_dir: Path, other_dir: Path) -> None:
    """Two instances share nothing: each has its display, its daemons, and closing one leaves the other alone."""
    one, two = Instance(runtime_dir), Instance(other_dir)
    await asyncio.gather(one.start(), two.start())
    try:
        assert one.display.name != two.display.name
        assert one.audio.server != two.audio.server
        assert not set(leftovers(runtime_dir)) & set(leftovers(other_dir))
        await two.close()
        assert leftovers(other_dir) == []
        assert len(leftovers(runtime_dir)) == 4
        assert one.sound.stats().connected
        assert not one.camera.stats().lost
        assert not one.screen.stats().lost
    finally:
        await two.close()
        await one.close()


async def test_a_killed_instance(other_dir: Path) -> None:
    """SIGKILL of the instance takes its children with it; what it left is cleared and the next one starts."""
    memory = shared_memory()
    program = [sys.executable, "-m", "tests.integration.devices.instance", str(other_dir)]
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    display = (await process.stdout.readline()).decode().strip()
    socket = X_DIRECTORY / ".X11-unix" / f"X{display[1:]}"
    assert len(leftovers(other_dir)) == 4
    assert socket.exists()
    process.kill()
    await process.wait()
    async with asyncio.timeout(10):
        # A process loses its mark before it lets go of its socket.
        while leftovers(other_dir) or accepts(socket):  # noqa: ASYNC110  (nobody tells us)
            await asyncio.sleep(0.01)
    await reap(other_dir)
    assert not socket.exists()
    assert not any(other_dir.iterdir())  # noqa: ASYNC240 - the loop has nothing else to do
    again = Instance(other_dir)
    await again.start()
    await again.close()
    assert shared_memory() <= memory
