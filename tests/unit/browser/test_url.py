"""From a visit to a URL, and back by the rules of Jitsi Meet's page."""

import json
import re
import unicodedata
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser import JoinFailed, Secret, Visit, XmppLogin
from browser.url import INTERFACE, ROOM_BYTES, SETTINGS, conference_url
from browser.visit import JSON

BASE = "https://meet.example"
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
JSON_VALUES: st.SearchStrategy[JSON] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
KEYS = st.from_regex(r"[a-z][A-Za-z0-9]{0,8}(\.[a-z][A-Za-z0-9]{0,8}){0,2}", fullmatch=True)


def visit(room: str = "room", **more: Any) -> Visit:
    """A visit to the example deployment."""
    return Visit(base_url=more.pop("base_url", BASE), room=room, display_name="Guest", **more)


def read_as_jitsi_meet(url: str) -> dict[str, Any]:
    """Read the fragment by the rules of Jitsi Meet's parseURLParams."""
    values = {}
    for part in urlsplit(url).fragment.split("&"):
        key, _, text = part.partition("=")
        decoded = unquote(text).replace("\\&", "&", 1)
        values[key] = json.loads(re.sub("[\u201c\u201d]", '"', re.sub("[\u2018\u2019]", "'", decoded)))
    return values


def is_room(name: str) -> bool:
    """Whether XMPP can have a room of that name, and a browser a path."""
    address = unicodedata.normalize("NFKC", name).lower()
    return name not in {"", ".", ".."} and len(quote(address, safe="!'()*")) <= ROOM_BYTES


@given(TEXT.filter(is_room))
def test_any_name_is_one_path_segment(room: str) -> None:
    """Whatever is in a room's name, the URL has it in one segment of plain ASCII and nowhere else."""
    parts = urlsplit(conference_url(visit(room)))
    assert (parts.scheme, parts.netloc, parts.query) == ("https", "meet.example", "")
    assert re.fullmatch(r"/[A-Za-z0-9_.~%!'()*-]+", parts.path)
    assert unquote(parts.path[1:]) == room


@given(TEXT.filter(is_room), st.lists(st.sampled_from(["team", "a b", "é"]), max_size=2))
def test_tenant_and_base_path_stand_before_the_room(room: str, tenant: list[str]) -> None:
    """A base URL with a path and a tenant keep their order and stay segments of their own."""
    url = conference_url(visit(room, base_url=f"{BASE}:8443/sub/", tenant="/".join(tenant)))
    segments = urlsplit(url).path.split("/")
    assert [unquote(segment) for segment in segments] == ["", "sub", *tenant, room]


@given(st.dictionaries(KEYS, JSON_VALUES, max_size=4))
def test_settings_survive_jitsi_meets_reader(overrides: dict[str, JSON]) -> None:
    """Every JSON value is read back as it was given, curly quotes, ampersands and backslashes included."""
    url = conference_url(visit(config_overrides=overrides))
    assert url.isascii()
    expected = {f"config.{key}": value for key, value in {**SETTINGS, **overrides}.items()}
    expected |= {f"interfaceConfig.{key}": value for key, value in INTERFACE.items()}
    assert read_as_jitsi_meet(url) == expected


def test_trap_is_not_stepped_into() -> None:
    """The prejoin page is not turned off by the URL, for that turns off camera and microphone as well."""
    assert not any("prejoin" in key for key in SETTINGS if key != "recordings.showPrejoinWarning")


@given(TEXT)
def test_no_secret_is_in_the_url(password: str) -> None:
    """The URL of a visit with secrets is that of the same visit without."""
    secret = Secret(f"canary{password}")
    full = visit(password=secret, jwt=secret, xmpp_login=XmppLogin("d", "u", secret), email="e@x", sip_address="sip:a")
    assert conference_url(full) == conference_url(visit())


@pytest.mark.parametrize(
    "room",
    ["", ".", "..", "a\nb", "\x00", "\x9f", "\ud800", "r" * 1024, "é" * 171, "🎸" * 1000],
    ids=ascii,
)
def test_impossible_rooms_are_refused(room: str) -> None:
    """What cannot be a room's name is refused before Chrome hears of it."""
    with pytest.raises(JoinFailed) as error:
        conference_url(visit(room))
    assert error.value.kind == "room-invalid"


@pytest.mark.parametrize("room", ["r" * 1000, "r" * 1023, "é" * 170, "..a", "...", "%2e%2e", "!()*", "it's"])
def test_unusual_rooms_are_rooms(room: str) -> None:
    """Long and odd names within XMPP's limits are taken."""
    assert unquote(urlsplit(conference_url(visit(room))).path) == f"/{room}"


@pytest.mark.parametrize("key", ["", "a b", "a=b", "a&b", "a..b", ".a", "a#b", "é"])
def test_impossible_keys_are_refused(key: str) -> None:
    """A key that is no dotted name is a mistake of the operator, not something to send."""
    with pytest.raises(ValueError, match="config"):
        conference_url(visit(config_overrides={key: 1}))


def test_numbers_that_json_has_not_are_refused() -> None:
    """NaN is no JSON."""
    with pytest.raises(ValueError, match="JSON"):
        conference_url(visit(config_overrides={"a": float("nan")}))
