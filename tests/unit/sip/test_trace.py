"""No secret of a SIP message gets into the log."""

import pjsua2 as pj
import pytest
import structlog

from jibri_sip.sip.trace import LogWriter, redact

SECRET = "hunter2"  # noqa: S105  (that is the point)


@pytest.mark.parametrize(
    "text",
    [
        f'Authorization: Digest username="a", response="{SECRET}"',
        f'Proxy-Authorization : Digest username="a",\r\n response="{SECRET}",\r\n\tnonce="x"',
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{SECRET}|2^20",
        f"a=crypto: 1  AES_CM_128_HMAC_SHA1_80\tinline:{SECRET}",
        f"srtp0x1 !TX: AES_CM_128_HMAC_SHA1_80 key={SECRET}",
        f"INVITE sip:alice:{SECRET}@example.com SIP/2.0",
        f"Jitsi-Conference-Room-Pass: {SECRET}",
    ],
)
def test_secrets_are_replaced(text: str) -> None:
    """Credentials, keys and passwords are replaced, whatever surrounds them stays."""
    message = f"Via: x\r\n{text}\r\nCSeq: 1 INVITE"
    redacted = redact(message)
    assert SECRET not in redacted
    assert "[redacted]" in redacted
    assert redacted.startswith("Via: x\r\n")
    assert redacted.endswith("CSeq: 1 INVITE")


def test_the_rest_is_left_alone() -> None:
    """A message without secrets is not changed."""
    message = "INVITE sip:demo@h:5060 SIP/2.0\r\nFrom: <sip:a@b:5070>;tag=1\r\na=rtpmap:96 opus/48000/2"
    assert redact(message) == message


def test_a_flood_of_warnings_is_not_written() -> None:
    """A stranger's message may be worth thousands of them: some are written, at no level more; all else goes on."""
    writer, warning, notice = LogWriter(), pj.LogEntry(), pj.LogEntry()
    warning.level, warning.msg = 2, "sdp.c Too many"
    notice.level, notice.msg = 3, "pjsua_core.c .TX 300 bytes"
    with structlog.testing.capture_logs() as log:
        for _ in range(1000):
            writer.write(warning)
        writer.write(notice)
    assert [line["log_level"] for line in log] == ["warning"] * 20 + ["debug"]
