"""Settings of how SIP and RTP get through routers that translate addresses, and of how names are resolved."""

import re
from ipaddress import ip_address
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from jibri_sip.config.types import SecretFile, Section, one_of


def _nameserver(value: str) -> str:
    match = re.fullmatch(r"(?:\[(?P<six>[^\]]+)\]|(?P<four>[0-9.]+)):(?P<port>\d{1,5})", value)
    try:
        ip_address((match["six"] or match["four"]) if match else value)
    except ValueError:
        raise ValueError(
            "must be an IP address, perhaps with a port, as in 192.0.2.53 or [2001:db8::53]:5353"
        ) from None
    return value


Nameserver = Annotated[str, AfterValidator(_nameserver)]


def _server(value: str) -> str:
    match = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", value)
    if match is None or not 1 <= int(match[1] or 1) <= 65535:  # noqa: PLR2004  (ports)
        raise ValueError("must be a host, perhaps with a port, as in stun.example.com:3478")
    return value


Server = Annotated[str, AfterValidator(_server)]


class TurnSettings(Section):
    """A TURN server (RFC 8656), which relays media that finds no other way. Needs `ice` in `[sip.network]`."""

    server: Server | None = Field(
        default=None, description="Host, perhaps with a port, as in `turn.example.com:3478`. Default: none."
    )
    transport: Literal["udp", "tcp"] = Field(default="udp", description="How the server is spoken to.")
    user: Annotated[str, Field(pattern=r"^[^\s\"]*$")] = Field(default="", description="User name at the server.")
    password: SecretStr | None = Field(default=None, description="Password at the server; better in a file.")
    password_file: SecretFile | None = Field(default=None, description="File that holds the password at the server.")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        one_of(self, "password", "password_file")
        return self

    @property
    def secret(self) -> SecretStr:
        """The password; empty for none."""
        return self.password or self.password_file or SecretStr("")


class NetworkSettings(Section):
    """Routers that translate addresses, and names. See docs/networks.md."""

    nameservers: Annotated[tuple[Nameserver, ...], Field(strict=False)] = Field(
        default=(), description="Addresses of DNS servers, perhaps with a port. Default: those of `/etc/resolv.conf`."
    )

    media_from: Literal["peer", "network", "anywhere"] = Field(
        default="peer",
        description="Whose media is taken, and where media then goes (symmetric RTP): of the addresses that the peer's "
        "SIP and SDP came with, of their networks too (/24, /64), or of whoever sends it to the right port.",
    )
    stun_server: Server | None = Field(
        default=None,
        description="STUN server (RFC 8489), as in `stun.example.com:3478`; what address and ports it sees are told to "
        "peers, and followed when they change. Default: none.",
    )
    ice: bool = Field(
        default=False, description="Whether media finds its way by ICE (RFC 8445), with peers that can do it, too."
    )
    turn: TurnSettings = Field(default_factory=TurnSettings, description="Relay for media.")
    keep_alive_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=25,
        description="A CRLF is sent so often on SIP connections and, while an account is registered, by UDP to its "
        "registrar, so that routers keep the way back open. Seconds; 0 for never.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.turn.server is not None and not self.ice:
            raise ValueError("turn.server is of use with ice = true only")
        return self
