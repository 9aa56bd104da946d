"""The composition root: from settings to a running gateway, until a signal ends it."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack

from jibri_sip import log
from jibri_sip.api.app import create_app
from jibri_sip.api.jibri_external import jibri_routes
from jibri_sip.api.jibri_internal import create_internal_app
from jibri_sip.api.metrics_route import metrics_route
from jibri_sip.api.server import serve
from jibri_sip.config.model import Settings
from jibri_sip.errors import GatewayError
from jibri_sip.gateway import Gateway
from jibri_sip.metrics import Metrics
from jibri_sip.ownership import check_path, sole_owner
from jibri_sip.statsd import Statsd
from jibri_sip.systemd import Notifier, Supervision
from jibri_sip.webhooks import Webhooks
from jibri_sip.xmpp.brewery import Breweries
from virtual_devices import processes
from virtual_devices.patience import PATIENCE

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
    check_path(settings.instance.runtime_dir)
    with sole_owner(settings.instance.runtime_dir):
        processes.become_subreaper()
        return await _serve(settings)


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    gateway = Gateway(settings)
    supervision = _supervision(gateway)
    orphans = asyncio.create_task(_bury_orphans())
    try:
        async with AsyncExitStack() as stack:
            if supervision is not None:
                stack.push_async_callback(supervision.close)
                supervision.start()
            await _start(gateway, settings, stack)
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait((stopped, gateway.retired), return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            exit_code = gateway.retired.result() if gateway.retired.done() else 0
            _log.info("gateway_stopping", exit_code=exit_code)
            if supervision is not None:
                supervision.stopping()
    except GatewayError as error:
        _log.error("gateway_failed", error=error.message, remedy=error.remedy)
        raise
    else:
        return exit_code
    finally:
        orphans.cancel()
        _log.info("gateway_stopped")


def _supervision(gateway: Gateway) -> Supervision | None:
    """What tells systemd how the gateway stands; None where systemd has not started us."""
    notifier = Notifier.from_environment(os.environ)
    if notifier is None:
        return None
    supervision = Supervision(notifier, gateway.is_well, PATIENCE)
    gateway.observe(supervision)
    return supervision


async def _start(gateway: Gateway, settings: Settings, stack: AsyncExitStack) -> None:
    """Start everything; who is told of a session's end is closed after the gateway that tells it."""
    metrics = Metrics(await _statsd(settings, stack))
    gateway.observe(metrics)
    webhooks = Webhooks(settings, metrics.webhook)
    stack.push_async_callback(webhooks.close)
    gateway.observe(webhooks)
    webhooks.start()
    breweries = Breweries(settings, gateway, metrics.xmpp, metrics.order_refused)
    stack.push_async_callback(breweries.close)
    stack.push_async_callback(gateway.close)
    await gateway.start()
    breweries.open()
    routes = [jibri_routes(gateway, settings, metrics.order_refused)]
    if settings.metrics.prometheus:
        routes.append(metrics_route(metrics.registry, metrics.jibri_figures))
    api, jibri = settings.api, settings.jibri
    port = await stack.enter_async_context(serve(create_app(gateway, api, *routes), api.host, api.port, api.tls))
    await stack.enter_async_context(
        serve(create_internal_app(gateway, settings), jibri.internal_host, jibri.internal_port)
    )
    _log.info("gateway_running", api=f"{api.host}:{port}", meeting=settings.meeting.base_url)


async def _statsd(settings: Settings, stack: AsyncExitStack) -> Statsd | None:
    if not settings.metrics.statsd_host:
        return None
    statsd = Statsd(settings.metrics.statsd_host, settings.metrics.statsd_port)
    stack.callback(statsd.close)
    await statsd.start()
    return statsd


async def _bury_orphans() -> None:
    """Collect the children's children that were handed to us (Chrome's crash handlers, after a kill)."""
    reaper = processes.OrphanReaper()
    while True:
        await asyncio.sleep(ORPHANS_EVERY_S)
        reaper.sweep()
