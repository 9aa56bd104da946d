"""Orders and what becomes of them, on the wire between a real Prosody's clients: each word once, to who ordered."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from jibri_sip import errors
from jibri_sip.config.model import Settings
from jibri_sip.errors import GatewayError
from jibri_sip.session.facts import SessionFacts
from jibri_sip.session.news import Availability, Happening, InstanceNews
from jibri_sip.session.orders import ServiceOrder
from jibri_sip.xmpp.brewery import Breweries
from jibri_sip.xmpp.client import USUAL, Pace
from tests.integration.xmpp.conftest import ACCOUNTS, HIBERNATION_S, environment
from tests.jicofo import BreweryServer, Jicofo, SipSession, Wire
from tests.jicofo.server import BREWERY_DOMAIN
from tests.unit.fixed_control import FixedControl

pytestmark = pytest.mark.asyncio(loop_scope="module")

JIBRI = "{http://jitsi.org/protocol/jibri}jibri"
ROOM = "r@conference.meet.example.com"
ADDRESS = "sip:a@b.example"
OVER = ("off", None, None)
AGAIN = ("off", "error", "true")
NO_MORE = ("off", "error", "false")
APART = "apart"
STRICT = Pace(retry_s=0.2, resume_within_s=0.3)
BUSY = {"status": "off", "sipaddress": ADDRESS, "failure_reason": "busy", "should_retry": "true"}


class OneSession(FixedControl):
    """Takes one session at a time, and ends it when told to."""

    def start_service(self, order: ServiceOrder) -> SessionFacts:
        """Take an order when idle."""
        if self.instance.availability is not Availability.IDLE:
            raise errors.Busy
        self.stand(InstanceNews(Availability.BUSY))
        return super().start_service(order)

    async def stop_service(self, error: GatewayError) -> None:
        """End it for this reason."""
        await super().stop_service(error)
        self.end(error)

    def end(self, error: GatewayError) -> None:
        """The session ends by itself."""
        self.tell(Happening.ENDED, self.ordered[-1], error)
        self.stand(InstanceNews(Availability.IDLE))


class Ordering:
    """A gateway's front end in its breweries, and jicofo."""

    def __init__(self, jicofo: Jicofo) -> None:
        self.control = OneSession()
        self.refused: list[str] = []
        self.counted: Counter[str] = Counter()
        self._jicofo = jicofo
        self._moments: dict[tuple[str, int], float] = {}
        self._changed = asyncio.Event()

    def count(self, name: str, _host: str) -> None:
        """Note that something happened to a connection, and when."""
        self.counted[name] += 1
        self._moments[name, self.counted[name]] = asyncio.get_running_loop().time()
        self._changed.set()

    async def moment(self, name: str, count: int) -> float:
        """When this happened for the so-manieth time; waits for it, seconds of the event loop's clock.

        Raises:
            TimeoutError: it did not within 30 s.
        """
        async with asyncio.timeout(30):
            while (name, count) not in self._moments:
                self._changed.clear()
                await self._changed.wait()
        return self._moments[name, count]

    async def free(self, name: str) -> None:
        """Wait until jicofo would take this occupant."""
        await self._jicofo.wait_for(lambda: name in self._jicofo.instances and self._jicofo.instances[name].available)
        instance = self._jicofo.instances[name]
        instance.selected_at = instance.failed_at = float("-inf")

    async def start(self, name: str, **attributes: str) -> dict[str, str]:
        """Order a session of this occupant; what it answers."""
        return await self.ask(name, action="start", room=ROOM, sipaddress=ADDRESS, session_id="1", **attributes)

    async def ask(self, name: str, **attributes: str) -> dict[str, str]:
        """Send it a `<jibri>`; the attributes of the one in the answer."""
        answer = await self._jicofo.ask(self._jicofo.instances[name].jid, Element(JIBRI, attributes))
        assert answer is not None
        return answer.attrib

    async def pending(self) -> SipSession:
        """A session that jicofo has ordered."""
        session = await self._jicofo.order(ROOM, ADDRESS)
        assert session.told == [("pending", None, None)]
        return session


@asynccontextmanager
async def ordering(
    jicofo: Jicofo,
    environments: list[dict[str, Any]],
    *,
    pace: Pace = USUAL,
    wait_for: Sequence[str] | None = None,
    **sections: Mapping[str, Any],
) -> AsyncIterator[Ordering]:
    """A front end in the breweries of these environments.

    Args:
        jicofo: who orders.
        environments: the raw settings of each.
        pace: of the connections.
        wait_for: in which it is waited for; all by default.
        sections: more settings.
    """
    raw = {"meeting": {"base_url": "https://meet.example.com"}, "xmpp": environments, **sections}
    found = Ordering(jicofo)
    # Those of tests before, of the same address, would hear of ours, and be ordered again.
    jicofo.sessions.clear()

    def refuse(error: GatewayError) -> None:
        found.refused.append(error.key)

    breweries = Breweries(Settings.model_validate(raw), found.control, found.count, refuse, pace)
    breweries.open()
    try:
        names = [one["name"] for one in environments]
        for name in names if wait_for is None else wait_for:
            await found.free(name)
        yield found
    finally:
        await breweries.close()
        await jicofo.wait_for(lambda: not jicofo.instances.keys() & set(names), 30)


async def test_answers(server: BreweryServer, jicofo: Jicofo) -> None:
    """As set and as get: pending with the address alone; then busy; a stop is answered once it is off."""
    async with ordering(jicofo, [environment(server, "one")]) as found:
        assert await found.start("one") == {"status": "pending", "sipaddress": ADDRESS}
        assert await found.start("one") == BUSY
        iq: Any = jicofo.make_iq_get(ito=jicofo.instances["one"].jid)
        iq.append(Element(JIBRI, {"action": "start", "room": ROOM, "sipaddress": ADDRESS}))
        assert (await iq.send(timeout=15)).xml.find(JIBRI).attrib == BUSY
        assert await found.ask("one", action="stop", session_id="another") == {"status": "off"}
        assert found.control.stopped == []
        assert await found.ask("one", action="stop", session_id="1") == {"status": "off"}
        assert found.control.stopped == ["orderer-stopped"]
        assert found.refused == ["busy", "busy"]


@pytest.mark.parametrize("error", [errors.Draining, errors.NotReady, errors.Expired])
async def test_no_more_orders(server: BreweryServer, jicofo: Jicofo, error: type[GatewayError]) -> None:
    """One that is about to go, or not ready yet, sends jicofo to the next."""
    async with ordering(jicofo, [environment(server, "one")]) as found:
        found.control.error = error()
        assert await found.start("one") == BUSY


ENDS = [
    (errors.PeerHungUp, True, OVER),
    (errors.UsageTimeout, True, OVER),
    (errors.OperatorHungUp, False, OVER),
    (errors.AloneTooLong, True, OVER),
    (errors.PeerBusy, False, NO_MORE),
    (errors.PeerDeclined, False, NO_MORE),
    (errors.RoomLocked, False, NO_MORE),
    (errors.BrowserLost, False, AGAIN),
    (errors.DiskFull, True, AGAIN),
    (errors.ShuttingDown, False, AGAIN),
    (errors.ShuttingDown, True, OVER),
]


async def test_every_end_is_told_once(server: BreweryServer, jicofo: Jicofo) -> None:
    """Whatever ends a session, jicofo hears `off`, and whether to try elsewhere; an answered call is over."""
    async with ordering(jicofo, [environment(server, "one")]) as found:
        for error, answered, told in ENDS:
            await found.free("one")
            session = await found.pending()
            order = found.control.ordered[-1]
            found.control.tell(Happening.STARTED, order)
            if answered:
                found.control.tell(Happening.ANSWERED, order)
            await jicofo.wait_for(lambda session=session: session.state == "on")  # type: ignore[misc]
            jicofo.instances["one"].selected_at = float("inf")
            found.control.end(error())
            await jicofo.wait_for(lambda session=session: len(session.told) >= 3)  # type: ignore[misc]
            await asyncio.sleep(0.05)
            assert session.told == [("pending", None, None), ("on", None, None), told], error


async def test_on_when_answered(server: BreweryServer, jicofo: Jicofo) -> None:
    """With `report_on = "answered"`, a call that rings is pending."""
    async with ordering(jicofo, [environment(server, "one")], jibri={"report_on": "answered"}) as found:
        session = await found.pending()
        order = found.control.ordered[-1]
        found.control.tell(Happening.STARTED, order)
        await asyncio.sleep(0.2)
        assert session.state == "pending"
        found.control.tell(Happening.ANSWERED, order)
        await jicofo.wait_for(lambda: session.state == "on")
        found.control.end(errors.PeerHungUp())
        await jicofo.wait_for(lambda: session.state == "off")


async def test_what_is_ordered(server: BreweryServer, jicofo: Jicofo) -> None:
    """The environment's account, with a username of its own each time, its timeout, and what the order says."""
    login = {"domain": "sipjibri.x", "username": "sip", "password": "p", "randomize_username": True}
    raw = environment(server, "one", call_login=login, usage_timeout_s=60.0, base_url="https://web.example.com")
    async with ordering(jicofo, [raw]) as found:
        names = set()
        for _ in range(2):
            await found.start("one", displayname="Board", rtcstats_enabled="true")
            order = found.control.ordered[-1]
            assert order.target.login is not None
            user, _, random = order.target.login.username.partition("-")
            assert (order.target.login.domain, user, len(random), random.isalnum()) == ("sipjibri.x", "sip", 8, True)
            names.add(random)
            found.control.end(errors.PeerHungUp())
        assert len(names) == 2
        assert (order.target.base_url, order.target.room) == ("https://web.example.com", "r")
        assert (order.sip_address, order.caller_name, order.usage_timeout_s) == (ADDRESS, "Board", 60.0)
        assert order.target.config_overrides == {"analytics.rtcstatsEnabled": True}
        assert order.environment == f"one-127.0.0.1:{server.port}"


async def test_two_breweries_of_one_environment(tmp_path: Path) -> None:
    """Both are entered and kept informed, orders of either are taken; in a room of its own all see who it is."""
    async with BreweryServer(tmp_path, ACCOUNTS, public_jids=False) as server:
        second = {"domain": BREWERY_DOMAIN, "room": "second", "nickname": "one"}
        raw = environment(server, "one", sip_control_muc=second)
        breweries = Breweries(
            Settings.model_validate({"meeting": {"base_url": "https://meet.example.com"}, "xmpp": [raw]}),
            control := OneSession(),
            lambda _name, _host: None,
            lambda _error: None,
        )
        async with (
            AsyncExitStack() as stack,
            Jicofo(server.port, "focus", ACCOUNTS["focus"], server.authority) as first,
        ):
            stack.push_async_callback(breweries.close)
            breweries.open()
            await first.wait_for(lambda: "one" in first.instances)
            late = Jicofo(server.port, "other", ACCOUNTS["other"], server.authority, room="second")
            other = await stack.enter_async_context(late)
            await other.wait_for(lambda: "one" in other.instances)
            # The room was made by who came first, the gateway, which has opened real addresses to all.
            assert other.instances["one"].real_jid.startswith("jibri@")
            session = await other.order(ROOM, ADDRESS)
            assert session.told == [("pending", None, None)]
            await first.wait_for(lambda: not first.instances["one"].idle)
            await other.wait_for(lambda: not other.instances["one"].idle)
            control.end(errors.PeerHungUp())
            await other.wait_for(lambda: session.state == "off")
            await first.wait_for(lambda: first.instances["one"].available)


def apart(server: BreweryServer, name: str) -> dict[str, Any]:
    """The raw settings of an environment with a brewery of its own, for tests that bring a jicofo."""
    return environment(server, name, control_muc={"domain": BREWERY_DOMAIN, "room": APART, "nickname": name})


@asynccontextmanager
async def jicofo_apart(server: BreweryServer, **limits: float) -> AsyncIterator[Jicofo]:
    """A jicofo with these limits, in that brewery."""
    async with Jicofo(server.port, "focus", ACCOUNTS["focus"], server.authority, room=APART, **limits) as jicofo:  # type: ignore[arg-type]
        yield jicofo


async def test_pending_for_too_long(server: BreweryServer) -> None:
    """Jicofo stops what does not get on in time, which ends it without another word, and has the next instance try."""
    async with (
        jicofo_apart(server, pending_timeout_s=5.0) as jicofo,  # within which the second has to say that it is on
        ordering(jicofo, [apart(server, "one")]) as one,
        ordering(jicofo, [apart(server, "two")]) as two,
    ):
        session = await jicofo.order(ROOM, ADDRESS)
        first, second = (one, two) if one.control.ordered else (two, one)
        await jicofo.wait_for(lambda: len(session.told) == 3)
        assert first.control.stopped == ["orderer-stopped"]
        second.control.tell(Happening.STARTED, second.control.ordered[-1])
        await jicofo.wait_for(lambda: session.state == "on")
        assert [status for status, *_ in session.told] == ["pending", "late", "pending", "on"]
        second.control.end(errors.PeerHungUp())
        await jicofo.wait_for(lambda: session.state == "off")


async def test_barred_after_a_failure(server: BreweryServer) -> None:
    """An instance that cannot is passed over for the next, and left alone until it says that it can again."""
    async with (
        jicofo_apart(server) as jicofo,
        ordering(jicofo, [apart(server, "one")]) as ill,
        ordering(jicofo, [apart(server, "two")]) as well,
    ):
        jicofo.instances["two"].failed_at = 0.0  # long ago, but later than never: the other one is first
        ill.control.error = errors.DeviceFailed("x")
        session = await jicofo.order(ROOM, ADDRESS)
        assert session.told == [AGAIN, ("pending", None, None)]
        assert (ill.refused, len(well.control.ordered)) == (["device-failed"], 1)
        assert jicofo.select() is None
        ill.control.error = None
        ill.control.stand(InstanceNews(Availability.BUSY, errors.DeviceFailed("x")))
        ill.control.stand(InstanceNews(Availability.IDLE))
        await jicofo.wait_for(lambda: jicofo.instances["one"].failed_at < 0)
        await asyncio.sleep(0.25)  # it was chosen just now, and nobody is chosen again at once
        assert jicofo.select() is jicofo.instances["one"]
        well.control.end(errors.PeerHungUp())


async def test_an_instance_that_is_gone(server: BreweryServer) -> None:
    """Jicofo has the next one try when it sees an instance leave."""
    async with jicofo_apart(server) as jicofo, ordering(jicofo, [apart(server, "two")]) as second:
        second.control.stand(InstanceNews(Availability.BUSY))
        await jicofo.wait_for(lambda: not jicofo.instances["two"].available)
        async with ordering(jicofo, [apart(server, "one")]):
            session = await jicofo.order(ROOM, ADDRESS)
            assert session.instance is jicofo.instances["one"]
            second.control.stand(InstanceNews(Availability.IDLE))
            await jicofo.wait_for(lambda: jicofo.instances["two"].available)
        await jicofo.wait_for(lambda: len(session.told) == 3)
        assert [status for status, *_ in session.told] == ["pending", "gone", "pending"]
        second.control.end(errors.PeerHungUp())


async def test_a_gateway_that_was_killed(server: BreweryServer, jicofo: Jicofo) -> None:
    """The one that is started in its place is asked, and not the stream that the server keeps to be resumed."""
    async with Wire(server.port) as wire:
        raw = environment(server, "killed", port=wire.port)
        settings = Settings.model_validate({"meeting": {"base_url": "https://meet.example.com"}, "xmpp": [raw]})
        killed = Breweries(settings, OneSession(), lambda _name, _host: None, lambda _error: None)
        killed.open()
        await jicofo.wait_for(lambda: "killed" in jicofo.instances)
        before = jicofo.instances["killed"]
        wire.take_away()
        await killed.close()
        wire.mend()
        assert jicofo.instances["killed"] is before
        async with ordering(jicofo, [raw]) as found:
            await jicofo.wait_for(lambda: jicofo.instances.get("killed", before) is not before, HIBERNATION_S / 2)
            assert await found.start("killed") == {"status": "pending", "sipaddress": ADDRESS}


async def test_one_environment_twice(server: BreweryServer, jicofo: Jicofo) -> None:
    """Two connections that are the same in everything do not push each other out."""
    raw = environment(server, "one")
    async with ordering(jicofo, [raw, {**raw, "hosts": raw["hosts"] * 2}]) as found:
        await found.moment("xmpp_connected", 3)
        await asyncio.sleep(2)
        assert found.counted == {"xmpp_connected": 3}


async def test_presence_on_change_only(server: BreweryServer, jicofo: Jicofo) -> None:
    """What has no word in it, why an instance is ill or that it is used up, changes nothing."""
    async with ordering(jicofo, [environment(server, "one")]) as found:
        before = jicofo.instances["one"].presences
        for availability in (Availability.BUSY, Availability.BUSY, Availability.EXPIRED):
            found.control.stand(InstanceNews(availability, errors.DeviceFailed("x")))
        found.control.stand(InstanceNews(Availability.IDLE))
        one = jicofo.instances["one"]
        await jicofo.wait_for(lambda: one.presences >= before + 2 and one.available)
        assert one.presences == before + 2


async def test_two_hosts_of_one_environment(server: BreweryServer, jicofo: Jicofo, tmp_path: Path) -> None:
    """There is a connection to each; orders of either are taken, and only whence it came a session is stopped."""
    async with (
        BreweryServer(tmp_path, ACCOUNTS) as other,
        Jicofo(other.port, "focus", ACCOUNTS["focus"], other.authority) as there,
    ):
        hosts = [f"127.0.0.1:{server.port}", f"localhost:{other.port}"]
        raw = environment(server, "one", hosts=hosts, ca_file=None, trust_any_certificate=True)
        async with ordering(jicofo, [raw]) as found:
            await there.wait_for(lambda: "one" in there.instances and there.instances["one"].available)
            session = await there.order(ROOM, ADDRESS)
            assert found.control.ordered[-1].environment == f"one-localhost:{other.port}"
            await jicofo.wait_for(lambda: not jicofo.instances["one"].idle)
            assert await found.start("one") == BUSY
            assert await found.ask("one", action="stop", session_id=session.id) == {"status": "off"}
            assert found.control.stopped == []
            await there.stop(session)
            assert found.control.stopped == ["orderer-stopped"]


async def test_a_server_that_is_not_there_yet(server: BreweryServer, jicofo: Jicofo, tmp_path: Path) -> None:
    """One of two environments is away: the other works, and the first is tried again each five seconds."""
    async with BreweryServer(tmp_path, ACCOUNTS) as late, AsyncExitStack() as stack:
        await late.stop()
        environments = [environment(late, "late"), environment(server, "one")]
        found = await stack.enter_async_context(ordering(jicofo, environments, wait_for=["one"]))
        await found.start("one")
        await found.moment("xmpp_reconnection_failed", 1)
        await late.start()
        async with Jicofo(late.port, "focus", ACCOUNTS["focus"], late.authority) as there:
            await there.wait_for(lambda: "late" in there.instances)
            connected = await found.moment("xmpp_connected", 2)
            # A server may take longer to start than until the next attempt: the last one that failed counts.
            failed = await found.moment("xmpp_reconnection_failed", found.counted["xmpp_reconnection_failed"])
            assert 4.5 < connected - failed < 12
            assert not there.instances["late"].idle
            found.control.end(errors.PeerHungUp())
            await there.wait_for(lambda: there.instances["late"].idle)
            before = found.counted["xmpp_reconnection_failed"]
            await late.kill()
            # There has been a connection: now it is tried again each second.
            first, second = [await found.moment("xmpp_reconnection_failed", before + count) for count in (1, 2)]
            assert 0.8 < second - first < 4
            assert found.control.stopped == []


async def test_lost_connections(server: BreweryServer, jicofo: Jicofo) -> None:
    """Only the loss of the environment that ordered it ends a session; until then both see it busy."""
    async with AsyncExitStack() as stack:
        wires = {name: await stack.enter_async_context(Wire(server.port)) for name in ("one", "two")}
        environments = [environment(server, name, port=wire.port) for name, wire in wires.items()]
        found = await stack.enter_async_context(ordering(jicofo, environments, pace=STRICT))
        await found.start("one")
        await jicofo.wait_for(lambda: not jicofo.instances["two"].idle)
        assert await found.start("two") == BUSY
        for name, stopped in (("two", []), ("one", ["control-lost"])):
            wires[name].silence()
            wires[name].cut()
            await asyncio.sleep(5 * STRICT.resume_within_s)
            if stopped:
                await found.moment("stopped_on_xmpp_closed", 1)
                await asyncio.sleep(0.05)
            assert found.control.stopped == stopped
        assert found.counted["stopped_on_xmpp_closed"] == 1
        for wire in wires.values():
            wire.mend()
        for name in wires:
            await found.free(name)
