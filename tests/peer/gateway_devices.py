"""The test devices in a gateway's place: what an endpoint under test shows, says, sees and hears."""

from jibri_sip.sip.settings import Device, DeviceNames
from tests.peer import devices

TONE_HZ = 440.0


def register() -> DeviceNames:
    """Register them with PJMEDIA; for `Endpoint`."""
    devices.register()
    devices.say(TONE_HZ)
    screen, camera, void, sound = (
        Device(devices.DRIVER, name) for name in (devices.SOURCE, devices.READER, devices.VOID, devices.TONE)
    )
    return DeviceNames(screen=screen, camera=camera, void=void, sound=sound)
