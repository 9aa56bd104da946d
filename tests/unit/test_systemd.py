"""What systemd is told, read from a real NOTIFY_SOCKET."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jibri_sip import errors
from jibri_sip.session.news import Availability, InstanceNews
from jibri_sip.systemd import Notifier, Supervision

IDLE = InstanceNews(Availability.IDLE)
BUSY = InstanceNews(Availability.BUSY)


class NotifySocket:
    """systemd's end."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)

    def told(self) -> list[dict[str, str]]:
        """The messages since the last call."""
        messages: list[dict[str, str]] = []
        while True:
            try:
                text = self._socket.recv(4096).decode()
            except BlockingIOError:
                return messages
            messages.append(dict(line.split("=", 1) for line in text.split("\n")))

    def close(self) -> None:
        """Release it."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def notify(request: pytest.FixtureRequest) -> Iterator[NotifySocket]:
    """A socket in the file system, and one of Linux' abstract names."""
    with tempfile.TemporaryDirectory() as directory:
        address = f"{directory}/notify" if request.param == "path" else f"@jibri-sip-test-{os.getpid()}"
        end = NotifySocket(address)
        yield end
        end.close()


async def well() -> bool:
    """As a gateway is that is well."""
    return True


def test_the_environment_is_for_us_alone() -> None:
    """The variables are read and taken away; what is not systemd's is not taken for it."""
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    notifier = Notifier.from_environment(environment)
    assert notifier is not None
    assert notifier.watchdog_s == 3
    assert environment == {"HOME": "/"}
    assert Notifier.from_environment({}) is None
    assert Notifier.from_environment({"NOTIFY_SOCKET": "relative"}) is None
    for others in ({"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}):
        other = Notifier.from_environment({"NOTIFY_SOCKET": "/run/x", **others})
        assert other is not None
        assert other.watchdog_s is None


async def test_ready_when_a_call_would_be_taken(notify: NotifySocket) -> None:
    """READY=1 goes out once, and not before the slot is warm; the status says how it stands, on one line."""
    supervision = Supervision(Notifier(notify.address), well)
    supervision.start()
    supervision.instance_changed(InstanceNews(Availability.BUSY, errors.DiskFull("no\nroom")))
    told = notify.told()
    assert not any("READY" in message for message in told)
    assert "no room" in told[-1]["STATUS"]
    supervision.instance_changed(IDLE)
    assert notify.told() == [{"READY": "1", "STATUS": "ready for a call"}]
    supervision.instance_changed(BUSY)
    supervision.instance_changed(IDLE)
    supervision.stopping()
    told = notify.told()
    assert not any("READY" in message for message in told)
    assert told[-1]["STOPPING"] == "1"
    await supervision.close()


async def test_no_sign_of_life_of_one_who_is_not_well(notify: NotifySocket) -> None:
    """Signs of life stop when the gateway says no, does not answer, or fails; and come back with its health."""
    states = {"well": True}

    async def is_well() -> bool:
        if "hangs" in states:
            await asyncio.Event().wait()
        if "fails" in states:
            raise errors.InternalError
        return states["well"]

    supervision = Supervision(Notifier(notify.address, 0.2), is_well)
    supervision.start()
    try:
        assert await alive(notify)
        for state in ("hangs", "fails", "well"):
            states[state] = False
            assert not await alive(notify, 0.4)
            del states[state]
            states["well"] = True
            assert await alive(notify)
    finally:
        await supervision.close()
    assert not await alive(notify, 0.4)


async def alive(notify: NotifySocket, within_s: float = 10.0) -> bool:
    """Whether there is a sign of life, once those of before have been read."""
    await asyncio.sleep(0.2)
    notify.told()
    deadline = asyncio.get_running_loop().time() + within_s
    while asyncio.get_running_loop().time() < deadline:
        if {"WATCHDOG": "1"} in notify.told():
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_slow_machine(notify: NotifySocket) -> None:
    """Where more patience is asked for, systemd is asked for it, too."""
    supervision = Supervision(Notifier(notify.address, 60), well, patience=10)
    supervision.start()
    told = {name: value for message in notify.told() for name, value in message.items()}
    assert told["WATCHDOG_USEC"] == "600000000"
    assert told["EXTEND_TIMEOUT_USEC"] == "1200000000"
    await supervision.close()


async def test_nobody_listens(tmp_path: Path) -> None:
    """A socket that is gone costs nothing but a line in the log."""
    Notifier(str(tmp_path / "gone")).tell(READY="1")
