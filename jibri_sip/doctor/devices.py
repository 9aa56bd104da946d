"""Display, sound and camera: each is started and closed again, in a directory of its own."""

import asyncio
import tempfile
from pathlib import Path
from typing import Protocol

from jibri_sip.doctor.finding import Finding, Patient, ok, wrong
from virtual_devices import processes
from virtual_devices.audio import AudioServer
from virtual_devices.camera import open_camera
from virtual_devices.camera.v4l2loopback import V4L2LoopbackCamera
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.errors import DeviceError

_REMEDY = 'See what it says when started with log.level = "debug".'


class _Device(Protocol):
    async def start(self) -> None: ...

    async def close(self) -> None: ...


async def examine(patient: Patient) -> list[Finding]:
    """They start; or, where they may not be, which there would be."""
    video, camera = patient.settings.video, patient.settings.camera
    canvas = Canvas(video.width, video.height, video.fps)
    # Sockets have short paths.
    with tempfile.TemporaryDirectory(prefix="doctor") as name:
        directory = Path(name)
        chosen = open_camera(camera.backend, directory, canvas, camera.label)
        kind = "v4l2loopback" if isinstance(chosen, V4L2LoopbackCamera) else "pipewire"
        if not patient.start:
            return [ok("camera", f"{camera.label} is of {kind}")]
        try:
            return list(
                await asyncio.gather(
                    _started("display", Display(directory, canvas), f"Xvfb shows {video.width}x{video.height}"),
                    _started("sound", AudioServer(directory), "PulseAudio runs"),
                    _started("camera", chosen, f"{camera.label} runs, of {kind}"),
                )
            )
        finally:
            await processes.reap(directory)


async def _started(check: str, device: _Device, message: str) -> Finding:
    try:
        await device.start()
    except DeviceError as error:
        return wrong(check, error.problem, _sentence(error.remedy) or _REMEDY)
    finally:
        await device.close()
    return ok(check, message)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""
