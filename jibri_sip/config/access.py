"""Settings of who may call in, and of what happens to those who try too much."""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from jibri_sip.config.types import SecretFile, Section


def _network(value: str) -> str:
    try:
        ip_network(value)
    except ValueError as error:
        raise ValueError(f"must be an address or a network like 192.0.2.0/24: {error}") from None
    return value


def _domain(value: str) -> str:
    if re.fullmatch(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", value) is None:
        raise ValueError("must be a domain like example.com, or *.example.com for all below it")
    return value.lower()


Network = Annotated[str, AfterValidator(_network)]
Domain = Annotated[str, AfterValidator(_domain)]


class AccessSettings(Section):
    """Who may call in. Read docs/security.md before SIP is opened to the internet."""

    trusted_proxies: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        default=("127.0.0.1", "::1"),
        description="Addresses and networks of SIP proxies and SBCs that have checked who calls: nothing of this "
        "section is asked of what they send.",
    )
    dispatchers: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        default=(),
        description="Addresses and networks of proxies that only pass calls on, as Kamailio of `[proxy]` does: what "
        "they send is judged by the address that they have it from, as their Via tells. Default: none, or loopback "
        "behind the proxy.",
    )
    allow_addresses: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        default=(), description="Addresses and networks that may call; others hear nothing. Default: all."
    )
    allow_domains: Annotated[tuple[Domain, ...], Field(strict=False)] = Field(
        default=(),
        description="Domains of callers (From) that may call, `*.example.com` for all below one; others get 403. "
        "Callers write there what they like: combine it with users_file or trusted_proxies. Default: all.",
    )
    users_file: SecretFile | None = Field(
        default=None,
        description="File with a line `user:password` for each who may call; callers must then log in (digest).",
    )
    realm: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = Field(
        default="jibri-sip", description="Realm that callers log in to."
    )
    requests_per_minute: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=120, description="Requests outside of calls that an address may send in a minute; then it is banned."
    )
    calls_per_minute: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=60, description="Calls that come in within a minute, from all together; more get 503 with Retry-After."
    )
    failures: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="Failed logins, or requests that only a registrar has answers to, until a ban."
    )
    ban_s: Annotated[float, Field(ge=0, le=7 * 86400)] = Field(
        default=600.0, description="How long an address is ignored. Seconds; 0 for no bans."
    )

    @model_validator(mode="after")
    def _readable_users(self) -> Self:
        if self.users_file is not None:
            for number, line in enumerate(_lines(self.users_file), 1):
                if line and re.fullmatch(r"[^:\s\"\\]+:.+", line) is None:
                    raise ValueError(f"line {number} of users_file is not user:password")
            if not self.users:
                raise ValueError("users_file names no user")
        return self

    @property
    def users(self) -> Mapping[str, SecretStr]:
        """Passwords by user."""
        lines = _lines(self.users_file) if self.users_file is not None else []
        pairs = (line.partition(":") for line in lines if line)
        return {user: SecretStr(password) for user, _, password in pairs}


def _lines(file: SecretStr) -> list[str]:
    """The lines; empty where they say nothing."""
    lines = file.get_secret_value().splitlines()
    return ["" if line.startswith("#") else line.rstrip("\r\n") for line in lines]
