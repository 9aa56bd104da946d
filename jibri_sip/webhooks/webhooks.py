"""Tells the subscribers: each change at once, the status also once a minute, without anybody waiting for them."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import httpx2
from stamina.instrumentation import set_on_retry_hooks

from jibri_sip import jibri_json
from jibri_sip.clock import monotonic
from jibri_sip.config.model import Settings
from jibri_sip.session.news import Availability, Happening, InstanceNews, SessionNews
from jibri_sip.session.orders import BY_HTTP
from jibri_sip.webhooks.outbox import Kind, Message
from jibri_sip.webhooks.subscriber import Outcome, Subscriber
from jibri_sip.webhooks.token import TokenSource

STATUS_EVERY_S = 60.0


class Webhooks:
    """An observer who passes on what it is told to those of `webhooks.subscribers`.

    What it is told of the instance before `start` is the status that subscribers hear first.

    Args:
        settings: The gateway's.
        on_outcome: Told what became of each attempt and message.
        status_every_s: How often the status is told without a change, seconds.

    Raises:
        FileUnreadable, ConfigInvalid: The key of `webhooks.token` cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        on_outcome: Callable[[Outcome], None] = lambda _outcome: None,
        status_every_s: float = STATUS_EVERY_S,
    ) -> None:
        webhooks = settings.webhooks
        # The component sidecar refuses what comes from a Jibri without an id.
        self._id = settings.jibri.id or f"{socket.gethostname()}-{settings.instance.number}"
        self._on = Happening.ANSWERED if settings.jibri.report_on == "answered" else Happening.STARTED
        self._timeout_s = webhooks.timeout_s
        self._status_every_s = status_every_s
        self._http = httpx2.AsyncClient(timeout=webhooks.timeout_s, trust_env=False)
        tokens = TokenSource(webhooks.token) if webhooks.token is not None else None
        self._subscribers = [
            Subscriber(url, webhooks, self._http, tokens, on_outcome) for url in dict.fromkeys(webhooks.subscribers)
        ]
        self._instance = InstanceNews(Availability.BUSY)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to deliver, with the status."""
        # stamina's own hooks would log each attempt, and count it where nobody looks.
        set_on_retry_hooks(())
        self._tasks = [asyncio.create_task(subscriber.deliver()) for subscriber in self._subscribers]
        self._tasks.append(asyncio.create_task(self._repeat()))

    async def close(self) -> None:
        """Deliver what is left, no longer than one attempt may take, and stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                await asyncio.gather(*(subscriber.outbox.emptied() for subscriber in self._subscribers))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    def instance_changed(self, news: InstanceNews) -> None:
        """The instance stands otherwise than before."""
        self._instance = news
        if self._tasks:
            self._tell_status()

    def session_changed(self, news: SessionNews) -> None:
        """Something happened to a session; subscribers hear of those that were ordered by HTTP."""
        order = news.order
        if order is None or order.orderer != BY_HTTP:
            return
        if news.happening is self._on:
            self._tell("session", {"session": jibri_json.session(order, "ON", news)})
        elif news.happening is Happening.ENDED:
            self._tell("session", {"session": jibri_json.session(order, "OFF", news)})

    async def _repeat(self) -> None:
        while True:
            self._tell_status()
            await asyncio.sleep(self._status_every_s)

    def _tell_status(self) -> None:
        self._tell("status", {"status": jibri_json.status(self._instance)})

    def _tell(self, kind: Kind, content: dict[str, Any]) -> None:
        message = Message(kind, {"jibriId": self._id, **content}, monotonic())
        for subscriber in self._subscribers:
            subscriber.put(message)
