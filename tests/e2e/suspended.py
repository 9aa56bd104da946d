"""Programs that are there and do nothing, as behind a cut cable or on a machine that is far too busy."""

import contextlib
from collections.abc import Iterator

import psutil


@contextlib.contextmanager
def suspended(*processes: psutil.Process) -> Iterator[None]:
    """Stop the processes (SIGSTOP), and let them go on in the end."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()
