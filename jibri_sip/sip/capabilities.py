"""What OPTIONS is told of our media (RFC 3261 section 11.2, RFC 3264 section 9)."""

from importlib import import_module
from typing import Any

from jibri_sip.sip.codecs import PROFILE_ACCEPTED
from jibri_sip.sip.door import DoorError
from jibri_sip.sip.settings import SipSettings

_AUDIO = {"opus": (96, "opus/48000/2"), "G722": (9, "G722/8000"), "PCMA": (8, "PCMA/8000"), "PCMU": (0, "PCMU/8000")}
_EVENTS = ((101, "telephone-event/48000"), (102, "telephone-event/8000"))


def tell_capabilities(settings: SipSettings) -> None:
    """Have OPTIONS answered with them, and say in Accept which bodies we read; on the PJSIP thread, after `libInit`.

    Raises:
        DoorError: PJSIP did not take the module.
    """
    native: Any = import_module("jibri_sip.sip.door._door")
    status = native.lib.door_tell_capabilities(describe(settings).encode())
    if status != 0:
        raise DoorError(f"PJSIP's status {status}")


def describe(settings: SipSettings) -> str:
    """A session description with all ports zero, so that nobody takes it for an offer."""
    profile = "RTP/SAVP" if settings.srtp == "required" else "RTP/AVP"
    family = "IP6" if ":" in settings.host else "IP4"
    formats = [*(_AUDIO[name] for name in settings.audio_codecs), *_EVENTS]
    lines = [
        "v=0",
        f"o=- 0 0 IN {family} {settings.host}",
        "s=-",
        f"c=IN {family} {settings.host}",
        "t=0 0",
        f"m=audio 0 {profile} {' '.join(str(number) for number, _ in formats)}",
        *(f"a=rtpmap:{number} {name}" for number, name in formats),
        f"m=video 0 {profile} 97",
        "a=rtpmap:97 H264/90000",
        f"a=fmtp:97 profile-level-id={PROFILE_ACCEPTED};packetization-mode=1",
        "",
    ]
    return "\r\n".join(lines)
