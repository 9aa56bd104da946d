"""Jibri's XML as jicofo writes and reads it, example by example, and rooms' addresses."""

from xml.etree.ElementTree import Element, fromstring, tostring

import pytest

from jibri_sip.errors import RoomInvalid
from jibri_sip.xmpp.rooms import Place, place_of
from jibri_sip.xmpp.stanzas import Action, Failure, Report, Request, Status, read, room_configuration, status_extension

NS = 'xmlns="http://jitsi.org/protocol/jibri"'


def same(element: Element, text: str) -> bool:
    """Whether they say the same, whatever the order of attributes and the names of prefixes."""

    def plain(one: Element) -> tuple[object, ...]:
        return (one.tag, dict(one.attrib), (one.text or "").strip(), [plain(child) for child in one])

    return plain(fromstring(tostring(element))) == plain(fromstring(text))  # noqa: S314  (our own text)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        (
            (
                f'<jibri {NS} action="start" room="r@conference.X" sipaddress="a@b" displayname="Room" '
                'session_id="uuid" rtcstats_enabled="false"/>'
            ),
            Request(Action.START, "r@conference.X", "a@b", "Room", "uuid", rtcstats=False),
        ),
        (
            (
                f'<jibri {NS} action="start" room="r@c.x" sipaddress="sip:a@b" session_id="1" app_data="{{}}">'
                '<traceparent xmlns="urn:x" value="00-1"/></jibri>'
            ),
            Request(Action.START, "r@c.x", "sip:a@b", "", "1"),
        ),
        (f'<jibri {NS} action="stop" session_id="uuid"/>', Request(Action.STOP, session_id="uuid")),
        (f'<jibri {NS} action="START" room="r@c.x" recording_mode="file"/>', Request(Action.START, "r@c.x")),
        (f'<jibri {NS} action="start" sipaddress="  "/>', Request(Action.START)),
        (f'<jibri {NS} action="pause"/>', Request(Action.UNDEFINED)),
        (f"<jibri {NS}/>", Request(Action.UNDEFINED)),
    ],
)
def test_requests(text: str, request_: Request) -> None:
    """What jicofo sends is read; what is none of ours is let be."""
    assert read(fromstring(text)) == request_  # noqa: S314


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (Report(Status.PENDING, "a@b"), f'<jibri {NS} status="pending" sipaddress="a@b"/>'),
        (Report(Status.ON, "a@b"), f'<jibri {NS} status="on" sipaddress="a@b"/>'),
        (Report(Status.OFF, "a@b"), f'<jibri {NS} status="off" sipaddress="a@b"/>'),
        (Report(Status.OFF), f'<jibri {NS} status="off"/>'),
        (
            Report(Status.OFF, "a@b", Failure.BUSY, should_retry=True),
            f'<jibri {NS} status="off" sipaddress="a@b" failure_reason="busy" should_retry="true"/>',
        ),
        (
            Report(Status.OFF, "a@b", Failure.ERROR),
            f'<jibri {NS} status="off" sipaddress="a@b" failure_reason="error" should_retry="false"/>',
        ),
    ],
)
def test_reports(report: Report, text: str) -> None:
    """A reason for a failure never comes without the word whether to try again."""
    assert same(report.element(), text)


@pytest.mark.parametrize(("idle", "busy"), [(True, "idle"), (False, "busy")])
@pytest.mark.parametrize(("healthy", "health"), [(True, "healthy"), (False, "unhealthy")])
def test_presence(*, idle: bool, busy: str, healthy: bool, health: str) -> None:
    """Both children are always there; jicofo does not look whether they are."""
    text = (
        f'<jibri-status {NS}><busy-status status="{busy}"/>'
        f'<health-status xmlns="http://jitsi.org/protocol/health" status="{health}"/></jibri-status>'
    )
    assert same(status_extension(idle=idle, healthy=healthy), text)


def test_room_configuration() -> None:
    """A form of type submit that opens real addresses to all."""
    fields = {field.get("var"): field[0].text for field in room_configuration()[0]}
    assert fields == {
        "FORM_TYPE": "http://jabber.org/protocol/muc#roomconfig",
        "muc#roomconfig_whois": "anyone",
    }


@pytest.mark.parametrize(
    ("jid", "base_url", "place"),
    [
        ("r@conference.meet.x", None, Place("https://meet.x", "", "r")),
        ("r@conference.tenant.meet.x", None, Place("https://meet.x", "tenant", "r")),
        ("r@conference.a.b.meet.x/nick", None, Place("https://meet.x", "a.b", "r")),
        ("r@Conference.Meet.X", "https://web.x/base", Place("https://web.x/base", "", "r")),
        ("r@meet.x", None, Place("https://meet.x", "", "r")),
        ("b%c3%b6rse%202@conference.meet.x", None, Place("https://meet.x", "", "b\u00f6rse 2")),
        ("a%252fb@conference.meet.x", None, Place("https://meet.x", "", "a%2fb")),
    ],
)
def test_places(jid: str, base_url: str | None, place: Place) -> None:
    """What stands before the deployment's domain is the tenant."""
    assert place_of(jid, domain="meet.x", strip="conference.", base_url=base_url) == place


@pytest.mark.parametrize(
    "jid", ["", "room", "@conference.meet.x", "r@conference.elsewhere.y", "r@notmeet.x", "%ff@conference.meet.x"]
)
def test_no_places(jid: str) -> None:
    """A room of another deployment is none of ours."""
    with pytest.raises(RoomInvalid):
        place_of(jid, domain="meet.x", strip="conference.", base_url=None)
