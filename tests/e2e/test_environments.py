"""One gateway for two deployments: each has its brewery and its jicofo, and all of them one slot. And when it goes."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree.ElementTree import Element

import httpx2
import pytest
import pytest_asyncio
import tomlkit

from jibri_sip.xmpp.client import USUAL
from tests.e2e.waiting import ended, in_state, until
from tests.jicofo import BreweryServer, Jicofo, Wire
from tests.meeting import EmbeddedMeeting
from tests.meeting.options import DOMAIN, MUC_DOMAIN
from tests.peer.measured import MeasuredPeer
from tests.peer.provider import SipProvider, field
from tests.running_gateway import PLAIN, RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCOUNTS = {"focus": "f0cus", "jibri": "j1bri"}
ROOM = f"ordered@{MUC_DOMAIN}"
JIBRI = "{http://jitsi.org/protocol/jibri}jibri"
SOON_S = 15.0
USAGE_S = 20.0  # the meeting is joined and the peer called in it
GRACEFUL = "/jibri/api/internal/v1.0/gracefulShutdown"
CALLED = [("pending", None, None), ("on", None, None), ("off", None, None)]


@dataclass
class Deployment:
    """A deployment that orders sessions.

    Attributes:
        name: the gateway's nickname there.
        server: its XMPP server.
        wire: between that and the gateway.
        jicofo: who orders.
    """

    name: str
    server: BreweryServer
    wire: Wire
    jicofo: Jicofo

    async def free(self) -> None:
        """Wait until jicofo would choose the gateway."""
        await self.jicofo.wait_for(lambda: self.name in self.jicofo.instances and self.gateway.available)
        self.gateway.selected_at = self.gateway.failed_at = float("-inf")

    @property
    def gateway(self) -> Any:
        """The gateway, as jicofo knows it."""
        return self.jicofo.instances[self.name]

    async def busy(self) -> None:
        """See that it is shown as busy here, and says so to an order."""
        await self.jicofo.wait_for(lambda: not self.gateway.idle)
        request = Element(JIBRI, {"action": "start", "room": ROOM, "sipaddress": "a@127.0.0.1", "session_id": "2"})
        answer = await self.jicofo.ask(self.gateway.jid, request)
        assert answer is not None
        assert (answer.get("failure_reason"), answer.get("should_retry")) == ("busy", "true")


@asynccontextmanager
async def deployment(name: str, directory: Path) -> AsyncIterator[Deployment]:
    """A deployment of this name."""
    async with (
        BreweryServer(directory, ACCOUNTS, hibernation_s=60) as server,
        Wire(server.port) as wire,
        Jicofo(server.port, "focus", ACCOUNTS["focus"], server.authority, retries=0) as jicofo,
    ):
        yield Deployment(name, server, wire, jicofo)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def first(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """The one of the two."""
    async with deployment("first", tmp_path_factory.mktemp("first")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def second(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """The other, whose sessions may last some seconds."""
    async with deployment("second", tmp_path_factory.mktemp("second")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def alone(tmp_path: Path) -> AsyncIterator[Deployment]:
    """One for a gateway that goes."""
    async with deployment("alone", tmp_path) as running:
        yield running


def tables(meeting: EmbeddedMeeting, *deployments: Deployment) -> str:
    """The gateway's settings for them."""
    common = {"domain": DOMAIN, "base_url": meeting.base_url}
    environments = [
        each.server.environment("jibri", each.name, each.wire.port, **common)
        | ({"usage_timeout_s": USAGE_S} if each.name == "second" else {})
        for each in deployments
    ]
    return tomlkit.dumps({"xmpp": environments})


@asynccontextmanager
async def running(
    meeting: EmbeddedMeeting,
    log: Path,
    *deployments: Deployment,
    wait_for: Deployment | None = None,
    sections: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> AsyncIterator[RunningGateway]:
    """A gateway for them, which all of them see, or one of them that is named."""
    settings = {"dial_out": {"allow": ["*@127.0.0.1"]}, **sections}
    async with RunningGateway(meeting.base_url, settings, log, tables=tables(meeting, *deployments)) as gateway:
        for each in deployments if wait_for is None else [wait_for]:
            await each.free()
        yield gateway


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(
    meeting: EmbeddedMeeting, logs: Path, first: Deployment, second: Deployment
) -> AsyncIterator[RunningGateway]:
    """A gateway for both; the second one's server is away at first, which keeps nobody from using the first one."""
    second.wire.take_away()
    async with running(meeting, logs / "gateway.log", first, second, wait_for=first) as gateway:
        assert second.name not in second.jicofo.instances
        second.wire.mend()
        await second.free()
        yield gateway


async def test_either_may_order(
    gateway: RunningGateway, first: Deployment, second: Deployment, peer: MeasuredPeer
) -> None:
    """Whoever orders, both see it busy; a session ends when its orderer's time is over, and `off` is told once."""
    await first.free()
    session = await first.jicofo.order(ROOM, peer.uri)
    await second.busy()
    await first.jicofo.wait_for(lambda: session.state == "on")
    await peer.wait_up(SOON_S)
    assert (await gateway.api("GET", "/jibri/api/v1.0/health"))["environmentContext"]["name"].startswith("first-")
    await first.jicofo.stop(session)
    await peer.wait_over(SOON_S)
    peer.forget_events()
    await second.free()
    session = await second.jicofo.order(ROOM, peer.uri)
    await first.busy()
    await peer.wait_up(USAGE_S)
    await peer.wait_over(USAGE_S + SOON_S)
    await ended(gateway, "usage-timeout")
    await second.free()
    await first.free()
    assert session.told == CALLED


async def test_not_resumed(gateway: RunningGateway, first: Deployment, second: Deployment, peer: MeasuredPeer) -> None:
    """When the orderer's connection is not back in time, the session ends, and the peer is told."""
    session = await first.jicofo.order(ROOM, peer.uri)
    await first.jicofo.wait_for(lambda: session.state == "on")
    await peer.wait_up(SOON_S)
    first.wire.silence()
    first.wire.cut()
    await asyncio.sleep(USUAL.resume_within_s / 2)
    assert (await gateway.last_session())["state"] == "bridged"
    await peer.wait_over(USUAL.resume_within_s + SOON_S)
    await ended(gateway, "control-lost")
    await second.free()
    first.wire.mend()
    await first.jicofo.wait_for(lambda: session.state == "failed")
    await first.free()
    assert session.told == [*CALLED[:2], ("off", "error", "true")]


async def test_terminated(meeting: EmbeddedMeeting, alone: Deployment, peer: MeasuredPeer, logs: Path) -> None:
    """SIGTERM ends the call; jicofo hears it once, before it sees us leave."""
    async with running(meeting, logs / "terminated.log", alone) as gateway:
        session = await alone.jicofo.order(ROOM, peer.uri)
        await alone.jicofo.wait_for(lambda: session.state == "on")
        await peer.wait_up(SOON_S)
        await in_state(gateway, "bridged")
        assert await gateway.stop(signal.SIGTERM) == 0
        await peer.wait_over(SOON_S)
        await alone.jicofo.wait_for(lambda: "alone" not in alone.jicofo.instances, SOON_S)
        assert session.told == CALLED


async def test_terminated_while_it_rings(
    meeting: EmbeddedMeeting, alone: Deployment, peer: MeasuredPeer, logs: Path
) -> None:
    """A call that nobody has answered yet may be made by another instance."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(running(meeting, logs / "ringing.log", alone))
        await peer.answer_with(200, after_s=60)
        session = await alone.jicofo.order(ROOM, peer.uri)
        await alone.jicofo.wait_for(lambda: session.state == "on")
        await in_state(gateway, "ringing")
        assert await gateway.stop(signal.SIGTERM) == 0
        await alone.jicofo.wait_for(lambda: "alone" not in alone.jicofo.instances, SOON_S)
        assert session.told == [*CALLED[:2], ("off", "error", "true")]


async def test_graceful(meeting: EmbeddedMeeting, alone: Deployment, peer: MeasuredPeer, logs: Path) -> None:
    """`gracefulShutdown` lets the call go on to its end, as busy; then all is told, and the brewery left."""
    async with running(meeting, logs / "graceful.log", alone) as gateway:
        session = await alone.jicofo.order(ROOM, peer.uri)
        await alone.jicofo.wait_for(lambda: session.state == "on")
        await peer.wait_up(SOON_S)
        await in_state(gateway, "bridged")
        async with httpx2.AsyncClient(timeout=30, trust_env=False, verify=PLAIN) as client:
            answer = await client.post(f"http://127.0.0.1:{gateway.internal_port}{GRACEFUL}")
        assert answer.status_code == 200
        await alone.busy()
        assert (await gateway.last_session())["state"] == "bridged"
        await peer.hangup()
        assert await gateway.exit_status() == 255
        await alone.jicofo.wait_for(lambda: "alone" not in alone.jicofo.instances, SOON_S)
        assert session.told == CALLED


async def test_account_of_the_instance(meeting: EmbeddedMeeting, alone: Deployment, logs: Path) -> None:
    """It is registered while the gateway runs, shown as such, and jicofo's calls are made with it."""
    async with SipProvider("room7", "pa$$word") as provider:
        proxy = f"sip:127.0.0.1:{provider.port};lr"
        account = {"user": provider.account, "password": "pa$$word", "proxy": proxy}
        async with running(meeting, logs / "account.log", alone, sections={"sip.account": account}) as gateway:
            await provider.registered(now=True)
            # It has yet to hear that it is.
            status = await until(gateway.status, lambda now: now["account"]["registered"], "registered account")
            assert status["account"]["address"] == f"sip:{provider.account}"
            session = await alone.jicofo.order(ROOM, "sip:guest@127.0.0.1")
            await alone.jicofo.wait_for(lambda: session.state == "failed")
            assert session.told[-1] == ("off", "error", "false")
            assert field(provider.of("INVITE")[-1], "From").split("<")[1].startswith("sip:room7@127.0.0.1")
        await provider.registered(now=False)
    assert "pa$$word" not in gateway.log_file.read_text()
