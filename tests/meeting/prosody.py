"""A private Prosody (Debian's): its configuration, its start, its end.

Everything of it is in a directory of its own and on two loopback ports of its own; /etc/prosody is not read.
"""

import asyncio
import contextlib
import os
import random
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.meeting.options import ACCOUNT_DOMAIN, DOMAIN, FOCUS_DOMAIN, LOBBY_DOMAIN, MUC_DOMAIN

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 3
# Below the kernel's range for outgoing connections, so that nobody is given such a port by chance. Not those that other
# programs are promised (tests/running_gateway.py), which may not listen yet, nor those of another worker's meeting.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = range(31_000 + _WORKER, 32_768, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))

_CONFIG = """\
data_path = {data}
plugin_paths = {{ {plugins} }}
log = {{ info = {log} }}
storage = "memory"
modules_enabled = {{ "disco"; "saslauth"; "ping"; "websocket"; "smacks"; "presence"; "message"; "iq" }}
modules_disabled = {{ "s2s"; "s2s_auth_certs"; "tls"; "offline"; "posix" }}
c2s_ports = {{ }}
s2s_ports = {{ }}
https_ports = {{ }}
http_ports = {{ {http_port} }}
http_interfaces = {{ "127.0.0.1" }}
http_default_host = "{domain}"
component_ports = {{ {component_port} }}
component_interfaces = {{ "127.0.0.1" }}
consider_websocket_secure = true
c2s_require_encryption = false
-- A browser that was killed is gone after this many seconds; the default is ten minutes.
smacks_hibernation_time = 5

VirtualHost "{domain}"
    authentication = "anonymous"
    modules_enabled = {{ "meeting_lobby"; "meeting_moderation" }}
    lobby_muc = "{lobby}"
    av_moderation_component = "{focus}"

VirtualHost "{accounts}"
    authentication = "internal_plain"
    storage = "internal"
    allow_unencrypted_plain_auth = true

Component "{muc}" "muc"
    modules_enabled = {{ "meeting_lobby" }}
    lobby_muc = "{lobby}"
    muc_room_default_public_jids = true -- lib-jitsi-meet knows the focus by its real address
    muc_room_locking = false
    muc_room_default_history_length = 0

Component "{lobby}" "muc"
    muc_room_default_public_jids = true
    muc_room_locking = false

Component "{focus}"
    component_secret = {secret}
"""


class ProsodyError(Exception):
    """Prosody did not start; the message says what it said last."""


def lua_string(text: str) -> str:
    """`text` as a Lua string literal; every byte is escaped, so that nothing can end it."""
    return '"' + "".join(f"\\{byte:03d}" for byte in text.encode()) + '"'


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(ports) < count:
            port = random.choice(_PORTS)
            probe = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


@dataclass
class Prosody:
    """One Prosody process, which dies with the process that started it.

    Attributes:
        directory: its data and configuration; has to exist, and is left to its owner to remove.
        log: file that Prosody writes its log to.
        accounts: users and passwords of the virtual host for those who log in.
    """

    directory: Path
    log: Path
    accounts: Mapping[str, str] = field(default_factory=dict)
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    http_port: int = 0
    component_port: int = 0
    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start and wait until components can connect.

        Raises:
            ProsodyError: Prosody is not installed, ended at once, or did not get ready in a minute.
        """
        self.http_port, self.component_port = _free_ports(2)
        self._write_accounts()
        config = self.directory / "prosody.cfg.lua"
        config.touch(mode=0o600)
        config.write_text(self._config())
        # setpriv hands over to Prosody after asking the kernel to kill it when we die.
        command = ("setpriv", "--pdeathsig", "KILL", "prosody", "--config", str(config), "-F")
        with (self.directory / "prosody.out").open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.directory
            )
        try:
            await asyncio.wait_for(self._ready(self._process), _START_TIMEOUT_S)
        except TimeoutError:
            raise ProsodyError(f"Prosody is not ready after {_START_TIMEOUT_S} s: {self._last_words()}") from None

    async def stop(self) -> None:
        """End the process; nothing happens if it has ended already."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        while True:
            if process.returncode is not None:
                raise ProsodyError(
                    f"Prosody ended at once (install it with 'apt-get install prosody'): {self._last_words()}"
                )
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.component_port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    def _last_words(self) -> str:
        texts = [
            path.read_text(errors="replace") for path in (self.directory / "prosody.out", self.log) if path.exists()
        ]
        return " | ".join("".join(texts).splitlines()[-5:])

    def _config(self) -> str:
        return _CONFIG.format(
            data=lua_string(str(self.directory / "data")),
            plugins=lua_string(str(Path(__file__).with_name("prosody_modules"))),
            log=lua_string(str(self.log)),
            http_port=self.http_port,
            component_port=self.component_port,
            secret=lua_string(self.secret),
            domain=DOMAIN,
            accounts=ACCOUNT_DOMAIN,
            muc=MUC_DOMAIN,
            lobby=LOBBY_DOMAIN,
            focus=FOCUS_DOMAIN,
        )

    def _write_accounts(self) -> None:
        def encoded(name: str) -> str:
            return "".join(c if c.isalnum() and c.isascii() else f"%{byte:02x}" for c in name for byte in c.encode())

        directory = self.directory / "data" / encoded(ACCOUNT_DOMAIN) / "accounts"
        directory.mkdir(parents=True)
        for user, password in self.accounts.items():
            path = directory / f"{encoded(user)}.dat"
            path.touch(mode=0o600)
            path.write_text(f'return {{ ["password"] = {lua_string(password)} }};\n')
