"""Who may call whom, and which meeting an address means; the addresses are those of strangers."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from jibri_sip import errors
from jibri_sip.config import DialOutSettings, Settings
from jibri_sip.dial_plan import DialledCall, Echo, Refusal, Target, destination, room_target, route, valid_room

CALL = DialledCall(
    user="demo",
    host="gw.example.com",
    params={"transport": "tcp"},
    caller_uri="sip:alice@example.com",
    caller_name="Alice",
    headers={"X-Room": ("first", "second")},
)


def settings(**sections: Any) -> Settings:
    """Settings with these sections."""
    meeting = {"base_url": "https://meet.example.com"} | sections.pop("meeting", {})
    return Settings.model_validate({"meeting": meeting, **sections})


def with_rules(*rules: dict[str, Any], **meeting: Any) -> Settings:
    """Settings with this dial plan."""
    return settings(dial_in={"rules": list(rules)}, meeting=meeting)


def refused(decision: object) -> type[errors.GatewayError]:
    """The error of a refusal."""
    assert isinstance(decision, Refusal)
    return type(decision.error)


def target(decision: object) -> Target:
    """The decision, which must be a target."""
    assert isinstance(decision, Target)
    return decision


def test_the_user_part_is_the_room() -> None:
    """Without rules, the user part of the address is the room on the configured deployment."""
    assert route(CALL, settings()) == Target("https://meet.example.com", "", "demo", "Alice")


@pytest.mark.parametrize(
    ("user", "room"),
    [
        ("Team%20Room", "Team Room"),
        ("b%C3%BCro", "büro"),
        ("bu%CC%88ro", "büro"),
        ("会議室", "会議室"),
        ("a-b_c.d~e", "a-b_c.d~e"),
        ("%20demo%20", "demo"),
        ("x" * 200, "x" * 200),
    ],
)
def test_room_names(user: str, room: str) -> None:
    """A room name may be in any script; it is decoded once and composed (NFC)."""
    assert target(route(replace(CALL, user=user), settings())).room == room


@pytest.mark.parametrize(
    "user",
    [
        "",
        "%20",
        "..",
        "x" * 201,
        "x" * 1000,
        "%41" * 100_000,
        "<script>alert(1)</script>",
        "%3Cscript%3E",
        "a/b",
        "a%2Fb",
        "..%2f..%2fetc",
        "a%252Fb",
        "a%",
        "room?jwt=x",
        "room#config.x=1",
        'a"b',
        "a'b",
        "a\\b",
        "a&b",
        "a;b",
        "a%00b",
        "a%0Ab",
        "a%E2%80%AEb",
        "a%C2%A0b",
        "%FF",
        "\udcff",
        "$(reboot)",
        "`reboot`",
        "{room}",
    ],
)
def test_hostile_users(user: str) -> None:
    """What cannot be a room name is refused with 404, whatever it tries."""
    decision = route(replace(CALL, user=user), settings())
    assert refused(decision) is errors.RoomInvalid
    assert isinstance(decision, Refusal)
    assert decision.error.sip_code == 404
    assert len(decision.error.message) < 200


@given(st.text() | st.binary().map(lambda raw: "".join(f"%{byte:02x}" for byte in raw)))
def test_any_user_is_decided(user: str) -> None:
    """Any user part is either a harmless room name, the echo test, or refused."""
    decision = route(replace(CALL, user=user), settings())
    if isinstance(decision, Target):
        assert valid_room(decision.room) == decision.room
        assert not set(decision.room) & set("\"#$%&'()/:;<>?@[\\]`{|}\n\r\0")
    else:
        assert isinstance(decision, Echo) or refused(decision) is errors.RoomInvalid


@given(st.text(), st.text())
def test_any_caller_gets_a_name(uri: str, name: str) -> None:
    """Whoever calls, the name shown in the meeting is one line of up to 100 characters, and never empty."""
    shown = target(route(replace(CALL, caller_uri=uri, caller_name=name), settings())).display_name
    assert 1 <= len(shown) <= 100
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("uri", "name", "shown"),
    [
        ("sip:alice@example.com", "Alice\r\n  B", "Alice B"),
        ("sip:alice@example.com", "", "alice"),
        ("SIPS:al%C3%AFce:pw@example.com;x=1", " ", "alïce"),
        ("sip:example.com", "", "Room system"),
        ("tel:+49", "", "Room system"),
    ],
)
def test_caller_names(uri: str, name: str, shown: str) -> None:
    """The display name, else the user part of the address (without a password), else the configured name."""
    assert target(route(replace(CALL, caller_uri=uri, caller_name=name), settings())).display_name == shown


def test_rooms_rule() -> None:
    """Only rooms that the whole of `meeting.rooms` matches may be entered."""
    allowed = settings(meeting={"rooms": "demo|team-.*"})
    assert isinstance(route(replace(CALL, user="team-a"), allowed), Target)
    assert refused(route(replace(CALL, user="demo2"), allowed)) is errors.RoomNotAllowed


def test_echo() -> None:
    """The echo user gets the test, whatever the rules, unless it is switched off."""
    echo = replace(CALL, user="Echo")
    assert route(echo, with_rules({"refuse": "forbidden"})) == Echo("Alice")
    assert target(route(echo, settings(dial_in={"echo_user": ""}))).room == "Echo"


def test_modes() -> None:
    """`off` takes nobody, `prepared` only who is expected, and whom a meeting was prepared for gets that one."""
    prepared = Target("https://meet.example.com", "", "expected", "Somebody")
    assert refused(route(CALL, settings(dial_in={"mode": "off"}), prepared)) is errors.DialInOff
    assert refused(route(CALL, settings(dial_in={"mode": "prepared"}))) is errors.NotPrepared
    assert route(CALL, settings(dial_in={"mode": "prepared"}), prepared) == prepared
    assert route(CALL, settings(), prepared) == prepared


def test_first_rule_that_applies_decides() -> None:
    """Rules are asked in order; groups of the user part fill in the room."""
    plan = with_rules(
        {"user": "9.*", "refuse": "unknown"},
        {"user": r"(?P<team>[a-z]+)-(\d+)", "room": r"\g<team> no \2", "tenant": "corp", "display_name": "Lobby"},
        {"user": ".*", "refuse": "forbidden"},
    )
    assert refused(route(replace(CALL, user="911"), plan)) is errors.AddressUnknown
    assert refused(route(CALL, plan)) is errors.CallerRefused
    found = target(route(replace(CALL, user="sales-7"), plan))
    assert (found.room, found.tenant, found.display_name) == ("sales no 7", "corp", "Lobby")


@pytest.mark.parametrize(
    ("rule", "applies"),
    [
        ({"host": "gw.example.com"}, True),
        ({"host": "example.com"}, False),
        ({"caller": "sip:.*@example\\.com"}, True),
        ({"caller": "sip:.*@example\\.co"}, False),
        ({"params": {"Transport": "tcp|tls"}}, True),
        ({"params": {"missing": ".*"}}, False),
        ({"headers": {"x-room": "second"}}, True),
        ({"headers": {"x-room": "third"}}, False),
        ({"headers": {"x-none": ".*"}}, False),
    ],
)
def test_what_rules_can_ask_for(rule: dict[str, Any], applies: bool) -> None:
    """Host, caller, parameters and header fields must match as a whole; what is not there does not match."""
    decision = route(CALL, with_rules(rule | {"refuse": "forbidden"}))
    assert isinstance(decision, Refusal) == applies


def test_a_rule_cannot_make_a_room_of_what_is_none() -> None:
    """What a rule puts together is checked like what is dialled."""
    plan = with_rules({"user": "(.*)", "room": r"a/\1"})
    assert refused(route(CALL, plan)) is errors.RoomInvalid


def test_secrets_stay_at_home() -> None:
    """The deployment's password and token are not sent to the deployment that a rule names, but the rule's own are."""
    elsewhere = {"base_url": "https://other.example.com"}
    secrets = {"password": "home", "jwt": "token", "tenant": "t"}
    there = target(route(CALL, with_rules(elsewhere, **secrets)))
    assert (there.base_url, there.password, there.jwt, there.tenant) == ("https://other.example.com", None, None, "")
    own = target(route(CALL, with_rules(elsewhere | {"password": "theirs"}, **secrets)))
    assert own.password == SecretStr("theirs")
    home = target(route(CALL, with_rules({"tenant": "u"}, **secrets)))
    assert (home.password, home.jwt, home.tenant) == (SecretStr("home"), SecretStr("token"), "u")


def test_room_target_for_dialling_out() -> None:
    """A room given to the API is checked like one that is dialled."""
    with pytest.raises(errors.RoomInvalid):
        room_target("a/b", settings())
    found = room_target(" demo ", settings(meeting={"password": "p"}), display_name="Board\nroom")
    assert found == Target("https://meet.example.com", "", "demo", "Board room", SecretStr("p"))


ALLOW = DialOutSettings(allow=("*@rooms.example.com", "sales-*@192.0.2.7", "room@[2001:db8::1]", "+49*@*.pstn.example"))


@pytest.mark.parametrize(
    ("to", "uri"),
    [
        ("sip:board@rooms.example.com", "sip:board@rooms.example.com"),
        ("board@Rooms.Example.Com.", "sip:board@rooms.example.com"),
        ("sips:board@rooms.example.com:5071", "sips:board@rooms.example.com:5071"),
        ("sip:board@rooms.example.com;transport=TCP", "sip:board@rooms.example.com;transport=tcp"),
        ("sip:sales-1@192.0.2.7", "sip:sales-1@192.0.2.7"),
        ("sip:room@[2001:DB8::1]:5060", "sip:room@[2001:db8::1]:5060"),
        ("sip:+4930123@a.pstn.example;user=phone", "sip:+4930123@a.pstn.example;user=phone"),
        ("SIP:b%20c@rooms.example.com", "sip:b%20c@rooms.example.com"),
    ],
)
def test_allowed_destinations(to: str, uri: str) -> None:
    """An allowed address is called in a form made anew from its checked parts."""
    assert destination(to, ALLOW).uri == uri


@pytest.mark.parametrize(
    "to",
    [
        "sip:board@elsewhere.example.com",
        "sip:board@rooms.example.com.evil.example",
        "sip:board@evil.example/rooms.example.com",
        "sip:sales-1@192.0.2.70",
        "sip:+4930123@pstn.example",
        "sip:+1900@a.pstn.example",
        "sip:room@[2001:db8::2]",
    ],
)
def test_other_destinations_are_not_called(to: str) -> None:
    """What no pattern has is not called."""
    with pytest.raises((errors.DestinationNotAllowed, errors.DestinationInvalid)):
        destination(to, ALLOW)


def test_nobody_is_called_by_default() -> None:
    """Without an allow rule, nobody's toll is run up."""
    with pytest.raises(errors.DestinationNotAllowed):
        destination("sip:a@127.0.0.1", DialOutSettings())


@pytest.mark.parametrize(
    "to",
    [
        "",
        "board",
        "@rooms.example.com",
        "sip:rooms.example.com",
        "tel:+4930",
        "sip:a@b@rooms.example.com",
        "sip:a:password@rooms.example.com",
        "sip:a@rooms.example.com;maddr=evil.example",
        "sip:a@rooms.example.com;lr",
        "sip:a@rooms.example.com?Route=%3Csip:evil%3E",
        "sip:a@rooms.example.com>\r\nRoute: <sip:evil>",
        "sip:a b@rooms.example.com",
        'sip:"a"@rooms.example.com',
        "sip:a@rooms.example.com:0",
        "sip:a@rooms.example.com:70000",
        "sip:a@rooms..example.com",
        "sip:a@-rooms.example.com",
        "sip:a@[::1",
        "sip:a@[1:2:3]",
        "sip:" + "a" * 600 + "@rooms.example.com",
        "sip:a%zz@rooms.example.com",
    ],
)
def test_what_is_no_destination(to: str) -> None:
    """What is not a plain SIP address, or would send the call elsewhere than to its host, is refused."""
    with pytest.raises(errors.DestinationInvalid):
        destination(to, DialOutSettings(allow=("*@*",)))


@given(st.text(alphabet=st.sampled_from('sip:@;?=<>.[]% \r\n"a1') | st.characters()))
def test_any_destination_is_decided(to: str) -> None:
    """Any text is either refused or an address of harmless characters."""
    try:
        found = destination(to, DialOutSettings(allow=("*@*",)))
    except errors.DestinationInvalid:
        return
    assert found.uri.isascii()
    assert not set(found.uri) & set('<>"\r\n \\')
    assert found.uri.count("@") == 1
