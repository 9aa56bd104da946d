"""The sockets: where SIP listens, and the DSCP marks of all that leaves (RFC 4594)."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NoReturn

import pjsua2 as pj
import psutil
import structlog

from jibri_sip.errors import AddressUnavailable, FileUnreadable, GatewayError, PortInUse
from jibri_sip.sip.addresses import told_address
from jibri_sip.sip.certificates import system_authorities
from jibri_sip.sip.self_signed import self_signed
from jibri_sip.sip.sending import limit_connections
from jibri_sip.sip.settings import SipSettings, Tls

log = structlog.get_logger(__name__)

_OS_ERRORS = 120_000
"""PJSIP's status for errno N is this plus N (PJ_ERRNO_START_SYS)."""
_TCP_CONNECT_S = 0.7
"""How long a request that is too large for UDP waits for a TCP connection, before it goes by UDP after all."""
_TCP_ANSWER_S = 0.9
"""How long it waits for any answer by TCP."""
_NEXT_SERVER_S = 3.5
"""How long a request waits for a connection before it goes to the next server, as it waits for an answer by UDP."""
_DSCP_SHIFT = 2
"""The DSCP is the upper six bits of the IP header's octet."""


@dataclass(frozen=True)
class Ports:
    """Where the endpoint listens; None where it does not.

    Attributes:
        udp: its UDP port.
        tcp: its TCP port.
        tls: its TLS port.
        address: `host:port` that peers are told.
    """

    udp: int
    tcp: int | None
    tls: int | None
    address: str

    @property
    def uri(self) -> str:
        """Our own address, where a call has no other to be from."""
        return f"sip:jibri-sip@{self.address}"

    @property
    def secure_uri(self) -> str:
        """The same for calls by `sips`."""
        return f"sips:jibri-sip@{self.address.rpartition(':')[0]}:{self.tls}"

    def at(self, host: str, port: int) -> "Ports":
        """The same ports, told by another IP address and port."""
        host = f"[{host}]" if ":" in host else host
        return replace(self, address=f"{host}:{port}")


def dscp(value: int) -> pj.pj_qos_params:
    """PJSIP's way to say a DSCP mark."""
    params = pj.pj_qos_params()
    params.flags = pj.PJ_QOS_PARAM_HAS_DSCP
    params.dscp_val = value
    return params


def listen(endpoint: pj.Endpoint, settings: SipSettings, *, port: int = 0) -> Ports:
    """Open the sockets that `settings` asks for.

    Args:
        endpoint: PJSIP.
        settings: where to listen.
        port: the UDP and TCP port where the other version of IP has it already; 0 for that of the settings.

    Raises:
        PortInUse: another program has one of the ports.
        AddressUnavailable: this machine does not have the address.
    """
    host = settings.signalling_host or settings.host
    port = port or settings.port or _free_port(host)
    # Behind a router the port that it names is the router's.
    _, address = _create(endpoint, pj.PJSIP_TRANSPORT_UDP, _config(settings, port), host)
    tcp = tls = None
    if settings.tcp:
        listener, where = _create(endpoint, pj.PJSIP_TRANSPORT_TCP, _config(settings, port), host)
        tcp = _port(where)
        limit_connections(listener, _TCP_CONNECT_S, _TCP_ANSWER_S, _NEXT_SERVER_S)
    if settings.tls is not None:
        config = _config(settings, settings.tls.port)
        _add_tls(config.tlsConfig, settings.tls)
        tls = _port(_create(endpoint, pj.PJSIP_TRANSPORT_TLS, config, host)[1])
    return Ports(port, tcp, tls, _bracketed(address))


def _free_port(host: str) -> int:
    """A number that is free for both UDP and TCP, for contact is one address for both."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family, socket.SOCK_DGRAM) as udp, socket.socket(family) as tcp:
            try:
                udp.bind((host, 0))
            except OSError as error:
                raise AddressUnavailable(f"{host}: {error.strerror}") from None
            port: int = udp.getsockname()[1]
            with contextlib.suppress(OSError):
                tcp.bind((host, port))
                return port


def _bracketed(address: str) -> str:
    """`host:port` as it stands in a URI (RFC 3261 section 25.1); PJSIP writes IPv6 addresses without brackets."""
    host, _, port = address.rpartition(":")
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else address


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _config(settings: SipSettings, port: int) -> pj.TransportConfig:
    config = pj.TransportConfig()
    config.port = port
    config.boundAddress = settings.signalling_host or settings.host
    # A proxy reaches us where we are, and tells the peers of itself.
    config.publicAddress = "" if settings.signalling_host else told_address(settings)
    config.qosParams = dscp(settings.dscp_signalling)
    return config


def _add_tls(config: pj.TlsConfig, tls: Tls) -> None:
    for path in (tls.certificate, tls.key, tls.authorities):
        if path is not None and not os.access(path, os.R_OK):
            raise FileUnreadable(str(path))
    certificate, key = tls.certificate, tls.key
    if certificate is None and tls.self_signed is not None:
        certificate = key = self_signed(tls.self_signed)
    config.certFile = str(certificate or "")
    config.privKeyFile = str(key or "")
    # PJSIP knows of no authorities by itself, and would refuse every server.
    config.CaListFile = str(tls.authorities or system_authorities())
    config.verifyServer = tls.verify_peer
    # Connection and handshake together, of either side's.
    config.msecTimeout = round(_NEXT_SERVER_S * 1000)
    config.proto = pj.PJ_SSL_SOCK_PROTO_TLS1_2 | pj.PJ_SSL_SOCK_PROTO_TLS1_3


def _create(endpoint: pj.Endpoint, kind: int, config: pj.TransportConfig, host: str) -> tuple[int, str]:
    names = {pj.PJSIP_TRANSPORT_UDP: "UDP", pj.PJSIP_TRANSPORT_TCP: "TCP", pj.PJSIP_TRANSPORT_TLS: "TLS"}
    try:
        transport = endpoint.transportCreate(kind | pj.PJSIP_TRANSPORT_IPV6 if ":" in host else kind, config)
    except pj.Error as error:
        _explain(error, f"{names[kind]} port {config.port} on {host}")
    return transport, endpoint.transportGetInfo(transport).localName


def _explain(error: pj.Error, where: str) -> NoReturn:
    reasons: dict[int, Callable[[str], GatewayError]] = {
        errno.EADDRINUSE: PortInUse,
        errno.EADDRNOTAVAIL: AddressUnavailable,
    }
    kind = reasons.get(error.status - _OS_ERRORS)
    if kind is not None:
        raise kind(where) from None
    raise AddressUnavailable(f"{where}: {error.reason}") from None


def explain_media(error: pj.Error, settings: SipSettings) -> None:
    """Say what is wrong where a call could not have its sockets.

    Raises:
        PortInUse: all ports for media are taken.
    """
    if error.status - _OS_ERRORS == errno.EADDRINUSE:
        raise PortInUse(f"UDP ports {settings.rtp_port_first} to {settings.rtp_port_last}, for media") from None


def sockets_between(first: int, last: int) -> list[int]:
    """File descriptors of this process' UDP sockets with a port of that range."""
    connections = psutil.Process().net_connections("udp")
    return [one.fd for one in connections if one.laddr and first <= one.laddr.port <= last]


def mark_media(fds: Iterable[int], value: int) -> None:
    """Set the DSCP mark of these sockets.

    An account of PJSIP has one mark for all its media; picture and sound want one each.
    """
    for fd in fds:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as ours:
            if ours.family == socket.AF_INET6:
                ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, value << _DSCP_SHIFT)
            else:
                ours.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, value << _DSCP_SHIFT)
