"""The whole way that a Jitsi deployment drives the gateway: jicofo finds it in the brewery and orders calls."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
import pytest_asyncio

from jibri_sip.xmpp.client import USUAL
from tests.e2e.waiting import ended, in_room, in_state, until
from tests.jicofo import BreweryServer, Jicofo, Wire
from tests.jicofo.server import AUTH_DOMAIN, BREWERY, BREWERY_DOMAIN
from tests.meeting import EmbeddedMeeting, Participant
from tests.meeting.options import DOMAIN, MUC_DOMAIN
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCOUNTS = {"focus": "f0cus", "jibri": "j1bri", "stranger": "5tranger"}
ROOM = f"ordered@{MUC_DOMAIN}"
ENCODED = "b%c3%b6rse%202"
"""A room's name as it stands in the address of its MUC."""
SOON_S = 30.0
JIBRI = "{http://jitsi.org/protocol/jibri}jibri"


def environment(server: BreweryServer, base_url: str, nickname: str, port: int = 0) -> str:
    """The gateway's configuration for this brewery."""
    return f"""
[[xmpp]]
name = "test"
hosts = ["127.0.0.1:{port or server.port}"]
domain = "{DOMAIN}"
base_url = "{base_url}"
strip_from_room_domain = "conference."
security = "required"
ca_file = "{server.authority}"
[xmpp.control_login]
domain = "{AUTH_DOMAIN}"
username = "jibri"
password = "{ACCOUNTS["jibri"]}"
[xmpp.control_muc]
domain = "{BREWERY_DOMAIN}"
room = "{BREWERY}"
nickname = "{nickname}"
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BreweryServer]:
    """The XMPP server with the brewery."""
    async with BreweryServer(tmp_path_factory.mktemp("brewery"), ACCOUNTS, hibernation_s=20) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(meeting: EmbeddedMeeting, server: BreweryServer, logs: Path) -> AsyncIterator[RunningGateway]:
    """A gateway in the brewery, which may call anybody."""
    settings = {"dial_out": {"allow": ["*@127.0.0.1"]}}
    tables = environment(server, meeting.base_url, "one")
    async with RunningGateway(meeting.base_url, settings, log_file=logs / "gateway.log", tables=tables) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def jicofo(server: BreweryServer, gateway: RunningGateway) -> AsyncIterator[Jicofo]:
    """Jicofo, that sees the gateway idle."""
    async with Jicofo(server.port, "focus", ACCOUNTS["focus"], server.authority) as running:
        await running.wait_for(lambda: "one" in running.instances and running.instances["one"].available)
        yield running
    assert gateway


async def test_ordered_call(
    jicofo: Jicofo, gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting
) -> None:
    """Pending at once, busy meanwhile, on when it rings, off when the peer hangs up, idle again."""
    session = await jicofo.order(f"{ENCODED}@{MUC_DOMAIN}", peer.uri, "Conference room 7")
    assert session.told == [("pending", None, None)]
    await jicofo.wait_for(lambda: not jicofo.instances["one"].idle)
    await jicofo.wait_for(lambda: session.state == "on")
    await peer.wait_up()
    facts = await in_state(gateway, "bridged")
    assert facts["direction"] == "dial-out"
    assert facts["room"] == "b\u00f6rse 2"
    [us] = await until(lambda: meeting.occupants(ENCODED), bool, "occupant")
    assert us.name
    assert "outbound-sip-jibri@" in us.presence
    await peer.hangup()
    await jicofo.wait_for(lambda: session.state == "off")
    assert session.told == [("pending", None, None), ("on", None, None), ("off", None, None)]
    await jicofo.wait_for(lambda: jicofo.instances["one"].available)


async def test_stopped_by_jicofo(jicofo: Jicofo, gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """The answer to the stop tells that it is off, when it is; nothing more is told."""
    session = await jicofo.order(ROOM, peer.uri)
    await jicofo.wait_for(lambda: session.state == "on")
    await peer.wait_up()
    answer = await jicofo.stop(session)
    assert answer is not None
    assert answer.attrib == {"status": "off"}
    await peer.wait_over(SOON_S)
    assert (await in_state(gateway, "ended"))["end"]["key"] == "orderer-stopped"
    await jicofo.wait_for(lambda: jicofo.instances["one"].available)
    assert [status for status, *_ in session.told] == ["pending", "on"]


async def test_stop_of_another_session(jicofo: Jicofo, gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """A stop that comes late, for a session that is over, does not end the present one."""
    old = await jicofo.order(ROOM, peer.uri)
    await jicofo.wait_for(lambda: old.state == "on")
    await peer.wait_up()
    await jicofo.stop(old)
    await jicofo.wait_for(lambda: jicofo.instances["one"].available)
    new = await jicofo.order(ROOM, peer.uri)
    await jicofo.wait_for(lambda: new.state == "on")
    answer = await jicofo.stop(old)
    assert answer is not None
    assert answer.get("status") == "off"
    assert (await gateway.last_session())["state"] in {"ringing", "bridged"}
    await jicofo.stop(new)


async def test_busy(jicofo: Jicofo, peer: MeasuredPeer) -> None:
    """A second order is told that it is busy, and that another instance may do."""
    session = await jicofo.order(ROOM, peer.uri)
    instance = session.instance
    assert instance is not None
    request = Element(JIBRI, {"action": "start", "room": ROOM, "sipaddress": "a@127.0.0.1", "session_id": "2"})
    answer = await jicofo.ask(instance.jid, request)
    assert answer is not None
    assert answer.attrib == {
        "status": "off",
        "sipaddress": "a@127.0.0.1",
        "failure_reason": "busy",
        "should_retry": "true",
    }
    await jicofo.stop(session)


@pytest.mark.parametrize(
    ("attributes", "should_retry"),
    [
        ({"sipaddress": "a@elsewhere.example"}, "false"),  # nobody may be called there
        ({"sipaddress": "no address"}, "false"),
        ({"sipaddress": "a@127.0.0.1", "room": "nonsense"}, "false"),
        ({"sipaddress": "a@127.0.0.1", "room": "r@conference.elsewhere.example"}, "false"),
        ({"recording_mode": "file"}, "false"),
    ],
)
async def test_orders_that_cannot_be(jicofo: Jicofo, attributes: dict[str, str], should_retry: str) -> None:
    """A failure comes with the word whether another instance would do better."""
    request = Element(JIBRI, {"action": "start", "room": ROOM, "session_id": "3", **attributes})
    answer = await jicofo.ask(jicofo.instances["one"].jid, request)
    assert answer is not None
    assert answer.get("status") == "off"
    assert answer.get("failure_reason") == "error"
    assert answer.get("should_retry") == should_retry


async def test_peer_that_is_busy(jicofo: Jicofo, peer: MeasuredPeer) -> None:
    """It is not rung again by one instance after the other."""
    await peer.answer_with(486)
    session = await jicofo.order(ROOM, peer.uri)
    await jicofo.wait_for(lambda: session.state == "failed")
    assert session.told[-1] == ("off", "error", "false")
    assert session.tries == 1


async def test_pending_for_too_long(
    server: BreweryServer, gateway: RunningGateway, meeting: EmbeddedMeeting, alice: Participant, peer: MeasuredPeer
) -> None:
    """Who waits in a lobby for longer than jicofo does is told to stop, and calls nobody."""
    await meeting.set_lobby("demo", is_open=True)
    try:
        async with Jicofo(
            server.port, "focus", ACCOUNTS["focus"], server.authority, pending_timeout_s=15, retries=0
        ) as jicofo:
            await jicofo.wait_for(lambda: "one" in jicofo.instances and jicofo.instances["one"].available)
            session = await jicofo.order(f"demo@{MUC_DOMAIN}", peer.uri)
            await jicofo.wait_for(lambda: session.state == "failed")
            assert (await ended(gateway, "orderer-stopped"))["stages_ms"].keys() & {"lobby", "invite_sent"} == {"lobby"}
            await jicofo.wait_for(lambda: jicofo.instances["one"].available)
            assert [status for status, *_ in session.told] == ["pending", "late"]
    finally:
        await meeting.set_lobby("demo", is_open=False)
    await in_room(meeting, "demo", "alice")
    assert alice


async def test_nonsense(jicofo: Jicofo) -> None:
    """An action that is none is a bad request; the instance is there afterwards."""
    jid = jicofo.instances["one"].jid
    assert await jicofo.ask(jid, Element(JIBRI, {"action": "dance"})) is None
    assert await jicofo.ask(jid, Element(JIBRI)) is None
    answer = await jicofo.ask(jid, Element(JIBRI, {"action": "stop", "session_id": "none"}))
    assert answer is not None
    assert answer.get("status") == "off"


async def test_next_instance_takes_over(
    jicofo: Jicofo, gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting, server: BreweryServer
) -> None:
    """Two instances: what the first cannot do since it is busy, the second does; both are on at once."""
    settings = {"dial_out": {"allow": ["*@127.0.0.1"]}}
    tables = environment(server, meeting.base_url, "two")
    async with (
        RunningGateway(meeting.base_url, settings, tables=tables) as second,
        MeasuredPeer(width=320, height=180, fps=10) as other,
    ):
        await jicofo.wait_for(lambda: "two" in jicofo.instances and jicofo.instances["two"].available)
        first_session = await jicofo.order(ROOM, peer.uri)
        second_session = await jicofo.order(f"another@{MUC_DOMAIN}", other.uri)
        assert first_session.instance is not second_session.instance
        await jicofo.wait_for(lambda: first_session.state == second_session.state == "on")
        await in_state(gateway, "bridged")
        await in_state(second, "bridged")
        await jicofo.stop(first_session)
        await jicofo.stop(second_session)


async def test_server_restarted_in_a_call(
    gateway: RunningGateway, peer: MeasuredPeer, server: BreweryServer, jicofo: Jicofo
) -> None:
    """The stream cannot be resumed, so jicofo has given the session up: it ends, and we are back in the brewery."""
    session = await jicofo.order(ROOM, peer.uri)
    await jicofo.wait_for(lambda: session.state == "on")
    await peer.wait_up()
    await server.kill()
    await server.start()
    await peer.wait_over(30)
    assert (await in_state(gateway, "ended"))["end"]["key"] == "control-lost"
    async with Jicofo(server.port, "focus", ACCOUNTS["focus"], server.authority) as again:
        await again.wait_for(lambda: "one" in again.instances and again.instances["one"].available)
        session = await again.order(ROOM, peer.uri)
        await again.wait_for(lambda: session.state == "on")
        await again.stop(session)


async def test_stranger(server: BreweryServer, gateway: RunningGateway) -> None:
    """Who writes from outside the brewery orders and stops nothing."""
    await gateway.ready(SOON_S)
    async with Jicofo(server.port, "stranger", ACCOUNTS["stranger"], server.authority) as stranger:
        await stranger.wait_for(lambda: "one" in stranger.instances)
        address = stranger.instances["one"].real_jid
        for action in ("start", "stop"):
            request = Element(JIBRI, {"action": action, "room": ROOM, "sipaddress": "a@127.0.0.1", "session_id": "4"})
            assert await stranger.refusal(address, request) == "forbidden"
    assert (await gateway.status())["slot"] == "idle"


async def test_presence_on_change_only(jicofo: Jicofo) -> None:
    """Jicofo counts on that."""
    before = jicofo.instances["one"].presences
    await asyncio.sleep(3)
    assert jicofo.instances["one"].presences == before


async def test_wire_cut_in_a_call(meeting: EmbeddedMeeting, server: BreweryServer, peer: MeasuredPeer) -> None:
    """The stream is resumed within a second or two: nobody sees us leave, and the call goes on to its own end."""
    async with (
        Wire(server.port) as wire,
        RunningGateway(
            meeting.base_url,
            {"dial_out": {"allow": ["*@127.0.0.1"]}},
            tables=environment(server, meeting.base_url, "wired", wire.port),
        ) as gateway,
        Jicofo(server.port, "focus", ACCOUNTS["focus"], server.authority) as jicofo,
    ):
        await jicofo.wait_for(lambda: "wired" in jicofo.instances and jicofo.instances["wired"].available)
        jicofo.instances = {"wired": jicofo.instances["wired"]}
        session = await jicofo.order(ROOM, peer.uri)
        await jicofo.wait_for(lambda: session.state == "on")
        await peer.wait_up()
        before = wire.connections
        wire.cut()
        await until(connections(wire), lambda count: count > before, "another connection")
        await asyncio.sleep(USUAL.resume_within_s + 2)
        assert (await gateway.last_session())["state"] == "bridged"
        assert gateway.events("xmpp_resumed")
        await peer.hangup()
        await jicofo.wait_for(lambda: session.state == "off")
        assert [status for status, *_ in session.told] == ["pending", "on", "off"]


async def test_usage_timeout(meeting: EmbeddedMeeting, server: BreweryServer, peer: MeasuredPeer) -> None:
    """A call as long as the environment allows is ended, and jicofo hears of it: from Jibri it would not."""
    tables = environment(server, meeting.base_url, "brief").replace("strip_from", "usage_timeout_s = 20.0\nstrip_from")
    settings = {"dial_out": {"allow": ["*@127.0.0.1"]}}
    async with (
        RunningGateway(meeting.base_url, settings, tables=tables) as gateway,
        Jicofo(server.port, "focus", ACCOUNTS["focus"], server.authority) as jicofo,
    ):
        await jicofo.wait_for(lambda: "brief" in jicofo.instances and jicofo.instances["brief"].available)
        jicofo.instances = {"brief": jicofo.instances["brief"]}
        session = await jicofo.order(ROOM, peer.uri)
        await jicofo.wait_for(lambda: session.state == "on")
        await peer.wait_up()
        await peer.wait_over(40)
        await jicofo.wait_for(lambda: session.state == "off")
        assert session.told == [("pending", None, None), ("on", None, None), ("off", None, None)]
        assert (await in_state(gateway, "ended"))["end"]["key"] == "usage-timeout"


def connections(wire: Wire) -> Callable[[], Awaitable[int]]:
    """How many the wire has seen, to be waited for."""

    async def count() -> int:
        return wire.connections

    return count


def refusals(gateway: RunningGateway) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """What its log tells of certificates that it has refused, to be waited for."""

    async def found() -> list[dict[str, Any]]:
        return gateway.events("xmpp_certificate_refused")

    return found


@pytest.mark.parametrize(
    ("security", "encrypted", "trusted", "enters"),
    [
        ("required", True, True, True),
        ("required", True, False, False),
        ("required", False, True, True),  # offered, if not demanded
        ("disabled", False, True, True),
        ("disabled", True, True, False),
        ("if-possible", True, True, True),
    ],
)
async def test_encryption(
    tmp_path: Path, meeting: EmbeddedMeeting, *, security: str, encrypted: bool, trusted: bool, enters: bool
) -> None:
    """STARTTLS by its three modes; a server that nobody vouches for is not talked to."""
    async with BreweryServer(tmp_path, ACCOUNTS, encrypted=encrypted) as server:
        tables = environment(server, meeting.base_url, "one").replace('"required"', f'"{security}"')
        if not trusted:
            tables = re.sub("(?m)^ca_file.*$", "", tables)
        async with (
            RunningGateway(meeting.base_url, tables=tables) as gateway,
            Jicofo(server.port, "focus", ACCOUNTS["focus"], server.authority) as jicofo,
        ):
            if not trusted:
                await until(refusals(gateway), bool, "certificate that is refused")
            if enters:
                await jicofo.wait_for(lambda: "one" in jicofo.instances)
            else:
                await asyncio.sleep(3)
                assert "one" not in jicofo.instances
