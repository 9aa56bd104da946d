"""The processes of one Chrome, found and ended without its help."""

import contextlib
import os
import signal
import time
from pathlib import Path

POLL_S = 0.02
KILL_WAIT_S = 10.0
"""How long a killed process may take to end: it has its memory to give back, and there may be no time for that."""


def members(session: int, mark: str) -> list[int]:
    """Return the living processes of a session, and those whose environment holds `mark`.

    All of Chrome stays in the session that chromedriver leads, but for its crash handlers, which lead
    sessions of their own and inherit the environment.
    """
    return [pid for pid in _all_pids() if pid != os.getpid() and _belongs(pid, session, mark.encode())]


def is_alive(pid: int) -> bool:
    """Return whether the process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b") ")[2][:1] not in {b"Z", b"X"}


def has_dead_child(parent: int) -> bool:
    """Return whether a child of the process has ended, and the process has not taken note (a zombie)."""
    for pid in _all_pids():
        try:
            state, of, *_ = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
        except (OSError, ValueError):
            continue
        if state == b"Z" and int(of) == parent:
            return True
    return False


def kill(session: int, mark: str, timeout: float = KILL_WAIT_S) -> list[int]:
    """Kill them all and wait until they are gone; return those that would not go in `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        pids = members(session, mark)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(session)
        if not pids or time.monotonic() > deadline:
            return pids
        time.sleep(POLL_S)


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _belongs(pid: int, session: int, mark: bytes) -> bool:
    if not is_alive(pid):
        return False
    try:
        return os.getsid(pid) == session or mark in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _reap(session: int) -> None:
    """Collect the dead that were handed to us, if this process adopts orphans."""
    for pid in _all_pids():
        try:
            if os.getsid(pid) == session and pid != session:
                os.waitpid(pid, os.WNOHANG)
        except OSError:
            continue
