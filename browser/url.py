"""From a visit to the URL that Jitsi Meet understands.

`https://HOST/TENANT/ROOM#config.a=1&config.b.c=%22x%22`: each value is JSON, percent-encoded. The
page applies only keys that it has on its list. Nothing secret is in it: the fragment is not sent to the
server, but it is kept in histories and logs (see `browser.agent` for the way of secrets).
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import quote

from browser.errors import JoinFailed
from browser.visit import JSON, Visit

# XMPP limits the local part of an address to 1,023 bytes (RFC 7622 section 3.3.1), and Jitsi Meet uses the
# percent-encoded name there.
ROOM_BYTES = 1023
# What encodeURIComponent leaves as it is, beside letters, digits and `_.-~`. People's links to a room are encoded
# by it, and Jitsi Meet drops these characters from a link: encoded, they would lead to another room.
_PLAIN = "!'()*"

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# What the gateway asks of every deployment. `prejoinConfig.enabled` is not among them on purpose: given in
# a URL it makes the page start without camera and microphone; the agent presses the button instead.
SETTINGS: Mapping[str, JSON] = {
    # Who we are: a SIP gateway. It hides the toolbar and notifications, and keeps us out of visitors' rooms.
    "iAmRecorder": True,
    "iAmSipGateway": True,
    # Come in with sound and picture, whatever the deployment starts others with.
    "ignoreStartMuted": True,
    "startAudioOnly": False,
    "startScreenSharing": False,
    "startSilent": False,
    "startWithAudioMuted": False,
    "startWithVideoMuted": False,
    # The microphone brings a far end's sound, which that end has cleaned already.
    "disableAP": True,
    "disableAEC": True,
    "disableAGC": True,
    "disableNS": True,
    "enableNoAudioDetection": False,
    "enableNoisyMicDetection": False,
    "enableTalkWhileMuted": False,
    "disableAudioLevels": True,
    # One 720p30 H.264 encoder: the cheapest that Chrome has in software.
    "constraints": {
        "video": {
            "aspectRatio": 16 / 9,
            "frameRate": {"ideal": 30, "max": 30},
            "height": {"ideal": 720, "max": 720, "min": 240},
        }
    },
    "disableSimulcast": True,
    "resolution": 720,
    "videoQuality.codecPreferenceOrder": ["H264", "VP8", "VP9"],
    "p2p.codecPreferenceOrder": ["H264", "VP8", "VP9"],
    # Through the bridge only: a change to peer-to-peer and back interrupts the picture.
    "p2p.enabled": False,
    # The stage shows one; the others are there for a change of speaker without a wait.
    "channelLastN": 4,
    "pcStatsInterval": 2000,
    # Nothing over the picture, nothing to click.
    "connectionIndicators.disabled": True,
    "deeplinking.disabled": True,
    "disableBeforeUnloadHandlers": True,
    "disableDeepLinking": True,
    "disableInviteFunctions": True,
    "disableModeratorIndicator": True,
    "disablePolls": True,
    "disableReactions": True,
    "disableRemoteControl": True,
    "disableSelfView": True,
    "disableShortcuts": True,
    "enableInsecureRoomNameWarning": False,
    "feedbackPercentage": 0,
    "filmstrip.disabled": True,
    "hideConferenceSubject": True,
    "hideConferenceTimer": True,
    "notifications": [],
    "notifyOnConferenceDestruction": False,
    "recordings.showPrejoinWarning": False,
    "remoteVideoMenu.disabled": True,
    "requireDisplayName": False,
    "toolbarButtons": [],
    "whiteboard.enabled": False,
    # In a lobby there is nobody to press the button either.
    "autoKnockLobby": True,
    "lobby.autoKnock": True,
    "lobby.enableChat": False,
    # The guest is not to be known to anybody but the meeting.
    "analytics.disabled": True,
    "disableThirdPartyRequests": True,
    "doNotStoreRoom": True,
    "enableEmailInStats": False,
    "gravatar.disabled": True,
}

# The same of interface_config.js.
INTERFACE: Mapping[str, JSON] = {
    # Beside a picture that does not fill the stage (a telephone's, a 4:3 camera's) there would be its blurred likeness:
    # Chrome's compositor blurs it anew with every picture, for up to a fifth of a core, and it takes of the SIP peer's
    # bitrate.
    "DISABLE_VIDEO_BACKGROUND": True,
}


def conference_url(visit: Visit) -> str:
    """Return the URL that enters the visit's room.

    Raises:
        JoinFailed: The room's name cannot be one (`room-invalid`).
        ValueError: A key of `config_overrides` is not a dotted name, or a value is not JSON.
    """
    path = [*filter(None, visit.tenant.split("/")), visit.room]
    encoded = "/".join(_segment(part) for part in path)
    settings = _fragment("config", {**SETTINGS, **visit.config_overrides})
    return f"{visit.base_url.rstrip('/')}/{encoded}#{settings}&{_fragment('interfaceConfig', INTERFACE)}"


def _segment(name: str) -> str:
    """Percent-encode a part of the path, or refuse it."""
    if not name:
        raise JoinFailed("room-invalid", "the room has no name")
    if name in {".", ".."}:
        # Browsers take these for steps in the path, encoded or not.
        raise JoinFailed("room-invalid", "a room cannot be called '.' or '..'")
    if _CONTROL.search(name):
        raise JoinFailed("room-invalid", "the room's name has control characters in it")
    try:
        address = quote(unicodedata.normalize("NFKC", name).lower(), safe=_PLAIN)
    except UnicodeEncodeError:
        raise JoinFailed("room-invalid", "the room's name is not valid Unicode") from None
    if len(address) > ROOM_BYTES:
        raise JoinFailed("room-invalid", f"the room's name is too long: {len(address)} of {ROOM_BYTES} bytes, encoded")
    return quote(name, safe=_PLAIN)


def _fragment(of: str, settings: Mapping[str, JSON]) -> str:
    return "&".join(f"{of}.{_checked(key)}={_value(value)}" for key, value in settings.items())


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key of Jitsi Meet's config: {key!r}")
    return key


def _value(value: JSON) -> str:
    r"""Return the value as Jitsi Meet reads it back.

    Its reader straightens curly quotes and takes the backslash off an ampersand before it parses the
    JSON; escapes keep both of them from it.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return quote(text.replace("&", r"\u0026"), safe="")
