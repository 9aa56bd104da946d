"""Settings of the SIP proxy in front of the instances."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from jibri_sip.config.types import Port, Section

_MOST_PORT = 65535
_LONGEST_WAIT_S = 120
"""Callers' own proxies give up after three minutes (RFC 3261, timer C), set-up included."""


def _instance(value: str) -> str:
    match = re.fullmatch(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", value)
    if match is None or not 1 <= int(match[2]) <= _MOST_PORT:
        raise ValueError("must be host:port, as in 192.0.2.11:5060 or [2001:db8::11]:5060")
    return value


InstanceAddress = Annotated[str, AfterValidator(_instance)]


class ProxySettings(Section):
    """Kamailio in front of the instances: one SIP address for as many calls as there are instances.

    `jibri-sip config proxy` makes Kamailio's configuration of it; the appliance does so at each start.
    """

    enabled: bool = Field(
        default=False,
        description="Whether it stands in front of this machine's instances. On an appliance: as soon as there are "
        "two of them.",
    )
    port: Port = Field(default=5060, description="UDP and TCP port on which it takes calls, at `sip.host`.")
    tls_port: Port = Field(default=5061, description="TLS port, if `sip.tls.enabled`.")
    wait_s: int = Field(
        default=0,
        ge=0,
        le=_LONGEST_WAIT_S,
        description="How long a caller waits for an instance while all are busy, hearing 182 Queued; then, or at once "
        "where this is 0, it is told that they are (486). Up to 12 instances.",
    )
    instances: Annotated[tuple[InstanceAddress, ...], Field(strict=False)] = Field(
        default=(),
        description='Instances on other machines that it sends calls to as well, as in `["192.0.2.11:5060"]`: their '
        "`sip.host` and `sip.port`. Let them trust it (`sip.access.trusted_proxies`).",
    )
