"""Debian's coturn: a STUN and TURN server for a test."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.peer.ports import free_port

USER = "gateway"
_START_S = 20.0


@contextlib.asynccontextmanager
async def turn_server(
    password: str, host: str = "127.0.0.1", port: int = 0, prefix: tuple[str, ...] = ()
) -> AsyncIterator[int]:
    """A server on this address and port; its port.

    Args:
        password: of `USER`.
        host: its address, also for relays.
        port: its UDP and TCP port; 0 for any.
        prefix: of the command that starts it, to have it in another network.
    """
    port = port or free_port()
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "log")
        config = Path(directory, "turnserver.conf")
        lines = [
            f"listening-ip={host}",
            f"relay-ip={host}",
            f"listening-port={port}",
            "realm=turn.test",
            "lt-cred-mech",
            f"user={USER}:{password}",
            f"userdb={directory}/db",
            f"pidfile={directory}/pid",
            f"log-file={log}",
            "simple-log",
            "no-tls",
            "no-dtls",
            "no-cli",
            "allow-loopback-peers",
            "verbose",
        ]
        await asyncio.to_thread(config.write_text, "\n".join(lines) + "\n")
        process = await asyncio.create_subprocess_exec(
            *prefix,
            "turnserver",
            "-c",
            str(config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await asyncio.wait_for(asyncio.to_thread(_wait_for, log), _START_S)
            yield port
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


def _wait_for(log: Path) -> None:
    while not log.exists() or "UDP listener opened" not in log.read_text():
        time.sleep(0.05)
