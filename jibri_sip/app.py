"""The composition root: from settings to a running gateway, until a signal ends it."""

import asyncio
import signal

from jibri_sip import log
from jibri_sip.api.app import create_app
from jibri_sip.api.server import serve
from jibri_sip.config.model import Settings
from jibri_sip.errors import GatewayError
from jibri_sip.gateway import Gateway
from jibri_sip.ownership import sole_owner
from jibri_sip.xmpp.brewery import Breweries
from virtual_devices import processes

_log = log.logger("app")

ORPHANS_EVERY_S = 2.0


def run(settings: Settings) -> int:
    """Run the gateway until SIGINT or SIGTERM, or until it was told to go and is idle.

    Returns:
        The exit code that it was told, else 0.

    Raises:
        GatewayError: it cannot start: a port is taken, another gateway has this instance's number.
    """
    return asyncio.run(serve_until_stopped(settings))


async def serve_until_stopped(settings: Settings) -> int:
    """Run the gateway in this event loop; as `run`.

    Raises:
        GatewayError: as `run`.
    """
    with sole_owner(settings.instance.runtime_dir):
        processes.become_subreaper()
        return await _serve(settings)


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    gateway = Gateway(settings)
    orphans = asyncio.create_task(_bury_orphans())
    breweries = Breweries(settings, gateway, _uncounted)
    try:
        await gateway.start()
        breweries.open()
        async with serve(create_app(gateway, settings.api), settings.api.host, settings.api.port) as port:
            _log.info("gateway_running", api=f"http://{settings.api.host}:{port}", meeting=settings.meeting.base_url)
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait((stopped, gateway.retired), return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            exit_code = gateway.retired.result() if gateway.retired.done() else 0
            _log.info("gateway_stopping", exit_code=exit_code)
            return exit_code
    except GatewayError as error:
        _log.error("gateway_failed", error=error.message, remedy=error.remedy)
        raise
    finally:
        await gateway.close()
        await breweries.close()
        orphans.cancel()
        _log.info("gateway_stopped")


def _uncounted(_name: str, _host: str) -> None:
    """Until there are metrics."""


async def _bury_orphans() -> None:
    """Collect the children's children that were handed to us (Chrome's crash handlers, after a kill)."""
    reaper = processes.OrphanReaper()
    while True:
        await asyncio.sleep(ORPHANS_EVERY_S)
        reaper.sweep()
