"""This machine's own address, and the news that it is another one."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable
from typing import Literal

import structlog

from jibri_sip.sip.settings import SipSettings

log = structlog.get_logger(__name__)

EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  (compared with, not bound to)
_GROUPS = 0x10 | 0x100
"""RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR (`man 7 rtnetlink`): addresses come and go."""
_SETTLE_S = 0.5
"""After the last of several changes; a link that comes up gets its routes after its address."""
_LOOK_EVERY_S = 10.0
"""Routes change without news of addresses."""
_SOMEWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Of networks for documentation (RFC 5737, RFC 3849). Nothing is sent there."""


def own_address(version: Literal[4, 6]) -> str | None:
    """The address that packets to the internet leave from; None without a route there."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6  # noqa: PLR2004  (of IP)
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_SOMEWHERE[version], 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def told_address(settings: SipSettings) -> str:
    """The address to tell peers, where it is not the one that we listen on; else empty.

    PJSIP finds one by itself, but asks DNS for the machine's name first, and stands still until DNS answers. Where a
    STUN server is to say, it does.
    """
    if settings.public_address or settings.host not in EVERY_ADDRESS or settings.network.stun_server:
        return settings.public_address or ""
    return own_address(6 if ":" in settings.host else 4) or ""


def with_port(server: str, port: int) -> str:
    """The server with this port if it has none."""
    return server if re.search(r"(?:^[^:]+|\]):\d+$", server) else f"{server}:{port}"


class AddressWatch:
    """Tells when the own address is another, or is back after there was none. Lives in the event loop.

    Args:
        version: of IP.
        on_change: told the address, and whether it is another than before.
    """

    def __init__(self, version: Literal[4, 6], on_change: Callable[[str, bool], None]) -> None:
        self._version = version
        self._on_change = on_change
        self._last: str | None = None
        self._lost = False
        self._netlink: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Watch from now on."""
        self._loop = asyncio.get_running_loop()
        self._last = own_address(self._version)
        # Containers without netlink are looked at from time to time.
        with contextlib.suppress(OSError):
            netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
            netlink.bind((0, _GROUPS))
            self._netlink = netlink
            self._loop.add_reader(netlink, self._hear)
        self._look_in(_LOOK_EVERY_S)

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._netlink is not None:
            self._loop.remove_reader(self._netlink)
            self._netlink.close()
            self._netlink = None

    def _hear(self) -> None:
        if self._netlink is None:
            return
        # What changed is of no interest, nor whether so much did that the news were lost (ENOBUFS).
        with contextlib.suppress(OSError):
            self._netlink.recv(65536)
        self._look_in(_SETTLE_S)

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._look_in(_LOOK_EVERY_S)
        now = own_address(self._version)
        if now is None:
            if not self._lost:
                log.warning("network_lost", address=self._last)
            self._lost = True
            return
        before, self._last = self._last, now
        was_lost, self._lost = self._lost, False
        if now != before or was_lost:
            log.warning("network_changed", address=now, before=before)
            self._on_change(now, now != before)
