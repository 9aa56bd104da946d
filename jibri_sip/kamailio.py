"""What Kamailio, as the proxy in front of the instances, has to know: where to listen, whom to send calls to.

How it goes about it stands in a file that is the same everywhere, packer/rootfs/usr/share/jibri-sip/kamailio.cfg.
"""

import ipaddress
import json
import math
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from jibri_sip.config.model import Settings
from jibri_sip.errors import ConfigInvalid
from jibri_sip.sip.guard import SCANNERS
from jibri_sip.sip.self_signed import self_signed

ROUTING = Path("/usr/share/jibri-sip/kamailio.cfg")
"""Where the appliance has the part that is the same everywhere."""
MOST_INSTANCES = 30
"""Kamailio asks no more than so many in turn about one call (its `max_branches`)."""
MOST_WAITING = 12
"""So many may be behind a proxy whose callers wait: `max_branches` has to last for the steps of waiting, too."""
_DEBIAN_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  (compared with, not bound to)
_TLS = """\
[server:default]
method = TLSv1.2+
certificate = {certificate}
private_key = {key}
verify_certificate = no
require_certificate = no

[client:default]
method = TLSv1.2+
certificate = {certificate}
private_key = {key}
verify_certificate = {verify}
require_certificate = {verify}
ca_list = {authorities}
"""


def render(instances: Sequence[Settings], directory: Path, routing: Path) -> Mapping[str, str]:
    """The files for Kamailio, by name.

    Args:
        instances: settings of each instance of this machine.
        directory: where the files will lie.
        routing: the part that is the same everywhere.

    Raises:
        ConfigInvalid: the instances would be in each other's way, or are too many.
        OSError: a certificate of its own can be written neither to the state directory nor to this one.
    """
    first = instances[0]
    targets = [*_own(instances), *first.proxy.instances]
    if len(targets) > MOST_INSTANCES:
        raise ConfigInvalid(
            f"{len(targets)} instances are too many for one proxy",
            remedy=f"Give it up to {MOST_INSTANCES}; a DNS SRV record spreads calls over several proxies (RFC 3263).",
        )
    files = {
        "kamailio.cfg": "\n".join(
            (
                *_main(first, directory),
                *_waiting(first.proxy.wait_s, len(targets)),
                f"include_file {json.dumps(str(routing))}",
            )
        )
        + "\n",
        "instances.list": "".join(f"1 sip:{target};transport=tcp\n" for target in targets),
    }
    if first.sip.tls.enabled:
        own = None
        if first.sip.tls.certificate_file is None:
            own = self_signed(first.instance.state_dir / "tls", directory)
        files["tls.cfg"] = _TLS.format(
            certificate=own or first.sip.tls.certificate_file,
            key=own or first.sip.tls.key_file,
            verify="yes" if first.sip.tls.verify_peer else "no",
            authorities=first.sip.tls.ca_file or ssl.get_default_verify_paths().cafile or _DEBIAN_AUTHORITIES,
        )
    return files


def _own(instances: Sequence[Settings]) -> Iterator[str]:
    """`host:port` of this machine's instances."""
    ports: set[int] = {instances[0].proxy.port}
    for settings in instances:
        if settings.sip.port in ports:
            raise ConfigInvalid(
                f"sip.port {settings.sip.port} is used twice",
                remedy="Leave sip.port away: it follows from the instance's number. The proxy's is proxy.port.",
            )
        if not settings.sip.tcp:
            raise ConfigInvalid("the proxy speaks TCP to the instances", remedy="Leave sip.tcp at true.")
        ports.add(settings.sip.port)
        host = settings.sip.signalling_host or settings.sip.host
        yield f"{_bracketed('127.0.0.1' if host in _EVERY_ADDRESS else host)}:{settings.sip.port}"


def _waiting(wait_s: int, instances: int) -> Iterator[str]:
    """How callers wait while all instances are busy: each step, and each instance that is asked, takes a branch."""
    if not wait_s:
        return
    if instances > MOST_WAITING:
        raise ConfigInvalid(
            f"callers cannot wait (proxy.wait_s) for one of {instances} instances",
            remedy=f"Give a proxy up to {MOST_WAITING}, or leave proxy.wait_s away.",
        )
    step_s = math.ceil(wait_s / (MOST_INSTANCES - 2 * max(instances, 1)))
    yield "#!define WITH_WAITING"
    # Time for a step to be late on a machine that is busy.
    for name, value in (("WAITING_S", wait_s), ("STEP_S", step_s), ("STEP_MS", (step_s + 20) * 1000)):
        yield f'#!substdef "!{name}!{value}!g"'


def _main(settings: Settings, directory: Path) -> Iterator[str]:
    proxy, access = settings.proxy, settings.sip.access
    addresses = list(_addresses(settings.sip.host))
    told = settings.sip.public_address or addresses[0]
    yield "#!KAMAILIO"
    yield "# Made by `jibri-sip config proxy` at each start; what it says comes from jibri-sip.toml."
    yield from (
        f"#!define {name} {value}"
        for name, value in (
            ("LIST_FILE", json.dumps(str(directory / "instances.list"))),
            ("CONTROL", json.dumps(f"unix:{directory / 'control'}")),
            ("TRUSTED", _is_from(access.trusted_proxies) or "msg:len < 0"),
            ("ALLOWED", _is_from(access.allow_addresses) or "msg:len > 0"),
            ("REQUESTS_PER_MINUTE", access.requests_per_minute),
            ("FAILURES", access.failures),
            ("SCANNERS", json.dumps(f"({SCANNERS})")),
        )
    )
    # Those that stand within text.
    for name, value in (
        ("OUTSIDE_TLS", f"{_bracketed(told)}:{proxy.tls_port}"),
        ("OUTSIDE", f"{_bracketed(told)}:{proxy.port}"),
        ("BAN_S", round(access.ban_s)),
    ):
        yield f'#!substdef "!{name}!{value}!g"'
    if not access.ban_s:
        yield "#!define NO_BANS"
    if settings.sip.tls.enabled:
        yield "#!define WITH_TLS"
        yield f"#!define TLS_FILE {json.dumps(str(directory / 'tls.cfg'))}"
    for address in dict.fromkeys((*addresses, "127.0.0.1")):
        yield from _listen(settings, address, told=told if address == addresses[0] else address)


def _listen(settings: Settings, address: str, *, told: str) -> Iterator[str]:
    proxy = settings.proxy
    kinds = [("udp", proxy.port), ("tcp", proxy.port)]
    if settings.sip.tls.enabled:
        kinds.append(("tls", proxy.tls_port))
    for kind, port in kinds:
        advertised = f" advertise {_bracketed(told)}:{port}" if told != address else ""
        yield f"listen={kind}:{_bracketed(address)}:{port}{advertised}"


def _addresses(host: str) -> Iterator[str]:
    """The addresses to listen on: Kamailio writes each into what it sends, so the wildcard is none.

    Raises:
        ConfigInvalid: this machine has none.
    """
    if host not in _EVERY_ADDRESS:
        yield host
        return
    found = [
        ipaddress.ip_address(address.address)
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family in (socket.AF_INET, socket.AF_INET6) and "%" not in address.address
    ]
    usable = [address for address in found if not address.is_loopback and not address.is_link_local]
    if not usable:
        raise ConfigInvalid("this machine has no network address", remedy="See that its network is up (`ip address`).")
    yield from (str(address) for address in sorted(usable, key=lambda address: address.version))


def _is_from(networks: Sequence[str]) -> str:
    """A condition of Kamailio's: the sender is in one of these networks; empty for none."""
    return " || ".join(f"src_ip=={ipaddress.ip_network(network)}" for network in networks)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
