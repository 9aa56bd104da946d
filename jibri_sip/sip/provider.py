"""A session's own account at a SIP provider, as the session sees it."""

import asyncio
from collections.abc import Awaitable, Callable

import pjsua2 as pj
import structlog

from jibri_sip.errors import RegistrationFailed
from jibri_sip.sip.account import Account

log = structlog.get_logger(__name__)

_OK = 200
_REDIRECTED = 300
_NEXT_SERVER = frozenset({408, 503})
_REMEDY = "See user and password of the account, and whether its registrar can be reached."


class Provider:
    """An account of one session's, or of the instance's.

    Args:
        account: PJSIP's.
        loop: the event loop.
        sign_off: gives the account back.
        post: runs a job on the PJSIP thread.
        registers: whether it is registered, or about to be.
        proxy_host: whose servers its calls go through; empty for those of the address called.
        give_up: told that the server which registered it is silent, or wants to be left alone.

    Attributes:
        account: PJSIP's; lives and dies on the PJSIP thread.
        uri: the account's address.
        registers: whether it is registered, or about to be.
        is_registered: whether the registrar's last answer was yes.
        answer: that answer, code and reason; empty before there is one.
    """

    def __init__(
        self,
        account: Account,
        loop: asyncio.AbstractEventLoop,
        sign_off: Callable[["Provider"], Awaitable[None]],
        post: Callable[[Callable[[], object]], None],
        *,
        registers: bool,
        proxy_host: str = "",
        give_up: Callable[[], object] = lambda: None,
    ) -> None:
        self._give_up = give_up
        self.account: Account | None = account
        self.uri = account.uri
        self.proxy_host = proxy_host
        self.is_registered = False
        self.answer = ""
        self._loop = loop
        self._sign_off = sign_off
        self._post = post
        self._failures = 0
        self._again: asyncio.TimerHandle | None = None
        self._next_at: float | None = None
        self._outcome: asyncio.Future[tuple[int, str]] = loop.create_future()
        self.registers = registers
        account.on_registered = self._hear

    async def registered(self) -> None:
        """Wait until the registrar has said yes, if it is asked at all.

        Raises:
            RegistrationFailed: it said no, or nothing within PJSIP's 32 s.
        """
        if not self.registers:
            return
        code, reason = await asyncio.shield(self._outcome)
        if not _OK <= code < _REDIRECTED:
            raise RegistrationFailed(f"{code} {reason}")

    @property
    def again_in_s(self) -> float | None:
        """When about the next attempt to register comes, in seconds; None while it is registered or does not."""
        return None if self._next_at is None else max(0.0, self._next_at - self._loop.time())

    def register(self) -> None:
        """Register anew, if it is to be registered at all; on the PJSIP thread."""
        if self.account is None or not self.registers:
            return
        try:
            self.account.setRegistration(True)
        except pj.Error as error:
            # An attempt is under way.
            log.debug("not_registered_anew", account=self.uri, reason=error.reason)

    async def close(self) -> None:
        """Unregister; the account is gone afterwards."""
        if self._again is not None:
            self._again.cancel()
        await self._sign_off(self)

    def _hear(self, code: int, reason: str) -> None:
        pause = None
        if _OK <= code < _REDIRECTED:
            self._failures = 0
        elif self.account is not None:
            self._failures += 1
            pause = self.account.register_later(self._failures)
        self._loop.call_soon_threadsafe(self._note, code, reason, pause)

    def _note(self, code: int, reason: str, pause: float | None) -> None:
        if self.account is None:
            return  # the answer to our signing off
        said_yes = _OK <= code < _REDIRECTED
        if code in _NEXT_SERVER:
            self._give_up()
        self._next_at = None if pause is None else self._loop.time() + pause
        if pause is not None and self.account.is_given_up(code):
            self._again = self._loop.call_later(pause, self._post, self.register)
        if said_yes and not self.is_registered:
            log.info("sip_registered", account=self.uri)
        elif not said_yes and (self.is_registered or not self.answer):
            log.warning("sip_not_registered", account=self.uri, code=code, reason=reason, remedy=_REMEDY)
        self.is_registered, self.answer = said_yes, f"{code} {reason}"
        if not self._outcome.done():
            self._outcome.set_result((code, reason))
