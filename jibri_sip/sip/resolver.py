"""Where the servers of a SIP address are (RFC 3263): NAPTR, SRV, and the addresses of hosts.

PJSIP's own resolver knows no NAPTR, and none of it goes on to the next server where one is silent.
"""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal, TypeAlias

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
import structlog

from jibri_sip.sip.settings import SipSettings

log = structlog.get_logger(__name__)

Transport: TypeAlias = Literal["udp", "tcp", "tls"]

DOWN_S = 60.0
"""How long a server that was silent is asked last."""
_LIFETIME_S = 3.0
"""Of one question to DNS. A call must not wait for a dead nameserver for long."""
_V4 = 4
_PORTS: dict[Transport, int] = {"udp": 5060, "tcp": 5060, "tls": 5061}
_SRV: dict[Transport, str] = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_NAPTR: dict[str, Transport] = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}
_SEE = "See sip.network.nameservers and /etc/resolv.conf."
_MOST_SERVERS = 16
_MOST_NAMES = 256


@dataclass(frozen=True)
class Server:
    """One way to reach a SIP server."""

    address: str
    port: int
    transport: Transport


@dataclass(frozen=True)
class Target:
    """What a SIP address says of where to go.

    Attributes:
        host: name or IP address.
        port: port; None where the address has none.
        transport: transport; None where the address leaves it to us. A `sips` address wants `tls`.
    """

    host: str
    port: int | None = None
    transport: Transport | None = None


class Resolver:
    """Resolves, and remembers which servers were silent. Lives in the event loop.

    Args:
        nameservers: `address` or `address:port`; none for those of /etc/resolv.conf.
        transports: those that we speak, the one to try first where an address leaves it to us first.
        version: of IP.
        now: clock, seconds.
    """

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        transports: Sequence[Transport] = ("udp", "tcp", "tls"),
        version: Literal[4, 6] = 4,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dns = _dns(nameservers)
        self._own_nameservers = bool(nameservers)
        self._transports = transports
        self._version = version
        self._now = now
        self._known: dict[str, list[Server]] = {}
        self._down: dict[Server, float] = {}

    async def resolve(self, target: Target) -> list[Server]:
        """The servers of an address, in the order that they are to be tried in; none if there are none."""
        if is_ip(target.host):
            return self.literal(target)
        found = list(dict.fromkeys(await self._find(target)))[:_MOST_SERVERS]
        if len(self._known) >= _MOST_NAMES:
            self._known.clear()
        self._known[target.host] = found
        if not found:
            log.warning("name_not_resolved", host=target.host, remedy=_SEE)
        return self._in_order(found)

    async def addresses(self, server: str) -> list[str]:
        """IP addresses of `host` or `host:port`; none if there are none, which is logged."""
        host = re.sub(r":\d+$", "", server) if server.count(":") == 1 or "]" in server else server
        if is_ip(host):
            return [host.strip("[]")]
        found = [one.address for one in await self._hosts(host, 0, "udp")]
        if not found:
            log.warning("name_not_resolved", host=host, remedy=_SEE)
        return found

    def literal(self, target: Target) -> list[Server]:
        """The server of an address whose host is an IP address."""
        transport = target.transport or "udp"
        return [Server(target.host.strip("[]"), target.port or _PORTS[transport], transport)]

    def give_up(self, host: str) -> bool:
        """Ask the server of this name that is asked first last for a while; says whether another comes first now."""
        servers = self._in_order(self._known.get(host, []))
        fresh = [server for server in servers if not self._is_down(server)]
        if len(fresh) < 2:  # noqa: PLR2004  (the one that was asked, and another)
            return False
        self._down[fresh[0]] = self._now() + DOWN_S
        log.warning("sip_server_silent", host=host, server=fresh[0], next=fresh[1], for_s=DOWN_S)
        return True

    def _is_down(self, server: Server) -> bool:
        return self._down.get(server, 0.0) > self._now()

    def _in_order(self, servers: list[Server]) -> list[Server]:
        self._down = {server: until for server, until in self._down.items() if until > self._now()}
        return sorted(servers, key=self._is_down)

    async def _find(self, target: Target) -> list[Server]:
        if target.port is not None:
            # RFC 3263 section 4.2: a port says it all.
            return await self._hosts(target.host, target.port, target.transport or "udp")
        # A name without a dot is a matter of this machine alone.
        if "." in target.host.rstrip("."):
            for transport, services in await self._services(target):
                if servers := await self._each(services, transport):
                    return servers
        transport = target.transport or "udp"
        return await self._hosts(target.host, _PORTS[transport], transport)

    async def _services(self, target: Target) -> list[tuple[Transport, list[Any]]]:
        """SRV records, and what is spoken there, the best first (RFC 3263 section 4.1)."""
        wanted = [target.transport] if target.transport else [one for one in self._transports if one != "tls"]
        # All at once: where there are none, each answer may take its time.
        pointers, *records = await asyncio.gather(
            self._ask(target.host, "NAPTR"),
            *(self._ask(f"{_SRV[transport]}.{target.host}", "SRV") for transport in wanted),
        )
        services: list[tuple[Transport, list[Any]]] = []
        for pointer in pointers if target.transport is None else ():
            transport = _NAPTR.get(pointer.service.decode("ascii", "replace").upper())
            if transport is not None and transport in self._transports and pointer.flags.lower() == b"s":
                services.append((transport, await self._ask(pointer.replacement.to_text(), "SRV")))
        return services or list(zip(wanted, records, strict=True))

    async def _each(self, services: list[Any], transport: Transport) -> list[Server]:
        servers: list[Server] = []
        for record in services:
            name = record.target.to_text(omit_final_dot=True)
            # A dot alone says that there is no such service (RFC 2782).
            if name not in {"", "."}:
                servers += await self._hosts(name, record.port, transport)
        return servers

    async def _hosts(self, name: str, port: int, transport: Transport) -> list[Server]:
        if is_ip(name):
            return [Server(name, port, transport)]
        addresses: list[str] = []
        if self._own_nameservers:
            addresses = [record.address for record in await self._ask(name, "A" if self._version == _V4 else "AAAA")]
        # Those of /etc/hosts and of the machine's other sources, too.
        return [Server(address, port, transport) for address in addresses or await self._system(name)]

    async def _system(self, name: str) -> list[str]:
        family = socket.AF_INET if self._version == _V4 else socket.AF_INET6
        try:
            async with asyncio.timeout(_LIFETIME_S):
                found = await asyncio.get_running_loop().getaddrinfo(name, None, family=family, type=socket.SOCK_DGRAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            log.debug("getaddrinfo_failed", name=name, reason=str(error))
            return []
        return [str(address[0]) for *_, address in found]

    async def _ask(self, name: str, kind: str) -> list[Any]:
        """The records in the order that RFC 2782 and RFC 3403 ask for; none for any failure."""
        try:
            answer = await self._dns.resolve(name, kind, search=False, raise_on_no_answer=False)
        except dns.exception.DNSException as error:
            log.debug("dns_failed", name=name, kind=kind, reason=str(error))
            return []
        if answer.rrset is None:
            return []
        return list(answer.rrset.processing_order())


def resolver_for(settings: SipSettings) -> Resolver:
    """One that knows the nameservers and speaks what the settings say."""
    transports: list[Transport] = ["udp"]
    if settings.tcp:
        transports.append("tcp")
    if settings.tls is not None:
        transports.append("tls")
    version: Literal[4, 6] = 6 if ":" in settings.host else 4
    return Resolver(settings.network.nameservers, transports, version)


def _dns(nameservers: Sequence[str]) -> dns.asyncresolver.Resolver:
    try:
        resolver = dns.asyncresolver.Resolver(configure=not nameservers)
    except dns.resolver.NoResolverConfiguration:
        # No DNS on this machine: /etc/hosts may do.
        resolver = dns.asyncresolver.Resolver(configure=False)
    if nameservers:
        resolver.nameservers = [_nameserver(text) for text in nameservers]
    resolver.lifetime = _LIFETIME_S
    resolver.timeout = _LIFETIME_S / 2
    resolver.cache = dns.resolver.LRUCache(_MOST_NAMES)
    return resolver


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    host, colon, port = text.rpartition(":")
    if is_ip(text) or not colon:
        return dns.nameserver.Do53Nameserver(text.strip("[]"))
    return dns.nameserver.Do53Nameserver(host.strip("[]"), int(port))


def is_ip(host: str) -> bool:
    """Whether a host is an IP address, perhaps in brackets."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
