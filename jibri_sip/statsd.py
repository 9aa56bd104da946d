"""Counters for StatsD in the DogStatsD form, as Jibri sends them: `jibri.start:1|c|#sip_gateway`."""

import asyncio

from jibri_sip import log

_log = log.logger("statsd")

PREFIX = "jibri"
_LOOK_UP_S = 3.0


class Statsd:
    """Sends counters by UDP, and never minds whether anybody takes them.

    Args:
        host: Name or address of the daemon.
        port: Its UDP port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        """Look up the host; where there is none, nothing will be sent."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                self._transport, _ = await loop.create_datagram_endpoint(
                    asyncio.DatagramProtocol, remote_addr=self._address
                )
        except TimeoutError:
            _log.warning("statsd_unreachable", host=self._address[0], error=f"not found within {_LOOK_UP_S:.0f} s")
        except OSError as error:
            _log.warning("statsd_unreachable", host=self._address[0], error=str(error))

    def close(self) -> None:
        """Send no more."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def count(self, name: str, tag: str) -> None:
        """Count one of these; dropped before `start` and after `close`."""
        if self._transport is not None:
            self._transport.sendto(f"{PREFIX}.{name}:1|c|#{tag}".encode())
