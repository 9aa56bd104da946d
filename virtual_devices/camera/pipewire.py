"""The camera over PipeWire, for machines where no kernel module can be loaded.

    camera_pipewire.c ──► pipewire (own daemon) ◄── the browser's VideoCaptureService
                                                        │ asks for the daemon's socket
                          CameraPortal on an own D-Bus ◄┘

Everything is the instance's own, so that no other program sees the camera and we link to no other's browser.
"""

import asyncio
import contextlib
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

from virtual_devices.camera.base import Camera
from virtual_devices.camera.portal import CameraPortal
from virtual_devices.canvas import Canvas
from virtual_devices.native.binding import NativeCamera
from virtual_devices.patience import PATIENCE
from virtual_devices.processes import ChildProcess, LogLine, accepts, instance_env, wait_until

START_TIMEOUT_S = 10.0 * PATIENCE

# No service directories: a real portal must not be started by D-Bus and take the name.
BUS_CONF = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""

# The least that a camera needs. No session manager: the producer links itself.
PIPEWIRE_CONF = """\
context.properties = { core.daemon = true  core.name = pipewire-0  mem.allow-mlock = false  support.dbus = false }
context.spa-libs = { support.* = support/libspa-support  video.convert.* = videoconvert/libspa-videoconvert }
context.modules = [
  { name = libpipewire-module-protocol-native }
  { name = libpipewire-module-spa-node-factory }
  { name = libpipewire-module-client-node }
  { name = libpipewire-module-metadata }
  { name = libpipewire-module-access }
  { name = libpipewire-module-adapter }
  { name = libpipewire-module-link-factory }
]
context.objects = []
context.exec = []
"""


class PipeWireCamera(Camera):
    """A PipeWire daemon, a D-Bus daemon and a camera portal of our own."""

    def __init__(self, runtime_dir: Path, canvas: Canvas, label: str, log: LogLine | None = None) -> None:
        super().__init__(canvas, label)
        self._runtime_dir = runtime_dir
        self._bus_socket = runtime_dir / "bus"
        self._pipewire_socket = runtime_dir / "pipewire-0"
        self._log = log
        self._children: list[ChildProcess] = []
        self._portal: CameraPortal | None = None

    @property
    def env(self) -> dict[str, str]:
        """The bus on which the browser finds our portal."""
        return {
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self._bus_socket}",
            "XDG_RUNTIME_DIR": str(self._runtime_dir),
        }

    @property
    def chrome_flags(self) -> list[str]:
        """PipeWire cameras are off by default in Chromium."""
        return ["--enable-features=WebRtcPipeWireCamera"]

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the daemons by name."""
        return {child.name: child.pid for child in self._children}

    async def _acquire(self) -> None:
        bus_conf = self._runtime_dir / "bus.conf"
        pipewire_conf = self._runtime_dir / "pipewire.conf"
        bus_conf.write_text(BUS_CONF.format(socket=escape(str(self._bus_socket))))
        pipewire_conf.write_text(PIPEWIRE_CONF)
        bus = ["dbus-daemon", f"--config-file={bus_conf}", "--nofork", "--nopidfile"]
        for socket in (self._bus_socket, self._pipewire_socket):
            socket.unlink(missing_ok=True)
        daemons = (
            self._spawn("dbus-daemon", bus, self._bus_socket),
            self._spawn("pipewire", ["pipewire", "-c", str(pipewire_conf)], self._pipewire_socket),
        )
        for result in await asyncio.gather(*daemons, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        self._portal = CameraPortal(self.env["DBUS_SESSION_BUS_ADDRESS"], self._pipewire_socket)
        self._portal.on_lost = partial(self._lose, "the camera's D-Bus is gone")
        await self._portal.start()

    async def _spawn(self, name: str, argv: list[str], socket: Path) -> None:
        child = await ChildProcess.spawn(argv, env=instance_env(self._runtime_dir), name=name, log=self._log)
        self._children.append(child)
        await wait_until(partial(accepts, socket), child, START_TIMEOUT_S)
        child.on_exit = self._on_exit

    def _on_exit(self, child: ChildProcess) -> None:
        self._lose(f"{child.name} ended with status {child.returncode}")

    def _open(self, no_signal: bytes) -> NativeCamera:
        return NativeCamera.over_pipewire(str(self._pipewire_socket), self.label, self.canvas, no_signal)

    async def _release(self) -> None:
        portal, self._portal = self._portal, None
        if portal:
            portal.on_lost = None
            await portal.close()
        children, self._children = self._children, []
        for child in children:
            child.on_exit = None
        await asyncio.gather(*(child.stop() for child in children))
        for path in (self._bus_socket, self._pipewire_socket, Path(f"{self._pipewire_socket}.lock")):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
