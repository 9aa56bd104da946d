"""A bound on what resolving a configuration may take: a few lines of substitutions can ask for more than there is."""

import contextlib
import resource
import signal
from collections.abc import Iterator
from types import FrameType

import psutil

MOST_BYTES = 512 * 1024 * 1024
"""Of memory, beyond what the process has."""
MOST_S = 2.0
"""Of computing; what Jibri is configured with takes hundredths of a second."""
_AGAIN_S = 0.1


class TooMuch(Exception):  # noqa: N818  (the name says what is wrong)
    """It would have taken more than that."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Inside, memory and computing time are bounded; for the main thread, since a signal tells of the time.

    Raises:
        TooMuch: more was wanted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + MOST_BYTES
    handler = signal.signal(signal.SIGVTALRM, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    # Once more, should a library take the first for one of its own.
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_S, _AGAIN_S)
    try:
        yield
    except MemoryError:
        raise TooMuch from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise TooMuch
