"""`RunningGateway`: the gateway as its users run it, in a process of its own, for as long as an `async with` lasts."""

import asyncio
import json
import os
import secrets
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import psutil

READY_S = 60.0
STOP_S = 40.0
PORTS = range(20_000, 30_000)
"""Below those that the kernel gives to whoever asks for any (ip_local_port_range), lest it gives ours away."""
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP. Without it each of them reads all authorities of the machine, 50 ms of a core's time."""
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_SHARE = PORTS[len(PORTS) * _WORKER // _WORKERS : len(PORTS) * (_WORKER + 1) // _WORKERS]

_given: set[int] = set()


def free_port(in_a_row: int = 1) -> int:
    """A port of loopback that nobody has just now, for UDP and TCP, and that was given to no other test before.

    Args:
        in_a_row: so many ports from it on are the caller's.
    """
    while True:
        first = secrets.choice(_SHARE[: len(_SHARE) - in_a_row + 1])
        ports = range(first, first + in_a_row)
        if _given.isdisjoint(ports) and all(map(port_is_free, ports)):
            _given.update(ports)
            return first


def port_is_free(port: int) -> bool:
    """Whether nobody listens on this UDP and TCP port of loopback."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind is socket.SOCK_STREAM))
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


class GatewayError(Exception):
    """The gateway did not get ready, or ended; the message has its last lines."""


class RunningGateway:
    """`python -m jibri_sip run` with a configuration of its own.

    Args:
        base_url: of the meetings.
        settings: sections of the configuration; ports and directories are chosen where they are not given.
        log_file: where its log goes; a temporary file by default.
        env: put over our own environment.
        wrapper: a command that executes the one that follows it.
        tables: more of the configuration, TOML, for what is not a section of plain values.
    """

    def __init__(
        self,
        base_url: str,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        log_file: Path | None = None,
        *,
        env: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        tables: str = "",
    ) -> None:
        self._tables = tables
        self._wrapper = wrapper
        self._directory = tempfile.TemporaryDirectory(prefix="gw")
        directory = Path(self._directory.name)
        self.runtime_dir = directory / "run"
        self.config_file = directory / "jibri-sip.toml"
        self.log_file = log_file or directory / "log"
        self.sip_port = free_port()
        self.api_port = free_port()
        self.internal_port = free_port()
        self.runtime_dir = Path((settings or {}).get("instance", {}).get("runtime_dir", self.runtime_dir))
        self._sections: dict[str, dict[str, Any]] = {
            "instance": {"runtime_dir": str(self.runtime_dir)},
            "meeting": {"base_url": base_url},
            "sip": {"port": self.sip_port, "tls_port": free_port()},
            "jibri": {"internal_port": self.internal_port},
            "api": {"port": self.api_port},
            "log": {"format": "json", "level": "debug"},
        }
        for name, section in (settings or {}).items():
            self._sections.setdefault(name, {}).update(section)
        self.sip_port = self._sections["sip"]["port"]
        self._env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **(env or {})}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The gateway's process id."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Start it and wait until a call would be taken.

        Raises:
            GatewayError: it ended, or was not ready within 60 s.
        """
        await self.start()
        try:
            await self.ready(READY_S)
        except BaseException:
            await self.stop()
            raise
        return self

    async def start(self) -> None:
        """Start the process."""
        text = "\n".join(
            f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in section.items())
            for name, section in self._sections.items()
        )
        self.config_file.touch(mode=0o600)
        self.config_file.write_text(f"{text}\n{self._tables}")
        command = ("setpriv", "--pdeathsig", "TERM", *self._wrapper, sys.executable, "-m", "jibri_sip", "run")
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                *("--config", str(self.config_file)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._env,
            )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it as an operator would."""
        await self.stop()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        try:
            return await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise GatewayError(f"it did not stop within {STOP_S} s; {self.last_lines()}") from None

    async def exit_status(self) -> int:
        """Wait for its end, which it is to come to by itself; it may have been started just now."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), READY_S)

    async def api(self, method: str, path: str, **arguments: Any) -> Any:
        """Ask its API; the answer's JSON.

        Raises:
            GatewayError: it answered with an error.
        """
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.api_port}", timeout=30, verify=PLAIN) as client:
            answer = await client.request(method, path, **arguments)
        if answer.status_code >= 400:
            raise GatewayError(f"{answer.status_code}: {answer.text}")
        return answer.json()

    async def status(self) -> Any:
        """What it says of itself."""
        return await self.api("GET", "/api/v1/status")

    async def last_session(self) -> Any:
        """The newest session, present or past."""
        return (await self.api("GET", "/api/v1/sessions"))[0]

    async def ready(self, timeout_s: float) -> float:
        """Wait until a call would be taken; how long that took, seconds.

        Raises:
            GatewayError: it ended, or is not ready in time.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            if self._process is None or self._process.returncode is not None:
                raise GatewayError(f"it has ended; {self.last_lines()}")
            try:
                status = await self.status()
            except httpx2.TransportError:
                status = {}
            if status.get("slot") == "idle":
                return loop.time() - began
            if loop.time() - began > timeout_s:
                raise GatewayError(f"not ready after {timeout_s} s: {status}; {self.last_lines()}")
            await asyncio.sleep(0.05)

    def last_lines(self, count: int = 15) -> str:
        """The end of its log."""
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "its log ends:\n" + "\n".join(lines[-count:])

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log with this event."""
        text = self.log_file.read_text(errors="replace")
        lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be half there
        parsed = (json.loads(line) for line in lines if line.startswith("{"))
        return [line for line in parsed if line.get("event") == name]

    def processes(self) -> list[psutil.Process]:
        """The gateway's process and everything that it has started."""
        root = psutil.Process(self.pid)
        return [root, *root.children(recursive=True)]
