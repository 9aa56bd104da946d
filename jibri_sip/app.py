"""The composition root: from settings to a running gateway, until a signal ends it."""

import asyncio
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from jibri_sip import errors, log
from jibri_sip.api.app import create_app
from jibri_sip.api.server import serve
from jibri_sip.config.model import Settings
from jibri_sip.errors import GatewayError
from jibri_sip.gateway import Gateway
from virtual_devices import processes

_log = log.logger("app")

ORPHANS_EVERY_S = 2.0


def run(settings: Settings) -> None:
    """Run the gateway until SIGINT or SIGTERM.

    Raises:
        GatewayError: it cannot start: a port is taken, another gateway has this instance's number.
    """
    asyncio.run(serve_until_stopped(settings))


@contextmanager
def sole_owner(runtime_dir: Path) -> Iterator[None]:
    """Hold this instance's number: what is left in its directory may then be cleared away.

    Raises:
        AlreadyRunning: another process holds it.
    """
    runtime_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = runtime_dir.with_name(f"{runtime_dir.name}.lock")
    with _locked(lock, str(runtime_dir)):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _locked(lock: Path, name: str) -> TextIO:
    """The file, locked for as long as it is open; and the one of this name, not one that its owner just removed."""
    while True:
        file = lock.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        except BlockingIOError:
            file.close()
            raise errors.AlreadyRunning(name) from None
        file.close()


async def serve_until_stopped(settings: Settings) -> None:
    """Run the gateway in this event loop until SIGINT or SIGTERM.

    Raises:
        GatewayError: as `run`.
    """
    with sole_owner(settings.instance.runtime_dir):
        processes.become_subreaper()
        await _serve(settings)


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    gateway = Gateway(settings)
    orphans = asyncio.create_task(_bury_orphans())
    try:
        await gateway.start()
        async with serve(create_app(gateway, settings.api), settings.api.host, settings.api.port) as port:
            _log.info("gateway_running", api=f"http://{settings.api.host}:{port}", meeting=settings.meeting.base_url)
            await stop.wait()
            _log.info("gateway_stopping")
    except GatewayError as error:
        _log.error("gateway_failed", error=error.message, remedy=error.remedy)
        raise
    finally:
        await gateway.close()
        orphans.cancel()
        _log.info("gateway_stopped")


async def _bury_orphans() -> None:
    """Collect the children's children that were handed to us (Chrome's crash handlers, after a kill)."""
    reaper = processes.OrphanReaper()
    while True:
        await asyncio.sleep(ORPHANS_EVERY_S)
        reaper.sweep()
