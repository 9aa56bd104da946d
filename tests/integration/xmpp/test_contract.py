"""What jitsi-xmpp-extensions has of `<jibri>` and `<jibri-status>`, example by example: the text on the wire.

The stanzas of jicofo are sent as it writes them, what the gateway sends is read off an unencrypted connection, and both
are compared in canonical form, so that a wrong namespace, attribute or value is a difference and a blank is none.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import Element, canonicalize, fromstring

import pytest
import pytest_asyncio
from slixmpp.exceptions import IqError

from jibri_sip import errors
from jibri_sip.config.model import Settings
from jibri_sip.session.news import Availability, Happening, InstanceNews
from jibri_sip.xmpp.brewery import Breweries
from tests.integration.xmpp.conftest import ACCOUNTS, environment
from tests.integration.xmpp.test_orders import OneSession
from tests.jicofo import BreweryServer, Jicofo, Wire
from tests.jicofo.server import BREWERY, BREWERY_DOMAIN

pytestmark = pytest.mark.asyncio(loop_scope="module")

JIBRI = "http://jitsi.org/protocol/jibri"
HEALTH = "http://jitsi.org/protocol/health"
NICKNAME = "sip-jibri-1"
SECOND = "sipbrewery-of-the-other"
SOON_S = 20.0
START = (
    f'<jibri xmlns="{JIBRI}" action="start" room="r@conference.meet.example.com" sipaddress="a@b.example"'
    ' displayname="Room" session_id="5c5f8d08-4b7c-4f0e-9d43-6e8e63a9c0de" rtcstats_enabled="false"/>'
)
STOP = f'<jibri xmlns="{JIBRI}" action="stop" session_id="5c5f8d08-4b7c-4f0e-9d43-6e8e63a9c0de"/>'
PENDING = f'<jibri xmlns="{JIBRI}" status="pending" sipaddress="a@b.example"/>'
ON = f'<jibri xmlns="{JIBRI}" status="on" sipaddress="a@b.example"/>'
OFF = f'<jibri xmlns="{JIBRI}" status="off" sipaddress="a@b.example"/>'
STOPPED = f'<jibri xmlns="{JIBRI}" status="off"/>'
BUSY = f'<jibri xmlns="{JIBRI}" status="off" sipaddress="a@b.example" failure_reason="busy" should_retry="true"/>'
FAILED = f'<jibri xmlns="{JIBRI}" status="off" sipaddress="a@b.example" failure_reason="error" should_retry="true"/>'
NO_MORE = FAILED.replace("true", "false")
NOT_HERE = f'<jibri xmlns="{JIBRI}" status="off" failure_reason="error" should_retry="false"/>'


class Heard:
    """What the gateway has sent, stanza by stanza."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._from = 0

    def forget(self) -> None:
        """Read on from here."""
        self._from = len(self._wire.sent)

    def recall(self) -> None:
        """Read from the beginning."""
        self._from = 0

    def _all(self, name: str) -> list[str]:
        text = self._wire.sent[self._from :].decode()
        return re.findall(rf"<{name}\b(?:[^>]*/>|.*?</{name}>)", text, re.DOTALL)

    async def stanza(self, name: str, holding: str) -> str:
        """The first one of this name that holds this text, and what was sent up to it is done with.

        Raises:
            TimeoutError: there is none within `SOON_S`.
        """
        async with asyncio.timeout(SOON_S):
            while True:
                for stanza in self._all(name):
                    if holding.casefold() in stanza.casefold():
                        self._from = self._wire.sent.index(stanza.encode(), self._from) + len(stanza.encode())
                        return stanza
                await asyncio.sleep(0.02)


class Told:
    """The gateway in two breweries, and jicofo in one, which sends what a test says."""

    def __init__(self, heard: Heard, jicofo: Jicofo, control: OneSession, server: BreweryServer) -> None:
        self.heard = heard
        self.control = control
        self.server = server
        self._jicofo = jicofo

    async def ask(self, jibri: str, kind: Literal["set", "get"] = "set") -> str:
        """Send this in an IQ, as jicofo does; the answer's content, canonical."""
        self.heard.forget()
        iq: Any = self._jicofo.make_iq(ito=self._jicofo.instances[NICKNAME].jid, itype=kind)
        iq.append(fromstring(jibri))  # noqa: S314  (ours)
        with contextlib.suppress(IqError):
            await iq.send(timeout=SOON_S)
        answer = await self.heard.stanza("iq", f'to="{self._jicofo.brewery}/focus"')
        assert fromstring(answer).get("type") == ("error" if "<error" in answer else "result")  # noqa: S314
        return content(answer)

    async def told(self) -> str:
        """What the gateway tells the focus next of its own accord, canonical."""
        stanza = await self.heard.stanza("iq", 'status="o')
        outer = fromstring(stanza)  # noqa: S314
        assert (outer.get("type"), outer.get("to")) == ("set", f"{self._jicofo.brewery}/focus")
        return content(stanza)

    async def presences(self) -> list[str]:
        """The next presence to each brewery: their extensions, canonical."""
        return [extension(await self.heard.stanza("presence", f'to="{room}@')) for room in (SECOND, BREWERY)]


def content(stanza: str) -> str:
    """What is in the stanza, canonical."""
    return canonicalize(re.sub(r"^<\w+[^>]*>|</\w+>$", "", stanza))


def extension(presence: str) -> str:
    """The presence's extension, canonical."""
    return canonicalize(re.findall(r"<jibri-status.*?</jibri-status>", presence)[0])


def status(busy: str, health: str) -> str:
    """The presence extension, canonical."""
    return canonicalize(
        f'<jibri-status xmlns="{JIBRI}"><busy-status xmlns="{JIBRI}" status="{busy}"/>'
        f'<health-status xmlns="{HEALTH}" status="{health}"/></jibri-status>'
    )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def all_of_it(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    """The gateway in both breweries, without encryption, that its words can be read."""
    directory: Path = tmp_path_factory.mktemp("open")
    async with BreweryServer(directory, ACCOUNTS, encrypted=False) as server, Wire(server.port) as wire:
        raw = environment(
            server,
            NICKNAME,
            port=wire.port,
            security="disabled",
            sip_control_muc={"domain": BREWERY_DOMAIN, "room": SECOND, "nickname": NICKNAME},
        )
        control = OneSession()
        breweries = Breweries(
            Settings.model_validate({"meeting": {"base_url": "https://meet.example.com"}, "xmpp": [raw]}),
            control,
            lambda _name, _host: None,
            lambda _error: None,
        )
        async with Jicofo(server.port, "focus", ACCOUNTS["focus"], server.authority) as jicofo:
            breweries.open()
            await jicofo.wait_for(lambda: NICKNAME in jicofo.instances)
            yield Told(Heard(wire), jicofo, control, server)
            await breweries.close()


@pytest_asyncio.fixture(loop_scope="module")
async def told(all_of_it: Told) -> AsyncIterator[Told]:
    """The gateway, idle; nothing is heard yet."""
    all_of_it.heard.forget()
    yield all_of_it
    if all_of_it.control.instance.availability is not Availability.IDLE:
        all_of_it.control.stand(InstanceNews(Availability.IDLE))
        assert await all_of_it.ask(STOP) == canonicalize(STOPPED)


async def test_entering(all_of_it: Told) -> None:
    """Both breweries are entered with the extension and without history, before anything else is sent there."""
    all_of_it.heard.recall()
    for room in (SECOND, BREWERY):
        stanza = await all_of_it.heard.stanza("presence", f'to="{room}@{BREWERY_DOMAIN}/{NICKNAME}"')
        assert extension(stanza) == status("idle", "healthy")
        assert '<x xmlns="http://jabber.org/protocol/muc">' in stanza


async def test_presence(told: Told) -> None:
    """The same to both; there is no word for an expired one, which stays busy."""
    for news, wanted in (
        (InstanceNews(Availability.BUSY), status("busy", "healthy")),
        (InstanceNews(Availability.BUSY, errors.DeviceFailed("x")), status("busy", "unhealthy")),
        (InstanceNews(Availability.IDLE, errors.DeviceFailed("x")), status("idle", "unhealthy")),
        (InstanceNews(Availability.EXPIRED), status("busy", "healthy")),
        (InstanceNews(Availability.IDLE), status("idle", "healthy")),
    ):
        told.control.stand(news)
        assert await told.presences() == [wanted, wanted]


@pytest.mark.parametrize("kind", ["set", "get"])
async def test_a_call(told: Told, kind: Literal["set", "get"]) -> None:
    """Pending at once; another order meanwhile; on; off."""
    assert await told.ask(START, kind) == canonicalize(PENDING)
    assert await told.ask(START, kind) == canonicalize(BUSY)
    order = told.control.ordered[-1]
    assert (order.sip_address, order.caller_name) == ("a@b.example", "Room")
    assert (order.target.base_url, order.target.tenant, order.target.room) == ("https://meet.example.com", "", "r")
    assert order.target.config_overrides == {"analytics.rtcstatsEnabled": False}
    told.control.tell(Happening.STARTED, order)
    assert await told.told() == canonicalize(ON)
    told.control.end(errors.PeerHungUp())
    assert await told.told() == canonicalize(OFF)


@pytest.mark.parametrize(("error", "told_as"), [(errors.BrowserLost(), FAILED), (errors.PeerBusy(), NO_MORE)])
async def test_a_failed_call(told: Told, error: errors.GatewayError, told_as: str) -> None:
    """The reason never comes without the word whether to try elsewhere."""
    assert await told.ask(START) == canonicalize(PENDING)
    told.control.end(error)
    assert await told.told() == canonicalize(told_as)


async def test_a_stopped_call(told: Told) -> None:
    """The answer is the only `off`; a stop for another session leaves this one alone."""
    assert await told.ask(START) == canonicalize(PENDING)
    assert await told.ask(STOP.replace("5c5f", "0000")) == canonicalize(STOPPED)
    assert told.control.instance.availability is Availability.BUSY
    assert await told.ask(STOP) == canonicalize(STOPPED)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(told.told(), 0.3)


@pytest.mark.parametrize(
    "jibri",
    [
        START.replace("a@b", "sip:a@b"),
        START.replace("a@b", "sips:a@b"),
        START.replace(" displayname", ' recording_mode="file" displayname'),
        START.replace(" displayname", ' recording_mode="stream" streamid="k" you_tube_broadcast_id="b" displayname'),
        START.replace("/>", " app_data='{&quot;file_recording_metadata&quot;:{&quot;a&quot;:1}}'/>"),
        START.replace("/>", " app_data='no JSON'/>"),
        START.replace("/>", '><traceparent xmlns="urn:x" value="00-1-2-01"/></jibri>'),
        START.replace("/>", f'><TraceParent xmlns="{JIBRI}">00-1-2-01</TraceParent></jibri>'),
        START.replace("start", "START"),
        START.replace(' rtcstats_enabled="false"', "").replace(' displayname="Room"', ""),
    ],
)
async def test_other_orders_of_a_call(told: Told, jibri: str) -> None:
    """An address makes it a call, whatever else is said; what is not known is let be."""
    address = re.findall('sipaddress="([^"]*)"', jibri)[0]
    assert await told.ask(jibri) == canonicalize(PENDING.replace("a@b.example", address))


@pytest.mark.parametrize(
    ("jibri", "answer"),
    [
        (START.replace(' sipaddress="a@b.example"', ' recording_mode="file"'), NOT_HERE),
        (START.replace("a@b.example", " "), NOT_HERE),
        (START.replace("r@conference.meet.example.com", "r@conference.elsewhere.example"), NO_MORE),
        (START.replace("r@conference.meet.example.com", ""), NO_MORE),
    ],
)
async def test_what_is_refused(told: Told, jibri: str, answer: str) -> None:
    """With a reason, and without trying it on another instance, which would not do it either."""
    before = len(told.control.ordered)
    assert await told.ask(jibri) == canonicalize(answer)
    assert len(told.control.ordered) == before


@pytest.mark.parametrize("jibri", [f'<jibri xmlns="{JIBRI}"/>', START.replace("start", "undefined")])
async def test_no_action(told: Told, jibri: str) -> None:
    """An error, RFC 6120 section 8.3.3.1."""
    answer: Element = fromstring(await told.ask(jibri))  # noqa: S314
    assert (answer.tag.rpartition("}")[2], answer.get("type")) == ("error", "modify")
    assert [child.tag for child in answer] == ["{urn:ietf:params:xml:ns:xmpp-stanzas}bad-request"]


async def test_entering_again(told: Told) -> None:
    """The last test: a server that has forgotten us is told who we are, and both breweries how we stand now."""
    told.control.stand(InstanceNews(Availability.BUSY))
    assert await told.presences() == [status("busy", "healthy")] * 2
    await told.server.kill()
    await told.server.start()
    for room in (SECOND, BREWERY):
        stanza = await told.heard.stanza("presence", f'to="{room}@{BREWERY_DOMAIN}/{NICKNAME}"')
        assert '<x xmlns="http://jabber.org/protocol/muc">' in stanza
        assert extension(stanza) == status("busy", "healthy")
    told.control.stand(InstanceNews(Availability.IDLE))
