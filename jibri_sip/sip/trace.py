"""PJSIP's own log, in ours, without secrets."""

import ctypes
import re
import time

import pjsua2 as pj
import structlog

log = structlog.get_logger(__name__)

_SECRETS = (
    # Credentials of RFC 3261 section 22, and the room password as jigasi names it, folded lines included.
    re.compile(
        r"(?im)^((?:Proxy-)?Authorization|Jitsi-Conference-Room-Pass)([ \t]*:[ \t]*)[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*"
    ),
    # Keys of SRTP (RFC 4568).
    re.compile(r"(?im)^(a=crypto)([ \t]*:)[^\r\n]*"),
    # Keys in use, whichever way they were agreed on.
    re.compile(r"([TR]X: \S+)( key=)\S+"),
    # sip:user:password@host
    re.compile(r"(?i)(sips?:[^@:;>\s]+)(:)[^@\s>]+(?=@)"),
)
_PORT_TAKEN = "socket bind() at "
"""PJSIP tells it of a hundred attempts at one pair of ports."""
_NO_PORTS = "Unable to find appropriate RTP/RTCP ports"
_MORE_PORTS = (
    "`ss -lunp` shows who has the UDP ports from sip.rtp_port_first on; give this instance a range of its own."
)
_WARNING = 2
_BURST = 20
_EVERY_S = 60.0
"""So many warnings in so many seconds; more of them, as from a fuzzer, are counted and not written."""


def hush() -> None:
    """Keep PJSIP from writing to stdout until it is told where its log goes (`libInit`)."""
    ctypes.CDLL("libpj.so.2").pj_log_set_level(0)


def redact(text: str) -> str:
    """The text with credentials and keys replaced."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1\2[redacted]", text)
    return text


class LogWriter(pj.LogWriter):
    """Hands each line of PJSIP's log on. PJSIP owns it once `libInit` was called: give it away with `__disown__`."""

    def __init__(self) -> None:
        super().__init__()
        self._since = 0.0
        self._warnings = 0

    def write(self, entry: pj.LogEntry) -> None:
        """Called on the PJSIP thread."""
        try:
            text = entry.msg
            if _NO_PORTS in text:
                log.error("rtp_ports_exhausted", remedy=_MORE_PORTS)
            elif _PORT_TAKEN in text:
                return
            # Level 1 is what PJSIP calls an error; of ours, nobody has to act on it.
            warns = entry.level <= _WARNING
            if warns and not self._may_warn():
                return  # At once: one message may be worth ten thousand.
            text = redact(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip())
            (log.warning if warns else log.debug)("pjsip", text=text)
        except Exception:
            log.exception("pjsip_log_failed")

    def _may_warn(self) -> bool:
        """Whether there was no flood of warnings lately, for which strangers need nothing but a socket."""
        now = time.monotonic()
        if now - self._since > _EVERY_S:
            if self._warnings > _BURST:
                log.warning("pjsip_warnings_left_out", count=self._warnings - _BURST)
            self._since, self._warnings = now, 0
        self._warnings += 1
        return self._warnings <= _BURST
