"""Child processes that cannot outlive us, and the reaper of those that did.

A child gets its own process group (so that it and its children can be killed as one), SIGKILL when we die
(PR_SET_PDEATHSIG, through setpriv), and JIBRI_SIP_INSTANCE_DIR in its environment, by which the next start of
the instance recognises what a killed one left behind: where we die before setpriv has come to it, too.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from virtual_devices.errors import DeviceError

INSTANCE_VARIABLE = "JIBRI_SIP_INSTANCE_DIR"
DISPLAY_FILE = "display"  # in the runtime directory: the number of the X display, for the reaper
X_DIRECTORY = Path("/tmp")  # noqa: S108 - where X servers keep their sockets and locks
KILL_WAIT_S = 10.0  # a killed process has its memory to give back, and there may be no time for that
LINE_LIMIT = 4096
PR_SET_CHILD_SUBREAPER = 36

LogLine = Callable[[str], None]


def instance_env(runtime_dir: Path) -> dict[str, str]:
    """The environment that every child of an instance starts from; nothing of our own leaks in."""
    inherited = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TZ") if name in os.environ}
    return {
        "HOME": str(runtime_dir),
        "LANG": "C.UTF-8",
        **inherited,
        "XDG_RUNTIME_DIR": str(runtime_dir),
        INSTANCE_VARIABLE: str(runtime_dir),
    }


class ChildProcess:
    """A running child. Made by `spawn`; `on_exit` is called once, in the loop, when it has ended by itself or not."""

    def __init__(self, popen: subprocess.Popen[bytes], name: str, log: LogLine | None) -> None:
        self.name = name
        self.on_exit: Callable[[ChildProcess], None] | None = None
        self._popen = popen
        self._log = log
        self._rest = b""
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._pidfd: int | None = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._pidfd, self._on_end)
        if popen.stdout:
            os.set_blocking(popen.stdout.fileno(), False)
            self._loop.add_reader(popen.stdout.fileno(), self._on_output)

    @classmethod
    async def spawn(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        name: str,
        log: LogLine | None = None,
        pass_fds: Sequence[int] = (),
    ) -> "ChildProcess":
        """Starts a program with exactly this environment; what it prints goes to `log`, line by line.

        Raises:
            DeviceError: the program is not installed or cannot be started.
        """
        if not shutil.which(argv[0], path=env.get("PATH")):
            raise DeviceError(name, f"{argv[0]} is not installed", f"install Debian's {argv[0].lower()}")
        try:
            popen = _popen(argv, env, log is not None, pass_fds)
        except OSError as error:
            raise DeviceError(name, f"cannot start {argv[0]}: {error}") from error
        return cls(popen, name, log)

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group too."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; else the exit status, or minus the signal that ended it."""
        return self._popen.returncode

    async def wait(self) -> int:
        """Waits for the end; returns the exit status."""
        await self._ended.wait()
        return self._popen.returncode

    async def stop(self, grace: float = 2.0) -> None:
        """Ends the whole group: SIGTERM, and SIGKILL after `grace` seconds."""
        if not self._ended.is_set():
            self._signal_group(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), grace)
        self._signal_group(signal.SIGKILL)
        await self._ended.wait()

    def kill(self) -> None:
        """Ends the whole group at once, as if it had died: `on_exit` is called."""
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, number)

    def _on_end(self) -> None:
        if self._popen.poll() is None or self._pidfd is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = None
        if self._popen.stdout:
            self._on_output()
            self._close_output()
        self._signal_group(signal.SIGKILL)  # its own children go with it
        self._ended.set()
        if self.on_exit:
            self.on_exit(self)

    def _on_output(self) -> None:
        """One read, which takes all that a pipe holds."""
        stdout = self._popen.stdout
        if not stdout or stdout.closed:
            return
        try:
            data = os.read(stdout.fileno(), 65536)
        except BlockingIOError:
            return
        if not data:
            self._close_output()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_LIMIT:
            lines.append(self._rest)
            self._rest = b""
        self._log_lines(lines)

    def _close_output(self) -> None:
        """Nothing more is read; what came without its newline is a line too."""
        stdout = self._popen.stdout
        if stdout and not stdout.closed:
            self._loop.remove_reader(stdout.fileno())
            stdout.close()
            self._log_lines([self._rest])

    def _log_lines(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            if self._log and line.strip():
                self._log(line.decode(errors="replace").rstrip()[:LINE_LIMIT])


def _popen(
    argv: Sequence[str], env: Mapping[str, str], listen: bool, pass_fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Not asyncio's: its child watcher of Python 3.11 takes a thread for each child."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *argv],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if listen else subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        process_group=0,
        pass_fds=pass_fds,
    )


async def wait_until(ready: Callable[[], bool], child: ChildProcess, timeout_s: float) -> None:
    """Polls until a child offers its service.

    Raises:
        DeviceError: it ended instead, or took longer than `timeout_s` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not ready():
        if child.returncode is not None:
            raise DeviceError(child.name, f"ended at once with status {child.returncode}", "see its lines in the log")
        if loop.time() > deadline:
            raise DeviceError(child.name, f"did not get ready within {timeout_s:g} s", "see its lines in the log")
        await asyncio.sleep(0.005)


def accepts(path: Path) -> bool:
    """Whether somebody listens at a Unix socket; its mere presence does not say so."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        return client.connect_ex(str(path)) == 0


def become_subreaper() -> None:
    """Makes this process the parent of its descendants' orphans, so that none of them escapes to init.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class OrphanReaper:
    """Collects the exit status of adopted processes (see `become_subreaper`).

    A dead child that is still there at the second look is nobody's: whoever had started it would have waited for it.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def sweep(self) -> list[int]:
        """One look, to be repeated every few seconds; returns the process ids that were collected."""
        dead = {pid for pid in _children(os.getpid()) if _state(pid) == "Z"}
        orphans = sorted(dead & self._seen)
        for pid in orphans:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = dead - set(orphans)
        return orphans


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += map(int, path.read_text().split())
    return children


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def leftovers(runtime_dir: Path) -> list[int]:
    """The living processes of the same user that carry this instance's mark, without us and our ancestors.

    Chromium writes its title over its environment; it is known by an option with a path in the runtime directory.
    """
    mark = f"{INSTANCE_VARIABLE}={runtime_dir}".encode()
    option = f"={runtime_dir}/".encode()
    own = _ancestors()
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in own:
            continue
        with contextlib.suppress(OSError):
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
            if (marked or option in (entry / "cmdline").read_bytes()) and _state(int(entry.name)) != "Z":
                found.append(int(entry.name))
    return found


def _is_ending(pid: int) -> bool:
    """Whether its memory, and our mark in it, is gone, but not yet its files: an X server still listens."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes() and _state(pid) != "Z"
    except OSError:
        return False


def _ancestors() -> set[int]:
    pids: set[int] = set()
    pid = os.getpid()
    while pid > 0:
        pids.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return pids


async def reap(runtime_dir: Path) -> list[int]:
    """Clears what a killed instance with this runtime directory left: processes, X lock and socket, files.

    Returns the process ids that were killed. The directory itself is emptied, not removed.

    Raises:
        DeviceError: a process cannot be killed.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + KILL_WAIT_S
    killed: set[int] = set()
    while pids := {*leftovers(runtime_dir), *filter(_is_ending, killed)}:
        if loop.time() > deadline:
            raise DeviceError("processes", f"{sorted(pids)} of a former run cannot be killed", "restart the machine")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed.update(pids)
        await asyncio.sleep(0.02)
    remove_display_files(runtime_dir)
    clear_directory(runtime_dir)
    return sorted(killed)


def remove_display_files(runtime_dir: Path) -> None:
    """Removes the socket (and lock, if any) of this instance's X display, unless another server has the number now."""
    try:
        number = int((runtime_dir / DISPLAY_FILE).read_text())
    except (OSError, ValueError):
        return
    path = X_DIRECTORY / ".X11-unix" / f"X{number}"
    if accepts(path):
        return
    for leftover in (path, X_DIRECTORY / f".X{number}-lock"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def clear_directory(directory: Path) -> None:
    """Removes everything in a directory."""
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
