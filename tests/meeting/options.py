"""What an embedded meeting can be told, and the names of its XMPP domains."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DOMAIN = "meet.test"
MUC_DOMAIN = f"muc.{DOMAIN}"
LOBBY_DOMAIN = f"lobby.{DOMAIN}"
FOCUS_DOMAIN = f"focus.{DOMAIN}"
ACCOUNT_DOMAIN = f"sip.{DOMAIN}"

WEB_APP = "JIBRI_SIP_MEET_DIR"
"""Environment variable that names the directory of Jitsi Meet's web app."""


@dataclass(frozen=True)
class MeetingOptions:
    """How the embedded meeting behaves.

    Attributes:
        prejoin: whether the page shows its prejoin screen (Jitsi Meet's default) or joins at once.
        password: every room asks for it, from its creation on.
        lobby: every room sends those who come after the first one to its lobby.
        require_sfu: media through the SFU from the second participant on, as with a Jitsi Videobridge; else two
            participants without it talk peer to peer.
        http_port: port of the page on loopback; 0 takes a free one.
        video_codecs: what the SFU offers, the preferred one first (H264, VP8).
        start_bitrate: where senders' bandwidth estimation starts, kbit/s.
        min_bitrate: below this bandwidth estimation does not go, kbit/s.
        max_bitrate: what a sender of video may use, kbit/s.
        trusted_domains: where Jibris come from that jicofo would take for such (`jicofo.xmpp.trusted-domains`): they do
            not become moderators and are not muted by force.
        accounts: users (`NAME` in `NAME@sip.meet.test`) and passwords of those who log in; all others are guests.
        config: more keys of Jitsi Meet's config.js.
        web_app: directory of Jitsi Meet's own web app, to be served in place of our page; empty for our page.
    """

    prejoin: bool = False
    password: str | None = None
    lobby: bool = False
    require_sfu: bool = True
    http_port: int = 0
    video_codecs: tuple[str, ...] = ("H264", "VP8")
    start_bitrate: int = 2000
    min_bitrate: int = 300
    max_bitrate: int = 2500
    trusted_domains: tuple[str, ...] = ()
    accounts: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    web_app: str = field(default_factory=lambda: os.environ.get(WEB_APP, ""))
