"""The gateway as systemd's Type=notify service: told over a real NOTIFY_SOCKET."""

import asyncio
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator

import pytest

from tests.e2e.waiting import until
from tests.running_gateway import READY_S, RunningGateway

WATCHDOG_S = 2.0


@pytest.fixture
async def told() -> AsyncIterator[tuple[str, list[str]]]:
    """The socket's path, and the messages as they come in."""
    messages: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.bind(path)
            end.setblocking(False)

            async def read() -> None:
                loop = asyncio.get_running_loop()
                while True:
                    messages.append((await loop.sock_recv(end, 4096)).decode())

            reading = asyncio.create_task(read())
            yield path, messages
            reading.cancel()


async def test_from_start_to_end(told: tuple[str, list[str]]) -> None:
    """READY=1 comes with the slot, signs of life until the end, STOPPING=1 before it, and from nobody else."""
    path, messages = told
    environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
    gateway = RunningGateway("http://127.0.0.1:9", env=environment)
    await gateway.start()
    try:
        await until_told(messages, "READY=1")
        await gateway.ready(1)
        messages.clear()
        await until_told(messages, "WATCHDOG=1")
        messages.clear()
        began = time.monotonic()
        await until_told(messages, "WATCHDOG=1", 4)
        assert messages.count("WATCHDOG=1") <= 2 + 2 * (time.monotonic() - began) / WATCHDOG_S
        # PulseAudio, for one, would tell READY=1 itself.
        assert set(messages) == {"WATCHDOG=1"}
    finally:
        assert await gateway.stop(signal.SIGTERM) == 0
    await until_told(messages, "STOPPING=1")


async def until_told(messages: list[str], text: str, count: int = 1) -> None:
    """Wait until so many messages began so."""

    async def told() -> list[str]:
        return [message for message in messages if message.startswith(text)]

    await until(told, lambda found: len(found) >= count, text, READY_S)
