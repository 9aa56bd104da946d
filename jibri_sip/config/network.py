"""Settings of how SIP and RTP get through routers that translate addresses, and of how names are resolved."""

import re
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from jibri_sip.config.types import Section


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
    keep_alive_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=25,
        description="A CRLF is sent so often on SIP connections and, while an account is registered, by UDP to its "
        "registrar, so that routers keep the way back open. Seconds; 0 for never.",
    )
