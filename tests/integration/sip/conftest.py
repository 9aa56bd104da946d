"""An endpoint with test devices, and a peer, shared by the tests of a module; each test finds both idle."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from jibri_sip.sip.call import Call
from jibri_sip.sip.endpoint import Endpoint
from jibri_sip.sip.settings import SipSettings
from tests.peer import gateway_devices
from tests.peer.measured import MeasuredPeer
from tests.peer.pcmu import PcmuSocket
from tests.peer.raw import AUDIO, RawCaller, sdp

SOON_S = 20.0
ANY_PORT = SipSettings(port=0)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(SOON_S):
        while not holds():  # noqa: ASYNC110  (nobody tells of it)
            await asyncio.sleep(0.02)


class Gateway:
    """An endpoint that keeps the calls that come in."""

    def __init__(self, settings: SipSettings = ANY_PORT) -> None:
        self.incoming: asyncio.Queue[Call] = asyncio.Queue()
        self.endpoint = Endpoint(settings, gateway_devices.register, self.incoming.put_nowait)

    @property
    def uri(self) -> str:
        """What to dial, by UDP."""
        return f"sip:demo@{self.endpoint.ports.address};transport=udp"

    async def take(self) -> Call:
        """The next call that comes in."""
        return await asyncio.wait_for(self.incoming.get(), SOON_S)


@asynccontextmanager
async def gateway_with(settings: SipSettings) -> AsyncIterator[Gateway]:
    """An endpoint with these settings, for one test."""
    gateway = Gateway(settings)
    try:
        await gateway.endpoint.start()
        yield gateway
    finally:
        await gateway.endpoint.close()


@asynccontextmanager
async def answered(gateway: Gateway, offer: str, host: str = "127.0.0.1") -> AsyncIterator[tuple[Call, int]]:
    """A call with this offer, and the port of its sound here."""
    async with RawCaller(gateway.endpoint.ports.udp, host=host) as caller:
        caller.request("INVITE", offer)
        call = await gateway.take()
        await call.answer()
        _, answer = await caller.response()
        caller.request("ACK")
        port = re.search(r"m=audio (\d+)", answer)
        assert port is not None
        yield call, int(port[1])
        await call.hangup()
        caller.respond(await caller.awaited("BYE"), "200 OK")
        await call.wait_ended()


def offer(media: PcmuSocket, address: str) -> str:
    """Sound at this socket, by an address that may not be its own."""
    return sdp(AUDIO.replace("30000", str(media.port))).replace("127.0.0.1", address)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gateway(request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    """One endpoint for a module, with its SETTINGS if it has some."""
    gateway = Gateway(getattr(request.module, "SETTINGS", ANY_PORT))
    await gateway.endpoint.start()
    yield gateway
    await gateway.endpoint.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_peer() -> AsyncIterator[MeasuredPeer]:
    """One peer for a module; 640 x 360 at 15 frames a second, to be light."""
    async with MeasuredPeer(width=640, height=360, fps=15, bitrate=500_000) as peer:
        yield peer


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    """The endpoint, without calls of the test before."""
    while not shared_gateway.incoming.empty():
        shared_gateway.incoming.get_nowait()
    return shared_gateway


@pytest_asyncio.fixture(loop_scope="module")
async def peer(shared_peer: MeasuredPeer) -> MeasuredPeer:
    """The peer as it starts: answers at once, with video."""
    await shared_peer.answer_with(200)
    await shared_peer.report()
    shared_peer.forget_events()
    return shared_peer
