"""A session's own account at a SIP provider, as the session sees it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from jibri_sip.errors import RegistrationFailed
from jibri_sip.sip.account import Account

log = structlog.get_logger(__name__)

_OK = 200
_REDIRECTED = 300


class Provider:
    """An account of one session's.

    Args:
        account: PJSIP's.
        loop: the event loop.
        sign_off: gives the account back.
        registers: whether it is registered, or about to be.

    Attributes:
        account: PJSIP's; lives and dies on the PJSIP thread.
    """

    def __init__(
        self,
        account: Account,
        loop: asyncio.AbstractEventLoop,
        sign_off: Callable[["Provider"], Awaitable[None]],
        *,
        registers: bool,
    ) -> None:
        self.account: Account | None = account
        self._loop = loop
        self._sign_off = sign_off
        self._outcome: asyncio.Future[tuple[int, str]] = loop.create_future()
        self._registers = registers
        account.on_registered = self._hear

    async def registered(self) -> None:
        """Wait until the registrar has said yes, if it is asked at all.

        Raises:
            RegistrationFailed: it said no, or nothing within PJSIP's 32 s.
        """
        if not self._registers:
            return
        code, reason = await asyncio.shield(self._outcome)
        if not _OK <= code < _REDIRECTED:
            raise RegistrationFailed(f"{code} {reason}")

    async def close(self) -> None:
        """Unregister; the account is gone afterwards."""
        await self._sign_off(self)

    def _hear(self, code: int, reason: str) -> None:
        self._loop.call_soon_threadsafe(self._note, code, reason)

    def _note(self, code: int, reason: str) -> None:
        if not self._outcome.done():
            self._outcome.set_result((code, reason))
