"""SIP's syntax, as far as we read and write it ourselves."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jibri_sip.sip.message import (
    Headers,
    SipUri,
    asserted_identity,
    check_header,
    join_address,
    method_of,
    parse_request,
    readable,
    split_address,
)


def test_uri_with_everything() -> None:
    """User, host, port and parameters are told apart and unescaped; the password and the headers are dropped."""
    uri = SipUri.parse("SIP:My%20Room;x=y:secret@Meet.Example.COM:5070;Transport=TCP;pin=1%3B2;lr?Subject=hi")
    assert (uri.scheme, uri.user, uri.host, uri.port) == ("sip", "My Room;x=y", "meet.example.com", 5070)
    assert dict(uri.params) == {"transport": "TCP", "pin": "1;2", "lr": ""}


@pytest.mark.parametrize(
    ("text", "user", "host"),
    [
        ("sip:meet.example.com", "", "meet.example.com"),
        ("sips:demo@[2001:db8::1]:5061", "demo", "[2001:db8::1]"),
        ("sip:+4930123@10.0.0.1", "+4930123", "10.0.0.1"),
        ("sip:Z%C3%BCrich@example.com", "Zürich", "example.com"),
    ],
)
def test_uri_forms(text: str, user: str, host: str) -> None:
    """Addresses without a user, of IPv6, and with any letters are read."""
    uri = SipUri.parse(text)
    assert (uri.user, uri.host) == (user, host)


@pytest.mark.parametrize("text", ["", "demo", "tel:123", "sip:", "sip:@", "sip:a@b c", "http://x@y"])
def test_no_uri(text: str) -> None:
    """What is no SIP address is refused."""
    with pytest.raises(ValueError, match="not a SIP address"):
        SipUri.parse(text)


def test_request_with_compact_and_folded_headers() -> None:
    """Compact names become long ones, folded lines one, repeated fields a tuple; the body is none of them."""
    uri, headers = parse_request(
        "INVITE sip:demo@h SIP/2.0\r\nv: a\r\nVia: b\r\nf: <sip:x@y>\r\nSubject: one\r\n two\r\nl: 5\r\n\r\nX-No: 1"
    )
    assert uri.user == "demo"
    assert headers["via"] == ("a", "b")
    assert headers["from"] == ("<sip:x@y>",)
    assert headers["subject"] == ("one two",)
    assert "x-no" not in headers


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("INVITE sip:a@b SIP/2.0", "INVITE"),
        ("\t options\tsip:a@b SIP/2.0", "OPTIONS"),
        ("\r\n\r\nBYE\r\n sip:a@b SIP/2.0", "BYE"),
        ("", ""),
        ("\0INVITE sip:a@b SIP/2.0", ""),
    ],
)
def test_method(text: str, method: str) -> None:
    """It is told whatever is around it, as PJSIP tells it."""
    assert method_of(text) == method


def test_no_message_is_much_work() -> None:
    """64 kB that a stranger made for it are read in milliseconds; by the square of their length it took seconds."""
    begun = time.process_time()
    _, headers = parse_request("INVITE sip:a@b SIP/2.0\r\n" + "a:\r\n" * 16_000)
    assert len(headers["accept-contact"]) == 16_000
    for address in ("a" + " " * 64_000 + "b", " " * 64_000 + "b", '"' * 64_000, '"a" ' * 16_000):
        split_address(address)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("text", ["", "SIP/2.0 200 OK", "INVITE sip:a@b", "INVITE sip:a@b HTTP/1.1"])
def test_no_request(text: str) -> None:
    """Responses and rubbish are refused."""
    with pytest.raises(ValueError, match="not a SIP request"):
        parse_request(text)


@pytest.mark.parametrize(
    ("text", "name", "uri"),
    [
        ('"Room \\"1\\"" <sip:r@h>;tag=1', 'Room "1"', "sip:r@h"),
        ("Alice Liddell <sip:a@h>", "Alice Liddell", "sip:a@h"),
        ("<sip:a@h;x=1>", "", "sip:a@h;x=1"),
        ("sip:a@h;tag=1", "", "sip:a@h"),
    ],
)
def test_addresses(text: str, name: str, uri: str) -> None:
    """Name and address of a From are told apart in all its forms."""
    assert split_address(text) == (name, uri)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=50))
def test_names_survive_quoting(name: str) -> None:
    """Any name that goes into an address comes out of it again."""
    assert split_address(join_address(name, "sip:a@h"))[0] == name.strip()


@given(st.text(max_size=100))
def test_addresses_stay_on_one_line(name: str) -> None:
    """No name can break out of its header field."""
    address = join_address(name, "sip:a@h")
    assert "\r" not in address
    assert "\n" not in address


@given(st.binary(max_size=200))
def test_bytes_that_are_no_text_are_readable(data: bytes) -> None:
    """Whatever bytes a message holds, what we make of them can be logged and sent as UTF-8."""
    readable(data.decode("utf-8", "surrogateescape")).encode("utf-8")


@pytest.mark.parametrize(("name", "value"), [("X Y", "1"), ("X:", "1"), ("", "1"), ("X", "1\r\nY: 2"), ("X", "\0")])
def test_malformed_headers_are_refused(name: str, value: str) -> None:
    """A header field that would end its line, or another's, is refused."""
    with pytest.raises(ValueError, match="not a header field"):
        check_header(name, value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"p-asserted-identity": ("<sip:a@b>",)}, ("", "sip:a@b")),
        ({"p-asserted-identity": ("<tel:+1>", '"A, B" <sips:a@b>')}, ("A, B", "sips:a@b")),
        ({"p-asserted-identity": ("<sip:a@b>",), "privacy": ("header;id",)}, None),
        ({"p-asserted-identity": ("<sip:a@b>",), "privacy": ("none",)}, ("", "sip:a@b")),
        ({"p-asserted-identity": ('"unclosed <sip:a@b>',)}, ("unclosed", "sip:a@b")),
        ({"p-asserted-identity": ("<tel:+1>",)}, None),
        ({}, None),
    ],
)
def test_asserted_identity(fields: Headers, told: tuple[str, str] | None) -> None:
    """A SIP address is taken wherever it stands, and none from who does not want to be known."""
    assert asserted_identity(fields) == told


@pytest.mark.parametrize("trick", ["\x1b[2J", "\x9b2J", "\r\n", "\u202e", "\u2066", "\x00", "\u2028"])
def test_name_plays_no_tricks(trick: str) -> None:
    """Nothing of a caller's name steers a terminal, ends a line of the log, or turns the text around it."""
    name, _ = split_address(f'"Board{trick}room" <sip:a@b>')
    assert name.isprintable()
    assert name.startswith("Board ")
