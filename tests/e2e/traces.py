"""What a gateway has on the machine: its processes, files, sockets and shared memory, found without asking it."""

import contextlib
import os
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.running_gateway import RunningGateway

INSTANCE_VARIABLE = "JIBRI_SIP_INSTANCE_DIR"
X_SOCKETS = Path("/tmp/.X11-unix")  # noqa: S108  (where X servers have them)


@dataclass(frozen=True)
class Holdings:
    """How much a gateway and its children hold at one moment.

    Attributes:
        processes: by name.
        zombies: process ids of the dead that nobody has collected.
        threads: of the gateway.
        descriptors: open files of the gateway.
        connections: sockets of all processes.
        segments: System V shared memory segments of all processes.
        files: in the runtime directory, without Chrome's profiles.
        profiles: directories of Chrome's.
        rss_mib: memory of the gateway.
    """

    processes: Counter[str]
    zombies: list[int]
    threads: int
    descriptors: int
    connections: int
    segments: int
    files: int
    profiles: int
    rss_mib: float


def instance_processes(runtime_dir: Path) -> list[psutil.Process]:
    """The living processes that bear the instance's mark, whoever their parent is by now."""
    return [process for process in psutil.process_iter() if _bears_mark(process, str(runtime_dir))]


def _bears_mark(process: psutil.Process, runtime_dir: str) -> bool:
    with contextlib.suppress(psutil.Error):
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Chrome writes over its environment, but its profile is in the directory.
        marked = process.environ().get(INSTANCE_VARIABLE) == runtime_dir
        return marked or f"{runtime_dir}/chrome" in " ".join(process.cmdline())
    return False


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run, and are not merely to be collected."""
    return [each for each in processes if _is_alive(each)]


def _is_alive(process: psutil.Process) -> bool:
    # It may end between two questions.
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def named(runtime_dir: Path, name: str) -> psutil.Process:
    """The instance's one daemon of this name; of Chrome's many processes the first.

    Raises:
        AssertionError: there is none, or there are several.
    """
    found = [process for process in instance_processes(runtime_dir) if _is(process, name)]
    # What it starts of others is called as it is until it is executed.
    found = [process for process in found if not _is_child(process, found)]
    assert len(found) == 1, (name, found)
    return found[0]


def services(runtime_dir: Path, name: str) -> list[psutil.Process]:
    """The service processes of Chromium's of this name: one, while it is in use."""
    found = []
    for process in instance_processes(runtime_dir):
        with contextlib.suppress(psutil.NoSuchProcess):
            if f"--utility-sub-type={name}" in process.cmdline():
                found.append(process)
    return found


def _is_child(process: psutil.Process, parents: list[psutil.Process]) -> bool:
    # One that is gone by now was no daemon.
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.ppid() in {parent.pid for parent in parents}
    return True


def _is(process: psutil.Process, name: str) -> bool:
    with contextlib.suppress(psutil.Error):
        command = process.cmdline()
        if not command:
            return False  # It is ending: its memory is gone, and it is not yet a zombie.
        # What Chrome starts of itself says what it is for.
        return Path(command[0]).name == name and not any(each.startswith("--type=") for each in command)
    return False


def display_number(runtime_dir: Path) -> int:
    """Number of the instance's X display."""
    return int((runtime_dir / "display").read_text())


def is_dead_display(number: int) -> bool:
    """Whether there is a socket of this display that no server listens on."""
    path = X_SOCKETS / f"X{number}"
    with socket.socket(socket.AF_UNIX) as client:
        return path.exists() and client.connect_ex(str(path)) != 0


def holdings(gateway: RunningGateway) -> Holdings:
    """What the gateway holds now."""
    everything = gateway.processes()
    names: Counter[str] = Counter()
    zombies: list[int] = []
    connections = 0
    for process in everything:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_ZOMBIE:
                zombies.append(process.pid)
                continue
            names[process.name()] += 1
            connections += len(process.net_connections("all"))
    root = psutil.Process(gateway.pid)
    return Holdings(
        processes=names,
        zombies=zombies,
        threads=root.num_threads(),
        descriptors=root.num_fds(),
        connections=connections,
        segments=_segments({process.pid for process in everything}),
        files=_files(gateway.runtime_dir),
        profiles=len(list((gateway.runtime_dir / "chrome").iterdir())),
        rss_mib=root.memory_info().rss / 2**20,
    )


def _files(runtime_dir: Path) -> int:
    """How many files and directories there are, while some come and go; those of Chrome's profiles left out."""
    count = 0
    for _, directories, files in os.walk(runtime_dir):
        with contextlib.suppress(ValueError):
            directories.remove("chrome")
        count += len(directories) + len(files)
    return count


def _segments(creators: set[int]) -> int:
    """How many System V shared memory segments these processes have made (proc(5): /proc/sysvipc/shm)."""
    head, *rows = Path("/proc/sysvipc/shm").read_text().splitlines()
    column = head.split().index("cpid")
    return sum(int(row.split()[column]) in creators for row in rows)
