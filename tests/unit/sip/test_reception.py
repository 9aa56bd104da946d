"""What a request gets that the guard has let in, before there is a call."""

import pytest

from jibri_sip.sip.guard import DROP, PASS, Verdict
from jibri_sip.sip.reception import Reception

INVITE = "INVITE sip:demo@127.0.0.1 SIP/2.0\r\n{}\r\nContent-Length: 0\r\n\r\nSession-Expires: 5\r\n"
OPTIONS = "OPTIONS sip:demo@127.0.0.1 SIP/2.0\r\n\r\n"


def let_in(_address: str, _text: str) -> Verdict:
    """A guard that knows no strangers."""
    return PASS


@pytest.mark.parametrize(("setting", "answer"), [(503, Verdict(503)), (486, Verdict(486)), (200, PASS)])
def test_options_while_busy(setting: int, answer: Verdict) -> None:
    """The operator says what dispatchers hear; an idle gateway, and calls, are let in as ever."""
    reception = Reception(let_in, setting)
    assert reception.judge("127.0.0.1", OPTIONS) == PASS
    reception.free = False
    assert reception.judge("127.0.0.1", OPTIONS) == answer
    assert reception.judge("127.0.0.1", INVITE.format("Call-ID: a")) == PASS


def test_the_guard_comes_first() -> None:
    """Who is turned away hears nothing of how we are."""
    reception = Reception(lambda _address, _text: DROP, 503)
    reception.free = False
    assert reception.judge("192.0.2.1", OPTIONS) == DROP


@pytest.mark.parametrize(
    ("header", "refused"),
    [
        ("Session-Expires: 30", True),
        ("x:89;refresher=uac", True),
        ("session-expires : 0", True),
        ("Session-Expires: 90", False),
        ("Session-Expires: 99999999999", False),
        ("Session-Expires: soon", False),
        ("X-Session-Expires: 5", False),
        ("Call-ID: a", False),
    ],
)
def test_interval_of_session_timers(header: str, refused: bool) -> None:
    """One below RFC 4028's least is refused with that least; what stands in the body does not count."""
    verdict = Reception(let_in, 503).judge("127.0.0.1", INVITE.format(header))
    assert verdict == (Verdict(422, (("Min-SE", "90"),)) if refused else PASS)
