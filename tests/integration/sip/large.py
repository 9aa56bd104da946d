"""Large requests of the endpoint's, and ports that do not take them by TCP."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator

from jibri_sip.sip.call import Call
from tests.integration.sip.conftest import Gateway
from tests.peer.raw import RawCaller, spelled_out

LARGE = {"X-Deployment": "d" * 300}
"""Header fields that make any INVITE larger than RFC 3261 section 18.1.1 lets go by UDP."""
FALL_BACK_S = 1.0


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


@contextlib.contextmanager
def black_hole(address: str) -> Iterator[None]:
    """A TCP port that takes no connection and says nothing: its queue is full, so the kernel drops each SYN."""
    where = _split(address)
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket(family))
        listener.bind(where)
        listener.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket(family))
            waiting.setblocking(False)
            waiting.connect_ex(where)
        yield


@contextlib.contextmanager
def mute(address: str) -> Iterator[socket.socket]:
    """A TCP port where connections come about, as the kernel makes them, and nobody reads; its socket."""
    where = _split(address)
    with socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET) as listener:
        listener.bind(where)
        listener.listen(8)
        yield listener


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def stream_port(address: str) -> AsyncIterator[asyncio.Queue[Connection]]:
    """A TCP port; the connections that were made to it."""
    connections: asyncio.Queue[Connection] = asyncio.Queue()
    server = await asyncio.start_server(lambda *pair: connections.put_nowait(pair), *_split(address))
    async with server:
        yield connections


async def read_head(connection: Connection) -> str:
    """The next message of a connection, without its body."""
    return spelled_out((await asyncio.wait_for(connection[0].readuntil(b"\r\n\r\n"), 5)).decode())


async def dial(gateway: Gateway, callee: RawCaller) -> Call:
    """Call with a large INVITE."""
    return await gateway.endpoint.dial(f"sip:raw@{callee.local}", headers=LARGE)


async def arrival_s(gateway: Gateway, callee: RawCaller) -> tuple[float, str]:
    """Dial with a large INVITE, and refuse it; after how many seconds it came by UDP, and its text."""
    started = time.monotonic()
    call = await dial(gateway, callee)
    invite = await callee.awaited("INVITE")
    elapsed = time.monotonic() - started
    callee.respond(invite, "486 Busy Here")
    await callee.awaited("ACK")
    assert (await call.wait_ended()).code == 486
    return elapsed, invite
