"""The one thread that PJSIP lives on, and the way to it from asyncio.

All of pjsua2 is called here: it knows its thread, its callbacks run in it, and its objects must die in it. Media runs
in threads of PJMEDIA's own that Python never sees.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import pjsua2 as pj
import structlog

from jibri_sip.errors import GatewayError

log = structlog.get_logger(__name__)

T = TypeVar("T")

POLL_MS = 10
"""Longest time that a job waits for PJSIP's event loop."""


class SipError(Exception):
    """PJSIP refused something.

    Attributes:
        status: PJSIP's status number; 120000 + errno for those of the operating system.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class PjsipThread:
    """Runs jobs one after the other, and `poll` (PJSIP's event loop) between them once there is one."""

    def __init__(self) -> None:
        self.poll: Callable[[int], object] | None = None
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="pjsip", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end after the jobs queued so far."""
        self._jobs.put(None)

    async def joined(self, timeout_s: float) -> bool:
        """Whether the thread has ended within `timeout_s`."""
        await asyncio.to_thread(self._thread.join, timeout_s)
        return not self._thread.is_alive()

    def post(self, job: Callable[[], object]) -> None:
        """Run `job` soon; from any thread. Its failure is logged."""
        self._jobs.put((Future(), job))

    async def run(self, job: Callable[[], T]) -> T:
        """Run `job` on the thread and hand back what it returns.

        Raises:
            SipError: PJSIP refused it, or the thread has ended.
        """
        if not self._thread.is_alive():
            raise SipError("the SIP endpoint is closed")
        future: Future[T] = Future()
        self._jobs.put((future, job))
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            try:
                entry = self._jobs.get(block=self.poll is None)
            except queue.Empty:
                self._poll_once()
                continue
            if entry is None:
                return
            _perform(*entry)
            # A frame that stays here would keep PJSIP's objects alive, to die on another thread.
            del entry

    def _poll_once(self) -> None:
        try:
            if self.poll is not None:
                self.poll(POLL_MS)
        except pj.Error as error:
            log.warning("pjsip_events_failed", reason=error.reason)


def _perform(future: "Future[Any]", job: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    # Exceptions go without their frames, for these hold PJSIP's objects, which must not die on the loop's thread.
    try:
        future.set_result(job())
    except pj.Error as error:
        log.debug("pjsip_refused", reason=error.reason, status=error.status)
        future.set_exception(SipError(error.reason, error.status))
    except GatewayError as error:
        future.set_exception(error.with_traceback(None))
    except Exception as error:
        log.exception("pjsip_job_failed")
        future.set_exception(error.with_traceback(None))
