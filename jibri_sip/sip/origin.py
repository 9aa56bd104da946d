"""Where a request really came from, when a proxy of ours has passed it on."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address

_VIA = re.compile(r"(?im)^(?:via|v)[ \t]*:[ \t]*((?:[^\r\n]|\r?\n[ \t])*)")
_SENT_BY = re.compile(r"SIP\s*/\s*2\.0\s*/\s*\w+\s+(\[[^\]]+\]|[^\s:;,]+)", re.IGNORECASE)
_RECEIVED = re.compile(r";\s*received\s*=\s*\[?([0-9A-Fa-f.:]+)", re.IGNORECASE)
_MOST_HOPS = 10


def origin(message: str, source: str, dispatchers: Iterable[IPv4Network | IPv6Network]) -> str:
    """The address that a message came from, beyond the dispatchers that it passed.

    Each Via but the first tells where the one above it had the message from: in `received`, which the receiver writes
    (RFC 3261 section 18.2.1), else it is `sent-by`.

    Args:
        message: the whole of it.
        source: the address that we have it from.
        dispatchers: whose Via fields are believed.

    Returns:
        `source` where that is no dispatcher, or has it from nobody.
    """
    believed = list(dispatchers)
    address = source
    for hop in list(_hops(message))[1:_MOST_HOPS]:
        if not any(ip_address(address) in network for network in believed):
            break
        # The last one: what comes before it, the sender wrote.
        received = _RECEIVED.findall(hop)
        sent_by = _SENT_BY.match(hop)
        found = received[-1] if received else sent_by[1].strip("[]") if sent_by else ""
        try:
            address = str(ip_address(found))
        except ValueError:
            break
    return address


def _hops(message: str) -> Iterator[str]:
    """The Via values, the nearest first."""
    head = re.split(r"\r?\n\r?\n", message, maxsplit=1)[0]
    for field in _VIA.findall(head):
        yield from (value.strip() for value in field.split(","))
