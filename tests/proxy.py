"""`RunningProxy`: Kamailio as the appliance runs it, on ports of a test's own; `RunningSlot`: an instance behind it."""

import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.running_gateway import free_port

ROUTING = Path(__file__).parents[1] / "packer/rootfs/usr/share/jibri-sip/kamailio.cfg"
START_S = 20.0


class RunningProxy:
    """Kamailio with the configuration that `jibri-sip config proxy` makes; an async context manager.

    Args:
        targets: `host:port` of the instances, instead of those that the configuration leads to.
        log_file: where its log goes.
        config: TOML, without `[meeting]`; what stands in it first belongs to `[proxy]`.
    """

    def __init__(self, targets: list[str], log_file: Path, config: str = "") -> None:
        self.port = free_port()
        self.tls_port = free_port()
        self.log_file = log_file
        self._targets = targets
        self._config = config
        self._home = tempfile.TemporaryDirectory(prefix="kam")
        self.directory = Path(self._home.name)
        self._process: asyncio.subprocess.Process | None = None

    async def configure(self) -> None:
        """Write the configuration, as the unit does before each start."""
        file = self.directory / "jibri-sip.toml"
        file.write_text(
            '[meeting]\nbase_url = "https://meet.example.com"\n'
            f"[proxy]\nport = {self.port}\ntls_port = {self.tls_port}\n{self._config}",
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "jibri_sip", "config", "proxy", "--config", str(file)]
        output = await _run(
            *("env", f"STATE_DIRECTORY={self.directory}/state", *command),
            *("--output", str(self.directory), "--routing", str(ROUTING)),
        )
        assert (self.directory / "kamailio.cfg").exists(), output
        lines = "".join(f"1 sip:{target};transport=tcp\n" for target in self._targets)
        (self.directory / "instances.list").write_text(lines, encoding="utf-8")

    async def __aenter__(self) -> Self:
        """Start it, and wait until it has seen each instance alive."""
        await self.configure()
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "TERM", "/usr/sbin/kamailio", "-DD", "-E"),
                *("-m", "64", "-M", "4", "-x", "tlsf"),
                *("-f", str(self.directory / "kamailio.cfg"), "-Y", str(self.directory)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            await self.sees(len(self._targets))
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 10)

    async def ask(self, *command: str) -> str:
        """What its control socket answers; empty while there is none."""
        return await _run("/usr/sbin/kamcmd", "-s", f"unix:{self.directory}/control", *command)

    async def alive(self) -> int:
        """How many instances it takes for alive."""
        return (await self.ask("dispatcher.list")).count("FLAGS: AP")

    async def sees(self, count: int) -> None:
        """Wait until it takes so many instances for alive."""
        async with asyncio.timeout(START_S):
            while "up_since" not in await self.ask("core.uptime") or await self.alive() != count:
                assert self._process is not None
                assert self._process.returncode is None, self.log_file.read_text(errors="replace")[-2000:]
                await asyncio.sleep(0.2)


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output.decode()


class RunningSlot:
    """`tests.peer.slot` in a process of its own; an async context manager.

    Args:
        log_file: where its log goes.
        access: more of `[sip.access]`.
    """

    def __init__(self, log_file: Path, **access: Any) -> None:
        self.port = free_port()
        self._access = json.dumps(access)
        self.target = f"127.0.0.1:{self.port}"
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._log_file = log_file
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start it, and wait until it listens."""
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.peer.slot"),
                *(str(self.port), self._access),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 20,
            )
        self._reader = asyncio.create_task(self._read(self._process))
        await self.next("ready")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is None or process.stdin is None or self._reader is None:
            return
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 15)
        await self._reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self.events.put_nowait(json.loads(line))

    async def next(self, event: str) -> dict[str, Any]:
        """The next event of this name; others before it are dropped."""
        async with asyncio.timeout(START_S):
            while (message := await self.events.get())["event"] != event:
                pass
            return message

    async def tell(self, command: str) -> None:
        """Send it a line."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        await self._process.stdin.drain()

    async def kill(self) -> None:
        """SIGKILL."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        await process.wait()
