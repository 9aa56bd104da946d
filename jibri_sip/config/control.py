"""Settings of what stands in for Jibri: who orders sessions from outside, and who is told about them."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from jibri_sip.config.types import BaseUrl, LenientPath, Port, SecondsOrNever, SecretFile, Section, one_of

_Name = Annotated[str, Field(min_length=1, max_length=1023)]
_MINUTES_10 = 600.0
_XMPP_PORT = 5222
_LAST_PORT = 65535


def server_address(host: str, port: int | None) -> tuple[str, int]:
    """Name and port of one of `XmppSettings.hosts`: `host`, `host:port` or `[address]:port`; and the account's port."""
    name, colon, given = host.rpartition(":")
    if colon and given.isdigit() and (name.startswith("[") or ":" not in name):
        return name.strip("[]"), int(given)
    return host.strip("[]"), port or _XMPP_PORT


def _server(value: str) -> str:
    if not 1 <= server_address(value, None)[1] <= _LAST_PORT:
        raise ValueError(f"has a port that is not from 1 to {_LAST_PORT}")
    return value


_Server = Annotated[_Name, AfterValidator(_server)]


class JibriSettings(Section):
    """How this instance appears to those who know Jibri: jicofo, the component sidecar, the autoscaler."""

    id: Annotated[str, Field(max_length=100)] = Field(
        default="",
        description="Name of this instance in webhooks and in the deployment's call statistics; `{number}` and "
        "`{host}` as in the brewery's nickname.",
    )
    single_use: bool = Field(
        default=False,
        description="Take one session, then none until the process is started anew: status EXPIRED, for autoscalers "
        "that throw machines away.",
    )
    outbound_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.~*+-]{0,32}$")] = Field(
        default="",
        description="Put before the user part of each address called, where the SIP provider routes by it. "
        "Jibri's default is `out_`.",
    )
    report_on: Literal["started", "answered"] = Field(
        default="started",
        description="When jicofo and webhooks are told that a session is on: once the meeting is joined and the INVITE "
        "is out (or a call is waited for), as Jibri does, or once the call is answered.",
    )
    internal_host: Annotated[str, Field(pattern=r"^(127(\.\d{1,3}){3}|localhost|::1)$")] = Field(
        default="127.0.0.1", description="Address of the internal API (shutdown, reload); loopback only."
    )
    internal_port: Port = Field(default=3333, description="Its TCP port. Default: 3333 + instance.number - 1.")


class MucSettings(Section):
    """A multi-user chat in which jicofo finds its instances: a brewery."""

    domain: _Name = Field(description="XMPP domain of the chat rooms, as in `internal.auth.meet.example.com`.")
    room: _Name = Field(description="Name of the room, as in `SipBrewery`.")
    nickname: _Name = Field(
        description="Name of this instance in it; each needs its own: `{number}` stands for the instance's number, "
        "`{host}` for the machine's name."
    )

    @property
    def jid(self) -> str:
        """Bare address of the room."""
        return f"{self.room}@{self.domain}"


class ControlLogin(Section):
    """An XMPP account."""

    domain: _Name = Field(description="XMPP domain of the account.")
    port: Port | None = Field(default=None, description="TCP port of the server, where it is not 5222.")
    username: _Name = Field(description="User part of the account.")
    password: SecretStr | None = Field(default=None, description="Its password; better in a file.")
    password_file: SecretFile | None = Field(default=None, description="File that holds its password.")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        one_of(self, "password", "password_file")
        if (self.password or self.password_file) is None:
            raise ValueError("needs password_file or password")
        return self

    @property
    def secret(self) -> SecretStr:
        """The password, wherever it was given."""
        secret = self.password or self.password_file
        assert secret is not None  # noqa: S101  (the validator has seen to it)
        return secret


class CallLogin(ControlLogin):
    """The XMPP account that the page logs in with when the session was ordered by this environment."""

    randomize_username: bool = Field(
        default=False,
        description="Append eight random characters to the user part; the server must accept that (shared secret).",
    )


class XmppSettings(Section):
    """An environment: a Jitsi deployment whose jicofo orders sessions over XMPP."""

    name: _Name = Field(description="Name of the environment, in logs and in the health API.")
    hosts: Annotated[tuple[_Server, ...], Field(min_length=1, strict=False)] = Field(
        description="XMPP servers, `host` or `host:port`; a connection is kept to each."
    )
    domain: _Name = Field(description="XMPP domain of the deployment, as in `meet.example.com`.")
    base_url: BaseUrl | None = Field(
        default=None, description="Where its web pages are. Default: `https://` and the domain."
    )
    control_login: ControlLogin = Field(description="Account for the control connection.")
    control_muc: MucSettings | None = Field(default=None, description="Brewery to enter.")
    sip_control_muc: MucSettings | None = Field(
        default=None, description="Another brewery to enter, as a Jibri does that records as well."
    )
    call_login: CallLogin | None = Field(
        default=None, description="Account with which the page enters meetings; without it, it enters as a guest."
    )
    strip_from_room_domain: str = Field(
        default="", description="What is left out of the domain of a room's address to get the web address."
    )
    usage_timeout_s: SecondsOrNever = Field(default=0.0, description="Longest session, seconds; 0 for no limit.")
    security: Literal["required", "if-possible", "disabled"] | None = Field(
        default=None,
        description="STARTTLS on the control connection; without it, `if-possible` never shows the password (SCRAM). "
        "Default: `if-possible` to this machine, else `required`.",
    )
    trust_any_certificate: bool = Field(
        default=False, description="Do not check the server's certificate: whoever sits between can read and write."
    )
    ca_file: LenientPath | None = Field(
        default=None, description="PEM file of the authorities to check it against. Default: the system's."
    )

    @model_validator(mode="after")
    def _has_a_brewery(self) -> Self:
        if self.control_muc is None and self.sip_control_muc is None:
            raise ValueError("needs control_muc or sip_control_muc: jicofo finds its instances there")
        return self

    @property
    def mucs(self) -> tuple[MucSettings, ...]:
        """The breweries to enter, each once."""
        found = {muc.jid.casefold(): muc for muc in (self.sip_control_muc, self.control_muc) if muc is not None}
        return tuple(found.values())


class WebhookToken(Section):
    """JWT (RFC 7519), RS256, that webhooks are sent with."""

    signing_key_file: LenientPath = Field(description="PEM file of the private RSA key.")
    kid: _Name = Field(description="Key id in the token's header.")
    issuer: _Name = Field(default="jibri", description="Claim `iss`.")
    audience: _Name = Field(default="jibri-queue", description="Claim `aud`.")
    ttl_s: Annotated[float, Field(ge=_MINUTES_10, le=86400)] = Field(
        default=3600.0, description="Validity, seconds; a new one is made in time."
    )


class WebhookSettings(Section):
    """Who is told by HTTP how this instance and its sessions stand."""

    subscribers: Annotated[tuple[BaseUrl, ...], Field(strict=False)] = Field(
        default=(), description="Base URLs; `/v1/status` and `/v1/session/status` are posted to below each."
    )
    timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(default=2.0, description="For one attempt, seconds.")
    retry_for_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=60.0, description="How long an undelivered message is tried again, seconds."
    )
    token: WebhookToken | None = Field(default=None, description="Token to show to subscribers.")


class MetricsSettings(Section):
    """Figures for monitoring."""

    prometheus: bool = Field(default=True, description="Whether `/metrics` is served beside the API.")
    statsd_host: str = Field(default="", description="Host that DogStatsD counters are sent to; empty: none are sent.")
    statsd_port: Port = Field(default=8125, description="Its UDP port.")
