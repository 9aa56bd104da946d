"""Makes our devices known to PJMEDIA, under the names that the SIP endpoint looks for."""

from jibri_sip.config.model import VideoSettings
from jibri_sip.sip.settings import Device, DeviceNames
from virtual_devices import devices
from virtual_devices.canvas import Canvas


def register_devices(video: VideoSettings) -> DeviceNames:
    """Register the devices; on the PJSIP thread, once PJMEDIA runs."""
    names = devices.register(Canvas(video.width, video.height, video.fps))
    return DeviceNames(
        screen=Device(names.driver, names.screen),
        camera=Device(names.driver, names.camera),
        void=Device(names.driver, names.void),
        sound=Device(names.driver, names.sound),
    )
