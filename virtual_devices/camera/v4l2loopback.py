"""The camera over the kernel module v4l2loopback: one device for each instance, found by its label."""

from pathlib import Path

from virtual_devices.camera.base import Camera
from virtual_devices.errors import DeviceError
from virtual_devices.native.binding import NativeCamera

SYSFS = Path("/sys/class/video4linux")


def find_device(label: str, sysfs: Path = SYSFS) -> str | None:
    """The path of the video device whose card label is `label`, the lowest number first; None when there is none."""
    if not sysfs.is_dir():
        return None
    for entry in sorted(sysfs.iterdir(), key=lambda path: (len(path.name), path.name)):
        try:
            if (entry / "name").read_text().strip() == label:
                return f"/dev/{entry.name}"
        except OSError:
            continue
    return None


class V4L2LoopbackCamera(Camera):
    """A v4l2loopback device, made with `exclusive_caps=1 card_label=LABEL` so that browsers take it for a camera."""

    async def _acquire(self) -> None:
        """The module is loaded by the system, not by us."""

    def _open(self, no_signal: bytes) -> NativeCamera:
        device = find_device(self.label)
        if device is None:
            raise DeviceError(
                "camera",
                f"there is no video device with the label {self.label!r}",
                f"load v4l2loopback with exclusive_caps=1 card_label='{self.label}', or choose the backend pipewire",
            )
        return NativeCamera.over_v4l2(device, self.canvas, no_signal)

    async def _release(self) -> None:
        """The device stays."""
