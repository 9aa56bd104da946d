"""The devices by the names under which PJMEDIA knows them."""

from dataclasses import dataclass

from virtual_devices.canvas import Canvas
from virtual_devices.native import binding

DRIVER = "jibri-sip"


@dataclass(frozen=True)
class DeviceNames:
    """Driver and names of the PJMEDIA devices of this process.

    Attributes:
        driver: of all of them.
        screen: video capture device, the meeting's picture.
        camera: video render device, the meeting's camera.
        void: video render device that swallows pictures, for PJSIP's hidden preview.
        sound: audio device, both directions, 48 kHz mono, frames of 10 or 20 ms as audioFramePtime says.
    """

    driver: str = DRIVER
    screen: str = "meeting-screen"
    camera: str = "sip-camera"
    void: str = "void"
    sound: str = "meeting-sound"


def register(canvas: Canvas) -> DeviceNames:
    """Registers the devices with the PJMEDIA of this process; once after each libInit, from a thread PJLIB knows.

    They work at once, with black and silence until a ScreenSource, a Camera and a SoundDevice are started; these
    may be started, closed and replaced before and after, with calls going on.

    Raises:
        DeviceError: PJMEDIA refuses.
    """
    binding.register(canvas)
    return DeviceNames()
