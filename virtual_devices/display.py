"""The virtual display: Xvfb of the exact size, for the browser's eyes only.

The root window is 2 pixels larger than the canvas in both directions: a browser window that fills a screen without a
window manager comes out one pixel too small. The canvas is the upper left part.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from PIL import Image
from Xlib import X
from Xlib import error as xerror
from Xlib.display import Display as Connection

from virtual_devices.canvas import Canvas
from virtual_devices.errors import DeviceError
from virtual_devices.patience import PATIENCE
from virtual_devices.processes import (
    DISPLAY_FILE,
    X_DIRECTORY,
    ChildProcess,
    LogLine,
    instance_env,
    remove_display_files,
)

MARGIN = 2  # pixels, see above
START_TIMEOUT_S = 10.0 * PATIENCE
FAMILY_LOCAL = 256  # Xauthority(5): the address is this host's name
FAMILY_WILD = 65535  # matches any address
COOKIE_NAME = b"MIT-MAGIC-COOKIE-1"
_WELCOME = b"\x01"

_environment = threading.Lock()


@dataclass(frozen=True)
class TopWindow:
    """A window that is directly on the root, as it is on the screen now (pixels)."""

    id: int
    name: str
    x: int
    y: int
    width: int
    height: int


class Display:
    """An Xvfb of our own.

    Attributes:
        name: the display's name, e.g. ":7", once started.
        cookie: what a client must know to be let in (MIT-MAGIC-COOKIE-1).
        env: DISPLAY and XAUTHORITY for clients.
        on_lost: called once in the loop when the server is gone without having been closed.
    """

    def __init__(self, runtime_dir: Path, canvas: Canvas, log: LogLine | None = None) -> None:
        self.canvas = canvas
        self.name = ""
        self.cookie = secrets.token_bytes(16)
        self.on_lost: Callable[[str], None] | None = None
        self._runtime_dir = runtime_dir
        self._authority = runtime_dir / "Xauthority"
        self._log = log
        self._server: ChildProcess | None = None

    @property
    def env(self) -> dict[str, str]:
        """What a client needs in its environment."""
        return {"DISPLAY": self.name, "XAUTHORITY": str(self._authority)}

    @property
    def pid(self) -> int | None:
        """Xvfb's process id while it runs."""
        return self._server.pid if self._server else None

    async def start(self) -> None:
        """Starts the server; it accepts clients on return.

        Raises:
            DeviceError: Xvfb is missing or does not come up.
        """
        write_authority(self._authority, self.cookie)
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            self._server = await ChildProcess.spawn(
                self._argv(write_end), env=instance_env(self._runtime_dir), name="Xvfb", log=self._log,
                pass_fds=[write_end],
            )  # fmt: skip
            os.close(write_end)
            write_end = -1
            number = await _read_line(read_end, START_TIMEOUT_S)
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)
        if not number.isdigit():
            await self.close()
            raise DeviceError("display", "Xvfb did not come up", "see its lines in the log")
        self.name = f":{number}"
        (self._runtime_dir / DISPLAY_FILE).write_text(number)
        self._server.on_exit = self._on_exit

    def _argv(self, fd: int) -> list[str]:
        size = f"{self.canvas.width + MARGIN}x{self.canvas.height + MARGIN}x24"
        return [
            "Xvfb", "-displayfd", str(fd), "-screen", "0", size, "-auth", str(self._authority),
            "-nolisten", "tcp", "-nocursor", "-noreset",
            "-s", "0",  # the server's own screen saver would paint over the meeting after ten minutes
        ]  # fmt: skip

    def _on_exit(self, child: ChildProcess) -> None:
        if self.on_lost:
            self.on_lost(f"Xvfb ended with status {child.returncode}")

    async def close(self) -> None:
        """Stops the server and removes what it leaves. Idempotent."""
        server, self._server = self._server, None
        if server:
            server.on_exit = None
            await server.stop()
        remove_display_files(self._runtime_dir)
        for path in (self._authority, self._runtime_dir / DISPLAY_FILE):
            path.unlink(missing_ok=True)

    async def answers(self, timeout_s: float) -> bool:
        """Whether the server welcomes a client within that time (X11 protocol, section 8: connection setup)."""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_unix_connection(X_DIRECTORY / ".X11-unix" / f"X{self.name[1:]}")
                try:
                    writer.write(_setup_request(self.cookie))
                    return await reader.readexactly(1) == _WELCOME
                finally:
                    writer.close()
        except (OSError, EOFError, TimeoutError):
            return False

    def kill(self) -> None:
        """Ends a server that does not answer; its loss is told by `on_lost`."""
        if self._server:
            self._server.kill()

    def watch(self) -> "DisplayWatch":
        """A look at the display for checks and people; blocking calls, for a thread.

        Raises:
            DeviceError: the server does not let us in, or is gone.
        """
        return DisplayWatch(self)


def _setup_request(cookie: bytes) -> bytes:
    """What a client says first: little-endian, protocol 11.0, and what it is let in for."""
    head = struct.pack("<cxHHHHxx", b"l", 11, 0, len(COOKIE_NAME), len(cookie))
    return head + b"".join(text.ljust(-(-len(text) // 4) * 4, b"\0") for text in (COOKIE_NAME, cookie))


class DisplayWatch:
    """An X client that looks and touches nothing. Its calls block for one round trip; close it after use."""

    def __init__(self, display: Display) -> None:
        self._canvas = display.canvas
        with _x_errors(), _authority(display.env["XAUTHORITY"]):
            self._connection = Connection(display.name)
        self._root = self._connection.screen().root

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the server."""
        with contextlib.suppress(xerror.ConnectionClosedError, OSError):
            self._connection.close()

    def geometry(self) -> tuple[int, int]:
        """Width and height of the root window in pixels."""
        with _x_errors():
            size = self._root.get_geometry()
        return size.width, size.height

    def windows(self) -> list[TopWindow]:
        """The mapped top-level windows, lowest first. A meeting shows one; any other lies over the picture."""
        found: list[TopWindow] = []
        with _x_errors():
            for window in self._root.query_tree().children:
                with contextlib.suppress(xerror.BadWindow, xerror.BadDrawable):
                    if window.get_attributes().map_state == X.IsViewable:
                        size = window.get_geometry()
                        name = str(window.get_wm_name() or "")
                        found.append(TopWindow(window.id, name, size.x, size.y, size.width, size.height))
        return found

    def still(self) -> Image.Image:
        """The canvas as an RGB picture, for people; a blocking transfer of about 4 MB."""
        with _x_errors():
            width, height = self._canvas.width, self._canvas.height
            reply = self._root.get_image(0, 0, width, height, X.ZPixmap, 0xFFFFFFFF)
        return Image.frombytes("RGB", (width, height), reply.data, "raw", "BGRX")


@contextlib.contextmanager
def _x_errors() -> Iterator[None]:
    try:
        yield
    except (xerror.XError, xerror.ConnectionClosedError, xerror.DisplayError, xerror.XauthError, OSError) as error:
        raise DeviceError("display", f"X does not answer: {error}") from error


@contextlib.contextmanager
def _authority(path: str) -> Iterator[None]:
    """python-xlib takes the cookie's file from the environment and from nowhere else."""
    with _environment:
        before = os.environ.get("XAUTHORITY")
        os.environ["XAUTHORITY"] = path
        try:
            yield
        finally:
            if before is None:
                del os.environ["XAUTHORITY"]
            else:
                os.environ["XAUTHORITY"] = before


def write_authority(path: Path, cookie: bytes) -> None:
    """Writes an Xauthority(5) file of mode 0600 that fits any display number of this host."""

    def field(data: bytes) -> bytes:
        return struct.pack(">H", len(data)) + data

    def entry(family: int, address: bytes) -> bytes:
        return struct.pack(">H", family) + field(address) + field(b"") + field(COOKIE_NAME) + field(cookie)

    host = socket.gethostname().encode()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(entry(FAMILY_LOCAL, host) + entry(FAMILY_WILD, b""))


async def _read_line(fd: int, timeout_s: float) -> str:
    """What is written to a pipe up to a newline; what there is when the other side closes or time is up."""
    loop = asyncio.get_running_loop()
    line = bytearray()
    done = asyncio.Event()

    def take() -> None:
        data = os.read(fd, 64)
        line.extend(data)
        if not data or b"\n" in data:
            loop.remove_reader(fd)
            done.set()

    loop.add_reader(fd, take)
    try:
        await asyncio.wait_for(done.wait(), timeout_s)
    except TimeoutError:
        return ""
    finally:
        loop.remove_reader(fd)
    return line.decode(errors="replace").strip()
