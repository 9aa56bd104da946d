"""The virtual camera: what the meeting is shown of the SIP peer, by plain getUserMedia.

Two backends behind one interface: `v4l2loopback`, a kernel module and the cheapest way, and `pipewire`, for where no
module can be loaded. "auto" takes v4l2loopback when a device with the camera's label is there.
"""

from pathlib import Path
from typing import Literal

from virtual_devices.camera.base import Camera
from virtual_devices.camera.pipewire import PipeWireCamera
from virtual_devices.camera.v4l2loopback import V4L2LoopbackCamera, find_device
from virtual_devices.canvas import Canvas
from virtual_devices.processes import LogLine

__all__ = ["Backend", "Camera", "open_camera"]

Backend = Literal["auto", "v4l2loopback", "pipewire"]


def open_camera(
    backend: Backend, runtime_dir: Path, canvas: Canvas, label: str = "SIP Room", log: LogLine | None = None
) -> Camera:
    """The camera for this machine, not started yet. `label` is its name in the browser's list of cameras.

    Raises:
        ValueError: there is no such backend.
    """
    if backend == "v4l2loopback" or (backend == "auto" and find_device(label)):
        return V4L2LoopbackCamera(canvas, label)
    if backend in ("auto", "pipewire"):
        return PipeWireCamera(runtime_dir, canvas, label, log)
    raise ValueError(f"there is no camera backend {backend!r}; choose auto, v4l2loopback or pipewire")
