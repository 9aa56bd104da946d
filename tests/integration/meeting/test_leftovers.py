"""Nothing outlives an embedded meeting: no process, no file, however it ends."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")

_ROOT = Path(__file__).parents[3]
_UP_TIMEOUT_S = 120
_GONE_TIMEOUT_S = 60


async def _start() -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "tests.meeting", "--with-participant", "--room", "left")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=_ROOT)
    assert process.stdout
    url = await asyncio.wait_for(process.stdout.readline(), _UP_TIMEOUT_S)
    assert url.startswith(b"http://localhost:")
    assert url.endswith(b"/left\n")
    return process


def _scratch(family: list[psutil.Process]) -> Path:
    """The meeting's scratch directory, where Chromium has its profile."""
    arguments = (argument for process in family for argument in _arguments(process))
    profile = next(a for a in arguments if a.startswith("--user-data-dir="))
    return Path(profile.partition("=")[2]).parents[1]


def _arguments(process: psutil.Process) -> list[str]:
    # Helpers of Chromium's come and go.
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def _alive(family: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in family if _is_alive(p)]


def _is_alive(process: psutil.Process) -> bool:
    # It may end between two questions.
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_end_leaves_nothing(number: signal.Signals) -> None:
    """After Ctrl-C, SIGTERM and even SIGKILL there is neither a process nor a file left."""
    process = await _start()
    family = psutil.Process(process.pid).children(recursive=True)
    scratch = _scratch(family)
    assert scratch.is_dir()
    assert len(family) > 5
    process.send_signal(number)
    assert await process.wait() == (0 if number != signal.SIGKILL else -signal.SIGKILL)
    async with asyncio.timeout(_GONE_TIMEOUT_S):
        while _alive(family) or scratch.exists():  # noqa: ASYNC110  # nobody can tell us
            await asyncio.sleep(0.1)
