"""Visits and secrets."""

import pickle

import pytest

from browser import Secret, Visit, XmppLogin


@pytest.mark.parametrize(
    "base_url",
    [
        "meet.example",
        "ftp://meet.example",
        "https:///x",
        "https://u:p@meet.example",
        "https://a/?x=1",
        "https://a:b",
        "https://a/#b",
    ],
)
def test_base_url_must_be_a_deployment(base_url: str) -> None:
    """What is no deployment's URL is refused when the visit is made, and not shown."""
    with pytest.raises(ValueError, match="base_url") as error:
        Visit(base_url=base_url, room="r", display_name="n")
    assert base_url not in str(error.value)


@pytest.mark.parametrize(
    ("base_url", "origin", "host"),
    [
        ("https://Meet.Example/sub", "https://meet.example", "Meet.Example"),
        ("https://meet.example:443", "https://meet.example", "meet.example:443"),
        ("http://localhost:8000/", "http://localhost:8000", "localhost:8000"),
        ("http://[::1]:80/", "http://[::1]", "[::1]:80"),
    ],
)
def test_origin_is_what_the_page_says(base_url: str, origin: str, host: str) -> None:
    """The origin is spelled as `location.origin` spells it: lower case, without the scheme's own port."""
    visit = Visit(base_url=base_url, room="r", display_name="n")
    assert (visit.origin, visit.host) == (origin, host)


def test_secrets_do_not_show() -> None:
    """Neither a secret nor a visit with secrets in it shows them, in no way of printing."""
    secret = Secret("canary")
    visit = Visit("https://a", "r", "n", password=secret, jwt=secret, xmpp_login=XmppLogin("d", "u", secret))
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", repr(visit), str(visit)):
        assert "canary" not in text
    assert secret.reveal() == "canary"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_secrets_compare_by_value() -> None:
    """Equal values are equal secrets, no other thing is; an empty one is false."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
