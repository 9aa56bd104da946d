"""The ports that the gateway listens on."""

import errno
import socket
from collections.abc import Iterator

from jibri_sip.config.model import Settings
from jibri_sip.doctor.finding import Finding, Patient, ok, wrong
from jibri_sip.errors import AddressUnavailable, PortInUse

_CHECK = "ports"
_Address = tuple[int, str, int]
_TAKEN_RTP = 10
"""As many taken ports of media do no harm: a call takes the next."""


async def examine(patient: Patient) -> list[Finding]:
    """They are free; where a gateway runs they are its own."""
    sip = patient.settings.sip
    if patient.running is not None:
        return [ok(_CHECK, f"SIP is listened for on {', '.join(patient.running.sip)}")]
    findings = [finding for address in _listened(patient.settings) if (finding := _problem(*address)) is not None]
    rtp = [(socket.SOCK_DGRAM, sip.host, port) for port in range(sip.rtp_port_first, sip.rtp_port_last + 1)]
    taken = [finding for address in rtp if (finding := _problem(*address)) is not None]
    if len(taken) > _TAKEN_RTP and not findings:
        range_ = f"{len(taken)} of the ports for media from {sip.rtp_port_first} to {sip.rtp_port_last}"
        findings.append(wrong(_CHECK, f"{range_} cannot be had", taken[0].remedy))
    if findings:
        return findings
    return [ok(_CHECK, f"SIP {sip.host}:{sip.port}, its media and the APIs' can be had")]


def _listened(settings: Settings) -> Iterator[_Address]:
    sip, api, jibri = settings.sip, settings.api, settings.jibri
    yield socket.SOCK_DGRAM, sip.host, sip.port
    if sip.tcp:
        yield socket.SOCK_STREAM, sip.host, sip.port
    if sip.tls.enabled:
        yield socket.SOCK_STREAM, sip.host, sip.tls_port
    yield socket.SOCK_STREAM, api.host, api.port
    yield socket.SOCK_STREAM, jibri.internal_host, jibri.internal_port


def _problem(kind: int, host: str, port: int) -> Finding | None:
    """What keeps us from listening there, as the gateway itself would say it."""
    name = f"{'udp' if kind == socket.SOCK_DGRAM else 'tcp'} {host}:{port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            if kind == socket.SOCK_STREAM:
                probe.listen()
    except OSError as error:
        found = PortInUse(name) if error.errno == errno.EADDRINUSE else AddressUnavailable(f"{name}: {error.strerror}")
        return wrong(_CHECK, found.message, found.remedy)
    return None
