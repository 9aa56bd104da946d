"""Children, their end, and what a killed instance leaves behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtual_devices import processes
from virtual_devices.errors import DeviceError
from virtual_devices.processes import ChildProcess, OrphanReaper, instance_env, leftovers, reap

# A process that starts a child of its own, prints its id, and waits.
PARENT = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"

SOON_S = 10.0  # however busy the machine is


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A directory in one with a short name, for sockets."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "run"
        path.mkdir()
        yield path


def is_alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], object]) -> None:
    """Waits for something that must come true soon."""
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110  (nobody tells us)
            await asyncio.sleep(0.01)


async def begun(pid: int, mark: str) -> None:
    """Waits until the kernel shows the mark in the process' environment or arguments, a moment after its start."""
    files = [Path(f"/proc/{pid}/{name}") for name in ("environ", "cmdline")]
    await until(lambda: any(mark.encode() in file.read_bytes() for file in files))


def sleeper(directory: Path) -> subprocess.Popen[bytes]:
    """A process that carries the mark of the instance with this directory and is nobody's child group."""
    return subprocess.Popen(["sleep", "60"], env=instance_env(directory), start_new_session=True)


async def spawn(tmp_path: Path, *argv: str, lines: list[str] | None = None) -> ChildProcess:
    """A child whose output is collected."""
    log = lines.append if lines is not None else None
    return await ChildProcess.spawn(argv, env=instance_env(tmp_path), name="child", log=log)


async def test_output_and_status(tmp_path: Path) -> None:
    """Every line is logged, the last one even without its newline; the exit status is told once."""
    lines: list[str] = []
    child = await spawn(tmp_path, "sh", "-c", "echo one; echo two >&2; printf three; exit 7", lines=lines)
    ended: list[int | None] = []
    child.on_exit = lambda process: ended.append(process.returncode)
    assert await child.wait() == 7
    assert lines == ["one", "two", "three"]
    await child.stop()
    assert ended == [7]


async def test_last_words_with_the_end(tmp_path: Path) -> None:
    """Output that is first looked at when the child has ended already is logged whole."""
    lines: list[str] = []
    child = await spawn(tmp_path, "sh", "-c", "echo one; printf two", lines=lines)
    while processes._state(child.pid) != "Z":
        time.sleep(0.01)  # noqa: ASYNC251 - the loop must not look meanwhile
    child._on_end()
    assert lines == ["one", "two"]
    assert child.returncode == 0


async def test_stop_takes_the_whole_group(tmp_path: Path) -> None:
    """What the child started goes with it."""
    lines: list[str] = []
    child = await spawn(tmp_path, sys.executable, "-c", PARENT, lines=lines)
    await until(lambda: lines)
    await child.stop()
    assert child.returncode == -signal.SIGTERM
    await until(lambda: not is_alive(int(lines[0])))


async def test_stop_kills_the_stubborn(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed after the grace."""
    lines: list[str] = []
    child = await spawn(tmp_path, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done", lines=lines)
    await until(lambda: lines)
    start = time.monotonic()
    await child.stop(grace=0.2)
    assert child.returncode == -signal.SIGKILL
    assert 0.2 <= time.monotonic() - start < SOON_S


async def test_missing_program(tmp_path: Path) -> None:
    """A program that is not installed is named, with what to do."""
    with pytest.raises(DeviceError, match="no-such-program is not installed") as caught:
        await spawn(tmp_path, "no-such-program")
    assert "no-such-program" in caught.value.remedy


async def test_environment_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child sees the instance's mark and nothing of our secrets."""
    monkeypatch.setenv("SECRET_TOKEN", "x")
    lines: list[str] = []
    await (await spawn(tmp_path, "env", lines=lines)).wait()
    names = {line.partition("=")[0] for line in lines}
    assert f"{processes.INSTANCE_VARIABLE}={tmp_path}" in lines
    assert "SECRET_TOKEN" not in names


async def test_children_die_with_us(tmp_path: Path) -> None:
    """When the process that started it is killed, the child is killed by the kernel."""
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from virtual_devices.processes import ChildProcess, instance_env\n"
        "async def main():\n"
        "    child = await ChildProcess.spawn(['sleep', '60'], env=instance_env(Path(sys.argv[1])), name='child')\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), env=env, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    pid = int(await parent.stdout.readline())
    # Until it is itself, the kernel does not know yet that it is to die with its parent.
    await until(lambda: Path(f"/proc/{pid}/comm").read_text().strip() == "sleep")
    parent.kill()
    await parent.wait()
    await until(lambda: not is_alive(pid))


async def test_reap_finds_only_its_own(tmp_path: Path) -> None:
    """Leftovers of this instance are killed and its files removed; another instance's stay."""
    ours, others = tmp_path / "1", tmp_path / "10"
    for directory in (ours, others):
        directory.mkdir()
        (directory / "socket").touch()
    mine = sleeper(ours)
    theirs = sleeper(others)
    try:
        await begun(mine.pid, str(ours))
        assert leftovers(ours) == [mine.pid]
        assert await reap(ours) == [mine.pid]
        assert mine.wait() == -signal.SIGKILL
        assert list(ours.iterdir()) == []
        assert theirs.poll() is None
        assert (others / "socket").exists()
        assert await reap(ours) == []
    finally:
        mine.kill()
        theirs.kill()
        mine.wait()
        theirs.wait()


async def test_known_by_an_option(runtime_dir: Path) -> None:
    """An unmarked process with an option that names a path in the directory is ours; a neighbour's is not."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours, neighbour = [
        await asyncio.create_subprocess_exec(*command, f"--user-data-dir={directory}/profile", env={})
        for directory in (runtime_dir, f"{runtime_dir}2")
    ]
    try:
        for process in (ours, neighbour):
            await begun(process.pid, f"--user-data-dir={runtime_dir}")
        assert leftovers(runtime_dir) == [ours.pid]
    finally:
        for process in (ours, neighbour):
            process.kill()
            await process.wait()


async def test_reap_clears_the_display(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket of a dead X server goes; that of a living one that took the number since stays."""
    monkeypatch.setattr(processes, "X_DIRECTORY", runtime_dir.parent)
    path = runtime_dir.parent / ".X11-unix" / "X42"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        (runtime_dir / processes.DISPLAY_FILE).write_text("42")
        await reap(runtime_dir)
        assert path.exists()
    (runtime_dir / processes.DISPLAY_FILE).write_text("42")
    await reap(runtime_dir)
    assert not path.exists()


async def test_reap_waits_for_a_display_that_ends(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed X server listens until its memory is given back; its socket goes all the same."""
    monkeypatch.setattr(processes, "X_DIRECTORY", runtime_dir.parent)
    path = runtime_dir.parent / ".X11-unix" / "X42"
    path.parent.mkdir()
    program = (
        "import socket, sys, time\n"
        "server = socket.socket(socket.AF_UNIX)\n"
        "server.bind(sys.argv[1])\n"
        "server.listen()\n"
        "memory = b'x' * (800 << 20)\n"
        "print(flush=True)\n"
        "time.sleep(60)\n"
    )
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(path)), env=instance_env(runtime_dir), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout
    await server.stdout.readline()
    (runtime_dir / processes.DISPLAY_FILE).write_text("42")
    assert await reap(runtime_dir) == [server.pid]
    await server.wait()
    assert not path.exists()


def test_orphans_are_collected() -> None:
    """A dead child that nobody waits for is collected at the second look."""
    reaper = OrphanReaper()
    child = subprocess.Popen(["true"])
    while is_alive(child.pid):
        time.sleep(0.01)
    assert child.pid not in reaper.sweep()
    assert child.pid in reaper.sweep()
    assert not Path(f"/proc/{child.pid}").exists()
    child.wait()
