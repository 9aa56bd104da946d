"""Delivery to one subscriber: one message after the other, each tried again with back-off until it is too old.

Jibri sends each message once; a subscriber that was just being restarted never heard of it.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

import httpx2
import stamina

from jibri_sip import log
from jibri_sip.clock import monotonic
from jibri_sip.config.control import WebhookSettings
from jibri_sip.webhooks.outbox import Kind, Message, Outbox
from jibri_sip.webhooks.token import TokenSource

_log = log.logger("webhooks")

PATHS = {"status": "/v1/status", "session": "/v1/session/status"}
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
_UNAUTHORISED = 401
_PASSING = frozenset({_UNAUTHORISED, 408, 425, 429})
"""What of 4xx another attempt may mend. Not 404: the autoscaler's sidecar knows nothing of sessions, and trying to tell
it of them would keep the next status from it."""

Outcome = Literal["delivered", "refused", "expired", "dropped", "failed"]
"""What became of a message; `failed` is what became of an attempt."""


class _Undelivered(Exception):  # noqa: N818  (says what it is; never leaves this module)
    """This attempt failed, another may not."""


class Subscriber:
    """One subscriber and what it has yet to be told.

    Args:
        url: Its base URL.
        settings: How long things may take.
        http: Client to send with.
        tokens: Where the token comes from; None to send none.
        on_outcome: Told what became of each attempt and message.
    """

    def __init__(
        self,
        url: str,
        settings: WebhookSettings,
        http: httpx2.AsyncClient,
        tokens: TokenSource | None,
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self.url = url
        self.outbox = Outbox()
        self._settings = settings
        self._http = http
        self._tokens = tokens
        self._on_outcome = on_outcome
        self._complained: set[tuple[Kind, Outcome]] = set()

    def put(self, message: Message) -> None:
        """Tell it this, after what it has yet to be told."""
        before = self.outbox.dropped
        self.outbox.put(message)
        if self.outbox.dropped > before:
            self._complain("session", "dropped", f"more than {self.outbox.capacity} messages behind")

    async def deliver(self) -> None:
        """Deliver for ever."""
        while True:
            await self.outbox.filled()
            try:
                await self._deliver_first()
            except Exception as error:
                # Nothing that a subscriber answers may keep the others' messages, or its own next ones, back.
                _log.exception("webhook_failed", subscriber=self.url)
                if (first := self.outbox.first()) is not None:
                    self._drop(first, "refused", type(error).__name__)

    async def _deliver_first(self) -> None:
        first = self.outbox.first()
        if first is None:
            return
        left = first.since + self._settings.retry_for_s - monotonic()
        try:
            async for attempt in stamina.retry_context(
                on=_Undelivered,
                attempts=None if left > 0 else 1,
                timeout=left if left > 0 else None,
                wait_initial=FIRST_WAIT_S,
                wait_max=LONGEST_WAIT_S,
            ):
                with attempt:
                    await self._try()
        except _Undelivered as error:
            # Where a newer status has taken its place, that one has its own time.
            if self.outbox.first() is first:
                self._drop(first, "expired", str(error))

    async def _try(self) -> None:
        """Send what is first now: a newer status may have taken the place of the one that was tried before."""
        message = self.outbox.first()
        if message is None:
            return
        refusal = await self._post(message)
        if refusal:
            self._drop(message, "refused", refusal)
            return
        self.outbox.remove(message)
        self._on_outcome("delivered")
        before = len(self._complained)
        self._complained = {(kind, outcome) for kind, outcome in self._complained if kind != message.kind}
        if len(self._complained) < before:
            _log.info("webhooks_delivered_again", subscriber=self.url, kind=message.kind)

    async def _post(self, message: Message) -> str:
        """Send a message; what the subscriber refuses it with for good, or nothing.

        Raises:
            _Undelivered: Nobody answered in time, or said to come again.
        """
        headers = {"Authorization": f"Bearer {self._tokens.token()}"} if self._tokens is not None else {}
        try:
            # httpx counts the time of each step of a request; this is for all of them.
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await self._http.post(self.url + PATHS[message.kind], json=message.body, headers=headers)
        except TimeoutError:
            raise self._failed(message, f"no answer within {self._settings.timeout_s} s") from None
        except httpx2.HTTPError as error:
            raise self._failed(message, f"{type(error).__name__}: {error}") from None
        if answer.is_success:
            return ""
        if answer.status_code == _UNAUTHORISED and self._tokens is not None:
            self._tokens.forget()
        if answer.is_server_error or answer.status_code in _PASSING:
            raise self._failed(message, f"status {answer.status_code}")
        return f"status {answer.status_code}"

    def _failed(self, message: Message, why: str) -> _Undelivered:
        self._complain(message.kind, "failed", why)
        return _Undelivered(why)

    def _drop(self, message: Message, outcome: Outcome, why: str) -> None:
        self.outbox.remove(message)
        self._complain(message.kind, outcome, why)

    def _complain(self, kind: Kind, outcome: Outcome, why: str) -> None:
        """Note what went wrong; of a row of the same only the first is worth the operator's time."""
        self._on_outcome(outcome)
        tell = _log.debug if (kind, outcome) in self._complained else _log.warning
        tell("webhook_undelivered", subscriber=self.url, kind=kind, outcome=outcome, error=why)
        self._complained.add((kind, outcome))
