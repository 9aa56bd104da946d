"""The chromedriver process: started, listened to, ended.

It dies with the thread that started it (PR_SET_PDEATHSIG), and Chrome dies with it: whoever kills this
process leaves no browser behind.
"""

import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from browser.errors import ChromeNotStarted
from browser.patience import PATIENCE

_PORT = re.compile(r"successfully on port (\d+)")
_KEPT_LINES = 40
_LINE_CHARS = 400
_LINES_PER_SECOND = 20

DIES_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


class LineLimiter:
    """Passes on at most so many lines a second, and says how many it dropped."""

    def __init__(self, log: Callable[[str], None], per_second: int = _LINES_PER_SECOND) -> None:
        self._log = log
        self._per_second = per_second
        self._second = 0
        self._count = 0

    def line(self, text: str, now: float) -> None:
        """Log `text`, or drop it. `now` is in seconds of a monotonic clock."""
        if int(now) != self._second:
            dropped = self._count - self._per_second
            if dropped > 0:
                self._log(f"({dropped} lines dropped)")
            self._second, self._count = int(now), 0
        self._count += 1
        if self._count <= self._per_second:
            self._log(text)


class Chromedriver:
    """A chromedriver on a port of its own choice; its output, and Chrome's, go to `log` line by line.

    Args:
        command: The program.
        env: Its whole environment; Chrome's as well.
        log: Called in a thread of its own, some twenty lines a second at most.

    Raises:
        ChromeNotStarted: The program is missing, or did not say its port in `timeout` seconds.
    """

    def __init__(
        self, command: str, env: Mapping[str, str], log: Callable[[str], None], timeout: float = 10.0 * PATIENCE
    ) -> None:
        self._limiter = LineLimiter(log)
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._port: int | None = None
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [*DIES_WITH_PARENT, command, "--port=0", "--log-level=WARNING"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, name="chromedriver-output", daemon=True)
        self._reader.start()
        self._ready.wait(timeout)
        if self._port is None:
            self.kill()
            raise ChromeNotStarted("start-failed", f"chromedriver did not start: {self.output()}", "")

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  # a pipe was asked for
        for line in self._process.stdout:
            text = line.rstrip()[:_LINE_CHARS]
            self._lines.append(text)
            self._limiter.line(text, time.monotonic())
            if self._port is None and (match := _PORT.search(text)):
                self._port = int(match[1])
                self._ready.set()
        self._ready.set()

    @property
    def url(self) -> str:
        """Where it listens, on loopback."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Its process id, and that of the session that it leads and Chrome is in."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Return whether it runs."""
        return self._process.poll() is None

    def output(self) -> str:
        """Return its last lines and Chrome's, for messages."""
        return " | ".join(line for line in self._lines if line)

    def kill(self) -> None:
        """End it at once; twice is fine."""
        if self.is_alive():
            self._process.kill()
        self._process.wait()

    def close_output(self, timeout: float = 1.0) -> None:
        """Wait for the last line; to be called when nobody writes any more."""
        self._reader.join(timeout)
        if not self._reader.is_alive() and self._process.stdout is not None and not self._process.stdout.closed:
            self._process.stdout.close()
