"""The log: what is secret stays out of it, whatever way it tries to get in; errors in masses make few lines."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from jibri_sip import log
from jibri_sip.log import HIDDEN, redacted

CANARY = "canary-7f3a"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The log of this test, as JSON lines; logging is left as it was found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    log.configure("json", "info", out)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        f"sip:alice:{CANARY}@example.com",
        f"<sips:alice:{CANARY}@example.com;transport=tls>",
        f"https://alice:{CANARY}@meet.example.com/room",
        f"https://meet.example.com/room?jwt={CANARY}",
        f"https://meet.example.com/room?a=1&token={CANARY}&b=2",
        f"https://meet.example.com/room#config.password={CANARY}",
        f"https://meet.example.com/room#appData.xmpp_password_override={CANARY}&x=1",
        f"Authorization: Bearer {CANARY}",
        f"Proxy-Authorization: Digest username=a, response={CANARY}",
        f'digest username="a", response="{CANARY}", uri="sip:b"',
        f"Jitsi-Conference-Room-Pass: {CANARY}",
        f"curl -H 'bearer {CANARY}'",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{CANARY}|2^20",
        f"given: eyJhbGciOiJIUzI1NiJ9.{CANARY}.c2ln",
    ],
)
def test_secrets_in_texts(text: str) -> None:
    """What looks like a secret in a text is hidden, and the rest stays."""
    clean = redacted(text)
    assert CANARY not in clean
    assert HIDDEN in clean
    assert clean[:3] == text[:3]


@pytest.mark.parametrize("key", ["password", "room_password", "jwt", "api_token", "Authorization", "clientSecret"])
def test_secrets_by_their_keys(key: str) -> None:
    """What a key calls a secret is hidden, however deep."""
    assert CANARY not in str(redacted({"a": [{"b": {key: CANARY}}], key: CANARY}))


def test_what_is_not_secret_stays() -> None:
    """Addresses, numbers and flags are told as they are."""
    event = {"peer": "sip:alice@example.com", "url": "https://meet.example.com/a?b=c", "token_given": True, "rtt_ms": 3}
    assert redacted(event) == event


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_value_can_be_redacted(value: Any) -> None:
    """Anything can be redacted, and twice makes no difference."""
    assert redacted(redacted(value)) == redacted(value)


def test_lines_are_redacted(stream: io.StringIO) -> None:
    """Fields, exceptions and the lines of libraries pass the redaction."""
    part = log.logger("test")
    part.info("joined", url=f"https://m.example/r?jwt={CANARY}", secret=SecretStr(CANARY), password=CANARY)
    part.error("join_failed", exc_info=RuntimeError(f"cannot reach https://alice:{CANARY}@m.example"))
    logging.getLogger("library").warning("bad header: Authorization: Bearer %s", CANARY)
    assert CANARY not in stream.getvalue()
    joined, failed, library = lines(stream)
    assert (joined["event"], joined["part"], joined["level"]) == ("joined", "test", "info")
    assert "RuntimeError" in failed["exception"]
    assert (library["logger"], library["level"]) == ("library", "warning")
    assert joined["time"].endswith("Z")


async def test_bound_fields_follow_the_task(stream: io.StringIO) -> None:
    """Each line inside carries the session's id, in tasks started inside too, and none outside."""
    part = log.logger("test")

    async def child() -> None:
        log.bind(call_id="c1")
        part.info("inside")

    with log.bound(session_id="s1"):
        await asyncio.create_task(child())
        part.info("after")
    part.info("outside")
    inside, after, outside = lines(stream)
    assert (inside["session_id"], inside["call_id"]) == ("s1", "c1")
    assert after["session_id"] == "s1"
    assert "call_id" not in after
    assert "session_id" not in outside


def test_levels(stream: io.StringIO) -> None:
    """Debug lines and the chatter of libraries stay out at level info."""
    log.logger("test").debug("detail")
    logging.getLogger("uvicorn").info("started")
    assert stream.getvalue() == ""


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """For people, a line is words, without colours where there is no terminal."""
    out = io.StringIO()
    log.configure("console", "info", out)
    log.logger("test").info("session_bridged", rtt_ms=3)
    log.logger("test").error("failed", exc_info=RuntimeError("broken"))
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()
    assert "session_bridged" in out.getvalue()
    assert "rtt_ms=3" in out.getvalue()
    assert "RuntimeError: broken" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("normal", "level"), [(True, "info"), (False, "warning")])
def test_summary(stream: io.StringIO, normal: bool, level: str) -> None:
    """The summary is one line; what was not measured is left out, and a call that ended badly is a warning."""
    log.summarise(log.logger("test"), {"talk_s": 3.0, "rtt_ms": None}, normal=normal)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["talk_s"]) == ("session_summary", level, 3.0)
    assert "rtt_ms" not in line
