"""Jobs get to the PJSIP thread and their outcome back."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from jibri_sip.sip.thread import PjsipThread, SipError

SOON_S = 10.0  # however busy the machine is


@pytest_asyncio.fixture
async def thread() -> AsyncIterator[PjsipThread]:
    """A running one."""
    running = PjsipThread()
    running.start()
    yield running
    running.stop()
    assert await running.joined(SOON_S)


async def test_jobs_run_on_one_other_thread(thread: PjsipThread) -> None:
    """All jobs run on one thread that is not the loop's, in order."""
    names = [await thread.run(threading.get_ident) for _ in range(3)]
    assert len(set(names)) == 1
    assert names[0] != threading.get_ident()


async def test_failures_come_back_without_frames(thread: PjsipThread) -> None:
    """What a job raises is raised to who asked, and holds none of the job's objects."""

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        await thread.run(fail)
    trace = caught.value.__traceback__
    while trace is not None:
        assert trace.tb_frame.f_code is not fail.__code__
        trace = trace.tb_next


async def test_polling_goes_on_between_jobs(thread: PjsipThread) -> None:
    """While there is something to poll, jobs still run, after one poll at most."""
    polled = threading.Event()

    def poll(_timeout_ms: int) -> None:
        polled.wait(0.01)

    thread.poll = poll
    await thread.run(lambda: None)
    await asyncio.wait_for(thread.run(lambda: None), SOON_S)


async def test_jobs_after_the_end_are_refused() -> None:
    """A job for a thread that has ended is an error, not a wait."""
    thread = PjsipThread()
    thread.start()
    thread.stop()
    assert await thread.joined(SOON_S)
    with pytest.raises(SipError, match="closed"):
        await thread.run(lambda: None)
