"""PJSIP's questions for servers, answered by our resolver (RFC 3263)."""

import asyncio
from functools import partial

import structlog

from jibri_sip.sip import door
from jibri_sip.sip.resolver import Resolver, Server, Target, is_ip
from jibri_sip.sip.thread import PjsipThread

log = structlog.get_logger(__name__)


class Names:
    """Takes the questions on the PJSIP thread, has them answered in the event loop, and takes the answers back.

    Args:
        resolver: answers.
        thread: PJSIP's.
        loop: the resolver's.
    """

    def __init__(self, resolver: Resolver, thread: PjsipThread, loop: asyncio.AbstractEventLoop) -> None:
        self._resolver = resolver
        self._thread = thread
        self._loop = loop
        self._open: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """From now on; on the PJSIP thread, after `libInit`.

        Raises:
            DoorError: PJSIP does not want it.
        """
        door.resolve_by(self._ask)

    def close(self) -> None:
        """Answer what is still open, with nothing; on the PJSIP thread, before PJSIP ends."""
        for query in list(self._open):
            self._answer(query, [])

    def _ask(self, query: int, target: Target) -> None:
        self._open.add(query)
        if is_ip(target.host):
            self._answer(query, self._resolver.literal(target))
        else:
            self._loop.call_soon_threadsafe(self._start, query, target)

    def _start(self, query: int, target: Target) -> None:
        task = self._loop.create_task(self._resolve(query, target))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _resolve(self, query: int, target: Target) -> None:
        servers: list[Server] = []
        try:
            servers = await self._resolver.resolve(target)
        except Exception:
            log.exception("resolver_failed", host=target.host)
        finally:
            self._thread.post(partial(self._answer, query, servers))

    def _answer(self, query: int, servers: list[Server]) -> None:
        if query in self._open:
            self._open.remove(query)
            door.resolved(query, servers)
