"""PJSIP as a library: what it is told as a whole, and the devices that it uses."""

import pjsua2 as pj

from jibri_sip import __version__
from jibri_sip.sip import trace
from jibri_sip.sip.settings import Device, DeviceNames, SipSettings
from jibri_sip.sip.thread import SipError

_SAMPLE_RATE = 48_000
_AUDIO_FRAME_MS = 10
"""Of PJMEDIA's audio mixer; the sound device has frames of this length, and buffers keep some of them."""


def config(settings: SipSettings) -> pj.EpConfig:
    """What the library as a whole is told."""
    made = pj.EpConfig()
    made.uaConfig.userAgent = f"jibri-sip/{__version__}"
    made.uaConfig.threadCnt = 0
    made.uaConfig.mainThreadOnly = True
    if settings.network.stun_server is not None:
        servers = pj.StringVector()
        servers.append(settings.network.stun_server)
        made.uaConfig.stunServer = servers
    made.logConfig.level = settings.trace
    # What goes to the writer, that is; with 0, PJSIP hands nothing over.
    made.logConfig.consoleLevel = settings.trace
    made.logConfig.msgLogging = 1
    made.logConfig.decor = pj.PJ_LOG_HAS_SENDER
    made.logConfig.writer = trace.LogWriter().__disown__()
    made.medConfig.clockRate = _SAMPLE_RATE
    made.medConfig.sndClockRate = _SAMPLE_RATE
    made.medConfig.audioFramePtime = _AUDIO_FRAME_MS
    # Our sound device is a steady clock. PJMEDIA's own would be a second one, with a buffer of 80 ms each way between.
    made.medConfig.sndUseSwClock = False
    # The browser and the room system cancel echo; silence is sent, for a meeting is never really silent.
    made.medConfig.ecTailLen = 0
    made.medConfig.noVad = True
    return made


def open_devices(endpoint: pj.Endpoint, names: DeviceNames) -> int:
    """Have PJMEDIA use these devices; the number of the one that pictures come from.

    Raises:
    SipError: one of them is missing.
    """
    if names.sound is None:
        endpoint.audDevManager().setNullDev()
    else:
        number = _sound_device(endpoint, names.sound)
        # Opened when the first call needs it, closed a second after the last.
        endpoint.audDevManager().setCaptureDev(number)
        endpoint.audDevManager().setPlaybackDev(number)
    # Sending a capture device's picture opens a preview of it, too, on the account's render device: our own
    # screen would show on the meeting's camera. With a preview that exists already PJSIP makes no other.
    screen = video_device(endpoint, names.screen)
    preview = pj.VideoPreviewOpParam()
    preview.rendId = video_device(endpoint, names.void)
    preview.show = False
    pj.VideoPreview(screen).start(preview)
    return screen


def video_device(endpoint: pj.Endpoint, device: Device) -> int:
    """The number of a device of PJMEDIA's.

    Raises:
        SipError: there is none of that name.
    """
    try:
        return endpoint.vidDevManager().lookupDev(device.driver, device.name)
    except pj.Error:
        raise SipError(f"no video device {device.driver}/{device.name}") from None


def _sound_device(endpoint: pj.Endpoint, device: Device) -> int:
    try:
        return endpoint.audDevManager().lookupDev(device.driver, device.name)
    except pj.Error:
        raise SipError(f"no sound device {device.driver}/{device.name}") from None
