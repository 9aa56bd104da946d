"""What becomes of each key of jibri.conf, and what Jibri does where a key is not given.

The facts are those of Jibri's `reference.conf` and of the code that reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jibri_sip.config.jibri_conf import values
from jibri_sip.config.jibri_conf.fates import Fate, NoCounterpart, NotNeeded, TakenOver
from jibri_sip.config.jibri_conf.values import flag, port, seconds, text, texts

ENVIRONMENTS = "jibri.api.xmpp.environments"
_ENVIRONMENT = f"{ENVIRONMENTS}[]"
_NOT_RECORDED = NotNeeded("nothing is recorded or streamed here")
_OWN_FLAGS = "the gateway starts its browser with flags of its own"

TABLE: Mapping[str, Fate] = {
    "jibri.id": TakenOver("jibri.id", text),
    "jibri.single-use-mode": TakenOver("jibri.single_use", flag),
    "jibri.api.http.external-api-port": TakenOver("api.port", port),
    "jibri.api.http.external-api-host": TakenOver("api.host", values.loopback_api, "loopback only"),
    "jibri.api.http.internal-api-port": TakenOver("jibri.internal_port", port),
    "jibri.api.http.internal-api-host": TakenOver("jibri.internal_host", values.loopback_internal, "loopback only"),
    ENVIRONMENTS: NotNeeded("there are none"),
    f"{_ENVIRONMENT}.name": TakenOver("xmpp[].name", text),
    f"{_ENVIRONMENT}.xmpp-server-hosts": TakenOver("xmpp[].hosts", texts),
    f"{_ENVIRONMENT}.xmpp-domain": TakenOver("xmpp[].domain", text, "and meeting.base_url, where nothing else says it"),
    f"{_ENVIRONMENT}.base-url": TakenOver("xmpp[].base_url", text, "the first one is meeting.base_url, too"),
    f"{_ENVIRONMENT}.control-muc.domain": TakenOver("xmpp[].control_muc.domain", text),
    f"{_ENVIRONMENT}.control-muc.room-name": TakenOver(
        "xmpp[].control_muc.room", text, "recordings ordered there are refused: give SIP a brewery of its own"
    ),
    f"{_ENVIRONMENT}.control-muc.nickname": TakenOver("xmpp[].control_muc.nickname", text),
    f"{_ENVIRONMENT}.sip-control-muc.domain": TakenOver("xmpp[].sip_control_muc.domain", text),
    f"{_ENVIRONMENT}.sip-control-muc.room-name": TakenOver("xmpp[].sip_control_muc.room", text),
    f"{_ENVIRONMENT}.sip-control-muc.nickname": NotNeeded("Jibri enters this room, too, as control-muc.nickname"),
    f"{_ENVIRONMENT}.control-login.domain": TakenOver("xmpp[].control_login.domain", text),
    f"{_ENVIRONMENT}.control-login.port": TakenOver("xmpp[].control_login.port", port),
    f"{_ENVIRONMENT}.control-login.username": TakenOver("xmpp[].control_login.username", text),
    f"{_ENVIRONMENT}.control-login.password": TakenOver("xmpp[].control_login.password", text, secret=True),
    f"{_ENVIRONMENT}.control-login.randomize-username": NotNeeded("Jibri uses it for the call's account only"),
    f"{_ENVIRONMENT}.call-login.domain": TakenOver(
        "xmpp[].call_login.domain", text, "if it is the recorder's hidden domain, nobody sees the gateway in a meeting"
    ),
    f"{_ENVIRONMENT}.call-login.port": NotNeeded("the page finds its server by itself"),
    f"{_ENVIRONMENT}.call-login.username": TakenOver("xmpp[].call_login.username", text),
    f"{_ENVIRONMENT}.call-login.password": TakenOver("xmpp[].call_login.password", text, secret=True),
    f"{_ENVIRONMENT}.call-login.randomize-username": TakenOver("xmpp[].call_login.randomize_username", flag),
    f"{_ENVIRONMENT}.strip-from-room-domain": TakenOver("xmpp[].strip_from_room_domain", text),
    f"{_ENVIRONMENT}.usage-timeout": TakenOver(
        "xmpp[].usage_timeout_s", values.whole_minutes, "cut off to whole minutes, as Jibri does; 0 is no limit"
    ),
    f"{_ENVIRONMENT}.trust-all-xmpp-certs": TakenOver(
        "xmpp[].trust_any_certificate", flag, "xmpp.ca_file is the safe way where certificates are self-signed"
    ),
    f"{_ENVIRONMENT}.security-mode": TakenOver("xmpp[].security", values.security),
    "jibri.sip.outbound-prefix": TakenOver("jibri.outbound_prefix", text),
    "jibri.sip.dtmf-fifo-path": NotNeeded("keys that the peer presses are heard in the process"),
    "jibri.selenium.use-external-api": NotNeeded("the gateway drives the page in its own way"),
    "jibri.stats.enable-stats-d": TakenOver("metrics.statsd_host", flag, "an empty host is off"),
    "jibri.stats.host": TakenOver("metrics.statsd_host", text),
    "jibri.stats.port": TakenOver("metrics.statsd_port", port),
    "jibri.stats.prometheus.enabled": TakenOver("metrics.prometheus", flag),
    "jibri.webhook.subscribers": TakenOver("webhooks.subscribers", texts),
    "jibri.jwt-info.signing-key-path": TakenOver("webhooks.token.signing_key_file", text),
    "jibri.jwt-info.kid": TakenOver("webhooks.token.kid", text),
    "jibri.jwt-info.issuer": TakenOver("webhooks.token.issuer", text),
    "jibri.jwt-info.audience": TakenOver("webhooks.token.audience", text),
    "jibri.jwt-info.ttl": TakenOver("webhooks.token.ttl_s", seconds),
    "jibri.call-status-checks.no-media-timeout": TakenOver(
        "limits.no_media_timeout_s", seconds, "it counts for the peer's media, too"
    ),
    "jibri.call-status-checks.all-muted-timeout": TakenOver("limits.all_muted_timeout_s", seconds),
    "jibri.call-status-checks.ice-connection-timeout": TakenOver("limits.ice_timeout_s", seconds),
    "jibri.call-status-checks.default-call-empty-timeout": NotNeeded(
        "for SIP Jibri always waits 30 minutes, and so does limits.alone_timeout_s"
    ),
    "jibri.recording.*": _NOT_RECORDED,
    "jibri.streaming.*": _NOT_RECORDED,
    "jibri.ffmpeg.*": _NOT_RECORDED,
    "jibri.chrome.flags": NotNeeded(_OWN_FLAGS),
}
"""By pattern; `.*` at the end is whatever there is below. What depends on other keys as well, `mapping` sees to."""

FLAGS: Mapping[str, Fate] = {
    "--use-fake-ui-for-media-stream": NotNeeded(_OWN_FLAGS),
    "--start-maximized": NotNeeded(_OWN_FLAGS),
    "--kiosk": NotNeeded(_OWN_FLAGS),
    "--enabled": NotNeeded(_OWN_FLAGS),
    "--autoplay-policy": NotNeeded(_OWN_FLAGS),
    "--disable-dev-shm-usage": NotNeeded(_OWN_FLAGS),
    "--alsa-input-device": NotNeeded("sound goes through a PulseAudio of the gateway's own"),
    "--no-sandbox": NotNeeded("the browser's sandbox stays on"),
    "--ignore-certificate-errors": NoCounterpart(
        "the deployment's certificate is checked: let this machine trust its authority"
    ),
}
"""Of jibri.chrome.flags, by name; others have no counterpart."""
OTHER_FLAG = NoCounterpart(_OWN_FLAGS)


@dataclass(frozen=True)
class Habit:
    """What Jibri does unless told otherwise, and we do not.

    Attributes:
        setting: Ours that makes us do it.
        value: What it is set to.
        because: What Jibri does.
    """

    setting: str
    value: Any
    because: str


HABITS = (
    Habit(
        "jibri.outbound_prefix",
        "out_",
        "Jibri's default of jibri.sip.outbound-prefix; empty unless the provider routes it",
    ),
    Habit("limits.no_media_timeout_s", 180.0, "Jibri's default of jibri.call-status-checks.no-media-timeout"),
    Habit("limits.all_muted_timeout_s", 600.0, "Jibri's default of jibri.call-status-checks.all-muted-timeout"),
    Habit("metrics.statsd_host", "localhost", "Jibri's default of jibri.stats.host"),
    Habit("metrics.prometheus", False, "Jibri's default of jibri.stats.prometheus.enabled"),
    Habit("sip.host", "0.0.0.0", "Jibri's pjsua listens on every address"),  # noqa: S104  (that is what it does)
    Habit("sip.rtp_port_first", 4000, "default of pjsua's --rtp-port; firewalls may count on it"),
    Habit("dial_in.mode", "prepared", "Jibri takes no call that was not ordered"),
    Habit("dial_out.allow", ["*@*"], "Jibri calls any address it is told to; better name those that you call"),
)
"""Written where the imported files say nothing else."""

STAND_INS: Mapping[str, Any] = {
    "jibri": {
        "id": "",
        "single-use-mode": False,
        "api": {
            "http": {
                "external-api-port": 2222,
                "external-api-host": "127.0.0.1",
                "internal-api-port": 3333,
                "internal-api-host": "127.0.0.1",
            },
            "xmpp": {"environments": []},
        },
        "sip": {"outbound-prefix": "out_", "dtmf-fifo-path": "/tmp/jibri_pjsua_dtmf"},  # noqa: S108  (Jibri's)
        "selenium": {"use-external-api": False},
        "chrome": {"flags": []},
        "stats": {"enable-stats-d": True, "host": "localhost", "port": 8125, "prometheus": {"enabled": False}},
        "webhook": {"subscribers": []},
        "call-status-checks": {
            "no-media-timeout": "3 minutes",
            "all-muted-timeout": "10 minutes",
            "default-call-empty-timeout": "30 seconds",
            "ice-connection-timeout": "30 seconds",
        },
        "recording": {"recordings-directory": "", "finalize-script": ""},
        "streaming": {"rtmp-allow-list": []},
        "ffmpeg": {
            **dict.fromkeys(
                (
                    "resolution",
                    "framerate",
                    "gop-size",
                    "video-encode-preset-streaming",
                    "video-encode-preset-recording",
                    "queue-size",
                    "streaming-max-bitrate",
                    "streaming-buf-size",
                    "streaming-format",
                    "recording-format",
                    "recording-extension",
                    "h264-constant-rate-factor",
                    "audio-source",
                    "audio-device",
                    "ffmpeg-binary",
                ),
                "",
            ),
            **{
                name: []
                for name in (
                    "ffmpeg",
                    "input-linux",
                    "input-mac",
                    "audio-params",
                    "video-params",
                    "video-params-recording",
                    "video-params-streaming",
                    "command-linux-recording",
                    "command-linux-streaming",
                    "command-mac-recording",
                    "command-mac-streaming",
                )
            },
        },
    }
}
"""What substitutions such as `${jibri.ffmpeg.framerate}` find where Jibri's own defaults would answer. Of what is not
needed here only the kind is true: text or list."""


def fate_of(pattern: str) -> Fate | None:
    """What becomes of the keys of this pattern; None if it is not one of Jibri's."""
    if pattern in TABLE:
        return TABLE[pattern]
    parts = pattern.split(".")
    for length in range(len(parts) - 1, 0, -1):
        if (fate := TABLE.get(".".join(parts[:length]) + ".*")) is not None:
            return fate
    return None
