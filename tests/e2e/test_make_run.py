"""`make run` and Ctrl-C: what it started is gone, with all that it made on the machine."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.running_gateway import PLAIN, free_port

READY_S = 60.0
STOP_S = 60.0
GONE_S = 20.0
PLACES = (Path("/dev/shm"), Path("/tmp/.X11-unix"))  # noqa: S108  (where programs leave things behind)


def own_files() -> set[Path]:
    """What this user has in places that outlive a process."""
    found = set()
    for path in (path for place in PLACES if place.is_dir() for path in place.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # somebody else's, who just ended
            if path.stat().st_uid == os.geteuid():
                found.add(path)
    return found


def files_below(directory: str) -> list[Path]:
    """All files there."""
    return [path for path in Path(directory).rglob("*") if not path.is_dir()]


def names(processes: list[psutil.Process]) -> set[str]:
    """What they are called; some may have ended meanwhile."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(process.name())
    return found


async def is_idle(port: int) -> bool:
    """Whether a gateway with its API there would take a call."""
    async with httpx2.AsyncClient(verify=PLAIN) as client:
        try:
            answer = await client.get(f"http://127.0.0.1:{port}/api/v1/status")
        except httpx2.TransportError:
            return False
    return bool(answer.json()["slot"] == "idle")


@pytest.fixture
def scratch() -> Iterator[str]:
    """A directory for temporary files, of a short name: there will be sockets in it (108 characters, unix(7))."""
    with tempfile.TemporaryDirectory(prefix="run") as directory:
        yield directory


def environment(scratch: str, port: int) -> dict[str, str]:
    """What `make run` is started with: temporary files go to `scratch`, its API listens on `port`."""
    env = {
        **os.environ,
        "TMPDIR": scratch,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "JIBRI_SIP__API__PORT": str(port),
        "JIBRI_SIP__SIP__PORT": str(free_port()),
        "JIBRI_SIP__JIBRI__INTERNAL_PORT": str(free_port()),
        "JIBRI_SIP__INSTANCE__NUMBER": "77",
    }
    env.pop("XDG_RUNTIME_DIR", None)
    return env


@pytest.mark.alone
async def test_ctrl_c(scratch: str) -> None:
    """It tells what to dial, works, and leaves nothing."""
    port = free_port()
    env = environment(scratch, port)
    before = own_files()
    run = await asyncio.create_subprocess_exec(
        sys.executable, "scripts/run.py", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=env
    )
    try:
        async with asyncio.timeout(READY_S):
            while not await is_idle(port):
                assert run.returncode is None
                await asyncio.sleep(0.2)
        children = psutil.Process(run.pid).children(recursive=True)
        assert {"Xvfb", "pulseaudio", "chromedriver"} <= names(children)
        run.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(run.wait(), STOP_S) == 0
    finally:
        if run.returncode is None:
            run.kill()
    assert run.stdout
    said = (await run.stdout.read()).decode()
    assert "sip:demo@127.0.0.1:" in said
    assert "Ctrl-C" in said
    _, alive = psutil.wait_procs(children, timeout=GONE_S)
    assert not alive
    assert own_files() <= before
    assert files_below(scratch) == []


def meeting_of(run: asyncio.subprocess.Process) -> list[psutil.Process]:
    """The embedded meeting's processes, once there are any."""
    for process in psutil.Process(run.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "tests.meeting.server" in process.cmdline():
                return [process, *process.children(recursive=True)]
    return []


async def test_ctrl_c_at_once(scratch: str) -> None:
    """While the meeting is being started, too: no traceback, and nothing is left."""
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "scripts/run.py"),
        stderr=asyncio.subprocess.PIPE,
        env=environment(scratch, free_port()),
        # A shell's background job ignores it, and so would what we start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    async with asyncio.timeout(READY_S):
        while not (children := meeting_of(run)):
            assert run.returncode is None
            await asyncio.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, said = await asyncio.wait_for(run.communicate(), STOP_S)
    assert run.returncode == 130
    assert b"Traceback" not in said
    assert not psutil.wait_procs(children, timeout=GONE_S)[1]
    assert files_below(scratch) == []


async def test_wrong_setting(scratch: str) -> None:
    """It ends, and says what is wrong; the meeting that it had started is gone."""
    env = {**environment(scratch, free_port()), "JIBRI_SIP__SIP__PORT": "many"}
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "scripts/run.py"), stderr=asyncio.subprocess.PIPE, env=env
    )
    _, said = await asyncio.wait_for(run.communicate(), READY_S)
    assert run.returncode == 78
    assert b"sip.port" in said
    assert b"Traceback" not in said
    assert files_below(scratch) == []
