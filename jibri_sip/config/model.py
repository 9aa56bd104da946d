"""All settings: what they are called, what they may be, what they are when nobody says.

`docs/configuration.md` and `docs/example.toml` are generated from this file.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, SecretStr, model_validator

from jibri_sip.config.access import AccessSettings
from jibri_sip.config.control import JibriSettings, MetricsSettings, WebhookSettings, XmppSettings
from jibri_sip.config.network import NetworkSettings
from jibri_sip.config.numbered import RTP_PORTS, derived_defaults, merged, named
from jibri_sip.config.proxy import ProxySettings
from jibri_sip.config.sip_account import SipAccountSettings
from jibri_sip.config.types import (
    BaseUrl,
    CalleePattern,
    Dscp,
    LenientPath,
    Port,
    Regex,
    Seconds,
    SecondsOrNever,
    SecretFile,
    Section,
    Tenant,
    one_of,
)


class InstanceSettings(Section):
    """Which of the gateways on this machine this is. One instance carries one call; more calls are more instances."""

    number: Annotated[int, Field(ge=1, le=99)] = Field(
        default=1,
        description="1 for the first instance, 2 for the second …; ports, names and directories follow from it.",
    )
    runtime_dir: LenientPath = Field(
        default=Path("/run/jibri-sip/1"),
        description="Directory for sockets, profiles and other things that do not outlive the gateway: whatever is in "
        "it is removed. Default: "
        "`$RUNTIME_DIRECTORY` (systemd), else `jibri-sip/NUMBER` in `$XDG_RUNTIME_DIR`, else one of the user's own "
        "in the directory for temporary files.",
    )
    state_dir: LenientPath = Field(
        default=Path("/var/lib/jibri-sip"),
        description="Directory for what outlives the gateway; all instances share it. Default: `$STATE_DIRECTORY` "
        "(systemd), else `jibri-sip` in `$XDG_STATE_HOME`, else in the user's `.local/state`.",
    )


class XmppLogin(Section):
    """The gateway's own XMPP account at the deployment, where guests may not enter."""

    domain: Annotated[str, Field(min_length=1)] = Field(description="XMPP domain of the account.")
    username: Annotated[str, Field(min_length=1)] = Field(description="User part of the account.")
    password: SecretStr | None = Field(default=None, description="Its password; better in a file.")
    password_file: SecretFile | None = Field(default=None, description="File that holds its password.")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        one_of(self, "password", "password_file")
        if self.secret is None:
            raise ValueError("needs password_file or password")
        return self

    @property
    def secret(self) -> SecretStr | None:
        """The password, wherever it was given."""
        return self.password or self.password_file


class MeetingSettings(Section):
    """The Jitsi Meet deployment and how the gateway takes part in its meetings."""

    base_url: BaseUrl = Field(description="Address of the deployment, as in `https://meet.example.com`.")
    tenant: Tenant = Field(
        default="", description="Path between the address and the room, where the deployment has tenants."
    )
    rooms: Regex = Field(
        default=".+", description="Rooms that may be entered: a regular expression that the whole name has to match."
    )
    display_name: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        default="Room system", description="Name shown in the meeting for a caller that tells none."
    )
    email_domain: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")] = Field(
        default="jitsi.net",
        description="The gateway is `inbound-sip-jibri@` or `outbound-sip-jibri@` this domain, which is how a "
        "deployment and its lobby know it.",
    )
    password: SecretStr | None = Field(default=None, description="Password of locked rooms; better in a file.")
    password_file: SecretFile | None = Field(default=None, description="File that holds the password of locked rooms.")
    jwt: SecretStr | None = Field(default=None, description="Token for deployments that want one; better in a file.")
    jwt_file: SecretFile | None = Field(default=None, description="File that holds the token.")
    xmpp_login: XmppLogin | None = Field(
        default=None, description="Account of the gateway, where guests may not enter."
    )
    config_overrides: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z_][\w]*(\.[A-Za-z_]\w*)*$")], JsonValue] = Field(
        default_factory=dict,
        description='More settings for the page, as in `{ "analytics.disabled" = true }`: names of Jitsi Meet\'s '
        "config.js that it accepts in a URL.",
    )

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        one_of(self, "password", "password_file")
        one_of(self, "jwt", "jwt_file")
        return self

    @property
    def room_password(self) -> SecretStr | None:
        """The password of locked rooms, wherever it was given."""
        return self.password or self.password_file

    @property
    def token(self) -> SecretStr | None:
        """The JWT, wherever it was given."""
        return self.jwt or self.jwt_file


class TlsSettings(Section):
    """SIP over TLS. Without a certificate callers are shown a self-signed one of this installation."""

    enabled: bool = Field(default=True, description="Whether to listen on TLS.")
    certificate_file: LenientPath | None = Field(default=None, description="PEM file of the certificate and its chain.")
    key_file: LenientPath | None = Field(default=None, description="PEM file of the private key.")
    ca_file: LenientPath | None = Field(
        default=None,
        description="PEM file of the authorities that peers are checked against. Default: the system's.",
    )
    outgoing: bool = Field(
        default=False,
        description="Whether our own requests may go over TLS though TLS is not listened on, as providers allow.",
    )
    verify_peer: bool = Field(
        default=True, description="Whether a peer that we call by TLS must show a certificate of its name."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("needs both certificate_file and key_file, or neither")
        for path in (self.certificate_file, self.key_file, self.ca_file):
            if path is not None and not os.access(path, os.R_OK):
                raise ValueError(f"{path} cannot be read")
        return self


class SipSettings(Section):
    """Where SIP and RTP are spoken."""

    host: Annotated[str, Field(min_length=1)] = Field(
        default="127.0.0.1",
        description="Address to listen on, of IPv4 or IPv6. `0.0.0.0` opens SIP to the network, `::` by both versions "
        "of IP: read docs/security.md first.",
    )
    port: Port = Field(
        default=5060,
        description="UDP and TCP port. Default: 5060 + 10 * (instance.number - 1), behind the proxy 5060 + 10 * "
        "instance.number.",
    )
    tls_port: Port = Field(default=5061, description="TLS port. Default: one above the default of `port`.")
    tcp: bool = Field(
        default=True, description="Whether to listen on TCP too; room systems' messages are often too big for UDP."
    )
    tls: TlsSettings = Field(default_factory=TlsSettings, description="TLS.")
    account: SipAccountSettings | None = Field(
        default=None, description="Account at a SIP provider. Default: none, calls come and go without."
    )
    transfer: bool = Field(
        default=False,
        description="Whether peers may hand their call on, to addresses that dial_out.allow has (REFER), and others "
        "may take a call's place (INVITE with Replaces). Who knows a call's identifiers can do that: use it where SIP "
        "comes from systems that you trust.",
    )
    options_when_busy: Literal[503, 486, 200] = Field(
        default=503,
        description="Answer to OPTIONS, by which dispatchers and trunks ask whether a call would be taken, while none "
        "would. See docs/interop.md; 200 makes no difference.",
    )
    access: AccessSettings = Field(default_factory=AccessSettings, description="Who may call in.")
    network: NetworkSettings = Field(default_factory=NetworkSettings, description="Routers on the way.")
    public_address: str | None = Field(
        default=None, description="Address to tell peers in SIP and SDP, where a router translates addresses (1:1 NAT)."
    )
    signalling_host: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Address to listen on for SIP where it is not the one for media. Default: `host`, or loopback "
        "behind the proxy (`[proxy]`).",
    )
    rtp_port_first: Annotated[int, Field(ge=1024, le=65535 - RTP_PORTS, multiple_of=2)] = Field(
        default=10000,
        description=f"First of {RTP_PORTS} UDP ports for media. Default: 10000 + {RTP_PORTS} * (instance.number - 1).",
    )
    srtp: Literal["off", "optional", "required"] = Field(
        default="optional",
        description="Encryption of the media (SDES or DTLS): never, when the peer can, or no call without.",
    )
    dscp_signalling: Dscp = Field(default=24, description="DSCP mark of SIP packets (CS3).")
    dscp_audio: Dscp = Field(default=46, description="DSCP mark of audio packets (EF).")
    dscp_video: Dscp = Field(default=34, description="DSCP mark of video packets (AF41).")

    @property
    def rtp_port_last(self) -> int:
        """Last UDP port for media."""
        return self.rtp_port_first + RTP_PORTS - 1


class DialInRule(Section):
    """A rule of the dial plan. It applies when all that it asks for matches; the first that applies decides."""

    user: Regex = Field(default=".*", description="User part of the address that was dialled.")
    host: Regex = Field(default=".*", description="Host of the address that was dialled.")
    params: Mapping[str, Regex] = Field(default_factory=dict, description="Parameters of the address, by name.")
    caller: Regex = Field(default=".*", description="The caller's address (From), as `sip:alice@example.com`.")
    headers: Mapping[str, Regex] = Field(default_factory=dict, description="Header fields of the INVITE, by name.")
    refuse: Literal["forbidden", "unknown"] | None = Field(
        default=None, description="Refuse the call: `forbidden` answers 403, `unknown` answers 404."
    )
    room: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description=r"Room to enter; `\1` or `\g<name>` is a group of `user`. Default: what was dialled."
    )
    base_url: BaseUrl | None = Field(default=None, description="Another deployment than meeting.base_url.")
    tenant: Tenant | None = Field(default=None, description="Another tenant than meeting.tenant.")
    password: SecretStr | None = Field(default=None, description="Password of the room; better in a file.")
    password_file: SecretFile | None = Field(default=None, description="File that holds the password of the room.")
    jwt: SecretStr | None = Field(default=None, description="Token for the room; better in a file.")
    jwt_file: SecretFile | None = Field(default=None, description="File that holds the token for the room.")
    display_name: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Name shown in the meeting instead of the caller's."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        one_of(self, "password", "password_file")
        one_of(self, "jwt", "jwt_file")
        if self.refuse is not None and self.model_fields_set & {"room", "base_url", "tenant", "display_name"}:
            raise ValueError("refuses the call, so it cannot name a room as well")
        if self.room is not None:
            _check_template(self.user, self.room)
        return self

    @property
    def room_password(self) -> SecretStr | None:
        """The password of the room, wherever it was given."""
        return self.password or self.password_file

    @property
    def token(self) -> SecretStr | None:
        """The JWT, wherever it was given."""
        return self.jwt or self.jwt_file


def _check_template(pattern: str, template: str) -> None:
    """Raise ValueError when the template names a group that the pattern has not."""
    # One more alternative, which matches the empty text, gives a match object to try the template on.
    probe = re.match(f"{pattern}\n|", "")
    try:
        if probe is not None:
            probe.expand(template)
    except (re.error, IndexError) as error:
        raise ValueError(f"room cannot be filled in from user: {error}") from None


class DialInSettings(Section):
    """Calls from room systems to the gateway. Without rules, the user part of the address is the room."""

    mode: Literal["open", "prepared", "off"] = Field(
        default="open", description="Take any call when idle, only one that was prepared through the API, or none."
    )
    answer_within_s: Annotated[float, Field(ge=0, le=30)] = Field(
        default=3.0,
        description="Answer after this time even if the meeting is not joined yet; until it is, the caller sees "
        "our own picture.",
    )
    echo_user: Annotated[str, Field(max_length=64)] = Field(
        default="echo",
        description="Who calls this user gets a test card, his own sound and his own picture. Empty: no such user.",
    )
    rules: Annotated[tuple[DialInRule, ...], Field(strict=False)] = Field(
        default=(), description="The dial plan, in order."
    )


class DialOutSettings(Section):
    """Calls from meetings to room systems."""

    allow: Annotated[tuple[CalleePattern, ...], Field(strict=False)] = Field(
        default=(),
        description='Who may be called: `user@host` with `*` for anything, as in `["*@rooms.example.com"]`. '
        "Default: nobody.",
    )


class VideoSettings(Section):
    """The picture, the same both ways."""

    width: Annotated[int, Field(ge=512, le=1920, multiple_of=16)] = Field(
        default=1280, description="Width in pixels; Chromium has no windows narrower than 500."
    )
    height: Annotated[int, Field(ge=176, le=1088, multiple_of=2)] = Field(default=720, description="Height in pixels.")
    fps: Annotated[int, Field(ge=5, le=60)] = Field(default=30, description="Pictures a second.")
    bitrate_kbps: Annotated[int, Field(ge=64, le=8000)] = Field(
        default=1500, description="Video sent to the peer, kbit/s."
    )
    mtu: Annotated[int, Field(ge=576, le=1412)] = Field(
        default=1280,
        description="Largest IP packet of the picture, bytes, with all headers and encryption. The default passes "
        "every IPv6 network and nearly all tunnels.",
    )


class AudioSettings(Section):
    """The sound."""

    codecs: Annotated[tuple[Literal["opus", "G722", "PCMA", "PCMU"], ...], Field(min_length=1, strict=False)] = Field(
        default=("opus", "G722", "PCMA", "PCMU"), description="Codecs, the best first."
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.codecs)) != len(self.codecs):
            raise ValueError("codecs names a codec twice")
        return self


class CameraSettings(Section):
    """The virtual camera that the meeting's page gets the peer's picture from."""

    backend: Literal["auto", "v4l2loopback", "pipewire"] = Field(
        default="auto", description="`auto` takes v4l2loopback where the kernel has it, else pipewire."
    )
    label: Annotated[str, Field(min_length=1, max_length=31, pattern=r"^[A-Za-z0-9_.-]+$")] = Field(
        default="SIP_Room_1",
        description="Name of the camera; with v4l2loopback the card_label to look for. Default: `SIP_Room_NUMBER`.",
    )


class LimitSettings(Section):
    """How long things may take before the gateway gives up or ends a call. Seconds."""

    max_duration_s: SecondsOrNever = Field(default=43200.0, description="Longest call; 0 for no limit.")
    join_timeout_s: Seconds = Field(
        default=30.0, description="From the request until the meeting is joined, lobby aside."
    )
    lobby_timeout_s: Seconds = Field(default=600.0, description="In the lobby.")
    ring_timeout_s: Seconds = Field(default=60.0, description="How long a called party may ring.")
    alone_timeout_s: SecondsOrNever = Field(
        default=1800.0, description="With nobody else in the meeting; 0 for no limit."
    )
    all_muted_timeout_s: SecondsOrNever = Field(
        default=0.0,
        description="With everybody else's microphone and camera off; 0 for no limit. Telephones count as muted.",
    )
    no_media_timeout_s: SecondsOrNever = Field(
        default=60.0,
        description="Without a packet from the peer, or from a meeting where somebody is not muted; 0 for no limit. "
        "A call on hold and a meeting where everyone is muted do not count.",
    )
    ice_timeout_s: Seconds = Field(default=30.0, description="Without a media path to the meeting's bridge.")
    server_timeout_s: Annotated[float, Field(ge=15, le=600)] = Field(
        default=30.0, description="Without a word of the meeting's XMPP server, which is asked every ten seconds."
    )
    browser_timeout_s: Seconds = Field(default=10.0, description="Without an answer of the page.")
    frozen_timeout_s: Seconds = Field(
        default=30.0, description="With a picture that stands still while the meeting's video moves."
    )


class ApiTlsSettings(Section):
    """HTTPS instead of HTTP as soon as there is a certificate, and mutual TLS with `client_ca_file`."""

    certificate_file: LenientPath | None = Field(default=None, description="PEM file of the certificate and its chain.")
    key_file: LenientPath | None = Field(default=None, description="PEM file of its private key.")
    client_ca_file: LenientPath | None = Field(
        default=None,
        description="PEM file of the authorities that clients must have a certificate of; others are turned away.",
    )
    command_certificate_file: LenientPath | None = Field(
        default=None, description="PEM file of the certificate that the commands show. Default: the gateway's own."
    )
    command_key_file: LenientPath | None = Field(default=None, description="PEM file of its private key.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for certificate, key in (("certificate_file", "key_file"), ("command_certificate_file", "command_key_file")):
            if (getattr(self, certificate) is None) != (getattr(self, key) is None):
                raise ValueError(f"needs both {certificate} and {key}, or neither")
        if self.client_ca_file is not None and self.certificate_file is None:
            raise ValueError("client_ca_file needs certificate_file: there are no client certificates without TLS")
        for name in type(self).model_fields:
            path = getattr(self, name)
            if path is not None and not os.access(path, os.R_OK):
                raise ValueError(f"{path} cannot be read")
        return self


class ApiSettings(Section):
    """The HTTP API that `jibri-sip dial`, `hangup` and `status` use, Jibri's external API, and `/metrics`."""

    host: Annotated[str, Field(min_length=1)] = Field(
        default="127.0.0.1",
        description="Address to listen on; any other than loopback needs a token or api.tls.client_ca_file.",
    )
    port: Port = Field(default=2222, description="TCP port. Default: 2222 + instance.number - 1.")
    token: SecretStr | None = Field(default=None, description="Token that clients have to show; better in a file.")
    token_file: SecretFile | None = Field(default=None, description="File that holds the token.")
    tls: ApiTlsSettings = Field(default_factory=ApiTlsSettings, description="TLS.")

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        one_of(self, "token", "token_file")
        if self.secret is None and self.tls.client_ca_file is None and not self.on_loopback:
            raise ValueError(f"host {self.host} can be reached from elsewhere, so token_file is needed")
        if self.secret is not None and re.fullmatch("[!-~]{16,}", self.secret.get_secret_value()) is None:
            raise ValueError("token must have 16 or more characters, ASCII, no spaces")
        return self

    @property
    def secret(self) -> SecretStr | None:
        """The token, wherever it was given."""
        return self.token or self.token_file

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return self.host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", self.host) is not None


class LogSettings(Section):
    """The log, on standard error."""

    format: Literal["auto", "console", "json"] = Field(
        default="auto",
        description="`console` for people, `json` for machines, `auto`: console on a terminal, else JSON.",
    )
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least that is logged.")


class _Numbered(Section):
    """Settings of which some follow from the instance's number."""

    instance: InstanceSettings = Field(default_factory=InstanceSettings)

    @model_validator(mode="before")
    @classmethod
    def _number_the_instance(cls, data: Any) -> Any:
        """Give ports, names and directories the defaults of this instance's number."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for section, derived in derived_defaults(data).items():
            given = data.get(section, {})
            if isinstance(given, dict) and section in cls.model_fields:
                data[section] = merged(derived, given)
        return named(data)


class ApiAddress(_Numbered):
    """As much of the configuration as a command needs to find the API; what else there is may be anything."""

    model_config = ConfigDict(extra="ignore")

    api: ApiSettings = Field(default_factory=ApiSettings)


class Settings(_Numbered):
    """The whole configuration."""

    meeting: MeetingSettings
    sip: SipSettings = Field(default_factory=SipSettings)
    proxy: ProxySettings = Field(default_factory=ProxySettings)
    dial_in: DialInSettings = Field(default_factory=DialInSettings)
    dial_out: DialOutSettings = Field(default_factory=DialOutSettings)
    video: VideoSettings = Field(default_factory=VideoSettings)
    audio: AudioSettings = Field(default_factory=AudioSettings)
    camera: CameraSettings = Field(default_factory=CameraSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    jibri: JibriSettings = Field(default_factory=JibriSettings)
    xmpp: Annotated[tuple[XmppSettings, ...], Field(strict=False)] = Field(
        default=(), description="Deployments whose jicofo orders sessions."
    )
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    log: LogSettings = Field(default_factory=LogSettings)
