"""What systemd is told, where it has started us: that a call would be taken, how we are (sd_notify(3))."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Self

from jibri_sip import log
from jibri_sip.session.news import Availability, Happening, InstanceNews, SessionNews

_log = log.logger("systemd")

START_S = 120.0
"""What a slot may need to start on an ordinary machine, with some failed attempts."""
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """The socket to systemd.

    Args:
        address: of a datagram socket: an absolute path, or `@` and an abstract name.
        watchdog_s: how long systemd waits for a sign of life; None when it does not.
    """

    def __init__(self, address: str, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Self | None:
        """What systemd has told us; None where it has not started us.

        The variables are taken away: our children are not to speak in our name (PulseAudio would).
        """
        address, microseconds, pid = (environment.pop(name, "") for name in _VARIABLES)
        if not address.startswith(("/", "@")):
            return None
        watched = microseconds.isdecimal() and int(microseconds) > 0 and pid in {"", str(os.getpid())}
        return cls(address, int(microseconds) / 1e6 if watched else None)

    def tell(self, **fields: str) -> None:
        """Send fields in one message. That nobody reads it is no failure of ours."""
        message = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as end:
            try:
                end.sendto(message.encode(errors="replace"), self._address)
            except OSError as error:
                _log.warning("systemd_not_told", error=str(error))


class Supervision:
    """Tells systemd what it has to know of a gateway; an observer of it (`jibri_sip.session.news.Observer`).

    READY=1 goes out once, when a call would be taken. WATCHDOG=1 goes out twice in each period, from the event loop,
    for as long as the gateway is well: whoever does not answer any more is killed by systemd and started anew.

    Args:
        notifier: to whom.
        is_well: whether the gateway is; asked twice in each period, and has to answer within a quarter of it.
        patience: how many times longer than an ordinary machine this one may take; the unit's limits are stretched.
    """

    def __init__(self, notifier: Notifier, is_well: Callable[[], Awaitable[bool]], patience: float = 1.0) -> None:
        self._notifier = notifier
        self._is_well = is_well
        self._patience = patience
        self._ready = False
        self._instance = InstanceNews(Availability.BUSY)
        self._in_call = False
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell."""
        self._notifier.tell(STATUS=self._text())
        period_s = self._notifier.watchdog_s
        if self._patience > 1:
            self._notifier.tell(EXTEND_TIMEOUT_USEC=str(round(START_S * self._patience * 1e6)))
        if period_s is not None:
            period_s *= self._patience
            if self._patience > 1:
                self._notifier.tell(WATCHDOG_USEC=str(round(period_s * 1e6)))
            self._watch = asyncio.create_task(self._show_life(period_s), name="watchdog")

    def stopping(self) -> None:
        """Tell that we are about to end; signs of life go on until `close`."""
        self._notifier.tell(STOPPING="1", STATUS="ending")

    async def close(self) -> None:
        """Show no more life."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    def instance_changed(self, news: InstanceNews) -> None:
        """Tell READY=1 when a call would be taken for the first time."""
        self._instance = news
        if news.availability is Availability.IDLE and not self._ready:
            self._ready = True
            self._notifier.tell(READY="1", STATUS=self._text())
        else:
            self._notifier.tell(STATUS=self._text())

    def session_changed(self, news: SessionNews) -> None:
        """Tell whether there is a call; not whose, for consoles show it."""
        self._in_call = news.happening is not Happening.ENDED
        self._notifier.tell(STATUS=self._text())

    def _text(self) -> str:
        problem = self._instance.problem
        if problem is not None:
            remedy = "" if problem.remedy in problem.message else f". {problem.remedy}"
            return f"out of order: {problem.message}{remedy}"
        if self._in_call:
            return "in a call"
        return {
            Availability.IDLE: "ready for a call",
            Availability.BUSY: "getting ready, or taking no calls any more",
            Availability.EXPIRED: "has carried its one call",
        }[self._instance.availability]

    async def _show_life(self, period_s: float) -> None:
        while True:
            try:
                well = await asyncio.wait_for(self._is_well(), period_s / 4)
            except TimeoutError:
                well = False
            except Exception:
                _log.exception("health_unknown")
                well = False
            if well:
                self._notifier.tell(WATCHDOG="1")
            else:
                _log.error("not_well", remedy="systemd restarts this instance when it stays so")
            await asyncio.sleep(period_s / 2)
