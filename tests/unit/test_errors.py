"""Errors classify themselves: each says what it means to a SIP peer, an HTTP client and an operator."""

import http
import re

import pytest

from jibri_sip import errors
from jibri_sip.errors import GatewayError, Scope, all_errors
from jibri_sip.session.reasons import EndReason

ALL = list(all_errors())


def test_keys_are_unique() -> None:
    """No two errors share a key, for the key is what people look up."""
    keys = [cls.key for cls in ALL]
    assert len(keys) == len(set(keys)) > 50


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.key)
def test_classified(cls: type[GatewayError]) -> None:
    """Every error has a key, a summary, codes of their kind, and a remedy unless it is a normal end."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.key)
    assert cls.summary
    assert not cls.summary.endswith(".")
    assert cls.summary.isascii()
    assert 400 <= cls.sip_code <= 699
    assert http.HTTPStatus(cls.http_status) >= 400
    assert cls.normal or cls.remedy.endswith((".", "]."))


@pytest.mark.parametrize("cls", [cls for cls in ALL if cls.scope is Scope.BOX], ids=lambda cls: cls.key)
def test_box_errors_send_callers_to_the_next_instance(cls: type[GatewayError]) -> None:
    """A box that cannot take calls answers 503, upon which a proxy tries another one (RFC 3263 section 4.3)."""
    assert cls.sip_code == 503


def test_detail_stays_here() -> None:
    """The detail is in the message for the operator, and not in the text for the peer."""
    error = errors.PortInUse("udp 127.0.0.1:5060")
    assert str(error) == "A port is already in use: udp 127.0.0.1:5060"
    assert error.sip_reason == "A port is already in use"


def test_remedy_of_one_error() -> None:
    """A remedy given with one error stays with that one."""
    assert errors.DeviceFailed("no Xvfb", remedy="install xvfb").remedy == "install xvfb"
    assert errors.DeviceFailed().remedy == errors.DeviceFailed.remedy != "install xvfb"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (404, errors.PeerNotFound),
        (408, errors.PeerUnreachable),
        (486, errors.PeerBusy),
        (488, errors.MediaIncompatible),
        (603, errors.PeerDeclined),
        (407, errors.PeerWantsLogin),
        (599, errors.PeerFailed),
    ],
)
def test_from_sip_response(code: int, expected: type[GatewayError]) -> None:
    """The far side's answer to our INVITE becomes the error of that name, with code and phrase for the operator."""
    error = errors.from_sip_response(code, "Said So")
    assert type(error) is expected
    assert f"{code} Said So" in error.message


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.key)
def test_end_reason_says_what_the_error_says(cls: type[GatewayError]) -> None:
    """A reason to end is its error; the cause in a BYE is 200 for a normal end, else what a response would say."""
    error = cls('a "detail" with \r\n in it')
    reason = EndReason.of(error)
    assert (reason.key, reason.by, reason.scope, reason.sip_code) == (cls.key, cls.by, cls.scope, cls.sip_code)
    assert reason.bye_cause == (200 if cls.normal else cls.sip_code)
    assert reason.as_json()["message"] == error.message
