"""Counters as they arrive at a StatsD daemon's socket."""

import asyncio
import socket

import pytest

from jibri_sip import errors
from jibri_sip.metrics import Metrics
from jibri_sip.statsd import Statsd
from tests.unit.test_metrics import began, ended


async def received(daemon: socket.socket, count: int) -> list[bytes]:
    """So many datagrams."""
    loop = asyncio.get_running_loop()
    return [await asyncio.wait_for(loop.sock_recv(daemon, 2000), 5) for _ in range(count)]


async def test_what_is_sent() -> None:
    """Jibri's names and tags, in DogStatsD's form."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.setblocking(False)
        daemon.bind(("127.0.0.1", 0))
        statsd = Statsd("127.0.0.1", daemon.getsockname()[1])
        metrics = Metrics(statsd)
        metrics.order_refused(errors.Busy())  # before the start: nowhere to go
        await statsd.start()
        metrics.session_changed(began())
        metrics.session_changed(ended(errors.BrowserLost()))
        metrics.order_refused(errors.Busy())
        metrics.xmpp("xmpp_reconnection_failed", "xmpp1.example.com")
        metrics.xmpp("stopped_on_xmpp_closed", "xmpp1.example.com")
        assert await received(daemon, 6) == [
            b"jibri.start:1|c|#sip_gateway",
            b"jibri.stop:1|c|#sip_gateway",
            b"jibri.error:1|c|#sip_gateway",
            b"jibri.busy:1|c|#sip_gateway",
            b"jibri.xmpp-reconnection-failed:1|c|#xmpp_server_host:xmpp1.example.com",
            b"jibri.stopped-on-xmpp-closed:1|c|#xmpp_server_host:xmpp1.example.com",
        ]
        statsd.close()
        metrics.order_refused(errors.Busy())
        with pytest.raises(BlockingIOError):
            daemon.recv(2000)


async def test_nobody_there() -> None:
    """Without a daemon, or without its host, nothing comes of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for host in ("127.0.0.1", "nowhere.invalid"):
        statsd = Statsd(host, port)
        await statsd.start()
        for _ in range(3):
            statsd.count("start", "sip_gateway")
            await asyncio.sleep(0.01)  # an ICMP error comes with the next one
        statsd.close()


async def test_no_answer_from_the_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway does not wait for a name that nobody answers for."""

    async def forever(*_arguments: object, **_more: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", forever)
    statsd = Statsd("statsd.example.com", 8125)
    await asyncio.wait_for(statsd.start(), 20)
    statsd.count("start", "sip_gateway")
    statsd.close()
