"""The log: events with fields, for people on a terminal, JSON lines for machines; nothing secret gets through.

An event is a short phrase in lower_snake (`session_bridged`), everything else is a field, with its unit in its name
(`rtt_ms`). Inside `bound(...)` each line carries the session's id and the SIP Call-ID.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from pydantic import SecretStr
from structlog.typing import Processor

HIDDEN = "[hidden]"
_SECRET_KEY = re.compile(
    r"(password|passwd|passcode|secret|token|jwt|authorization|credential|api_?key)", re.IGNORECASE
)
_SECRET_TEXT = (
    # sip:alice:password@host, https://user:password@host
    (re.compile(r"(\b(?:sips?:|[a-z][a-z0-9+.-]*://)[^\s:@/;<>\"]*):[^\s@/;<>\"]*@", re.IGNORECASE), rf"\1:{HIDDEN}@"),
    # ?jwt=…, &token=…, #config.password=…
    (re.compile(r"([?&#;][\w.%-]*(?:jwt|token|pass|secret)[\w.%-]*=)[^&#\s;\"'<>]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # Authorization: Bearer …, Proxy-Authorization: Digest …, and the room password as jigasi names it
    (re.compile(r"((?:authorization|jitsi-conference-room-pass)\s*[:=]\s*)[^\r\n]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(\bbearer\s+)[\w.~+/=-]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # Digest … response="…"
    (re.compile(r"(\b(?:response|nonce|cnonce)=)\"[^\"]*\"", re.IGNORECASE), rf'\1"{HIDDEN}"'),
    # A JWT on its own
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), HIDDEN),
    # a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:… (RFC 4568)
    (re.compile(r"(\binline:)[\w+/=|:-]+"), rf"\1{HIDDEN}"),
)  # fmt: skip


def redacted(value: Any) -> Any:
    """The same without secrets: by the names of keys, by type, and in texts by what secrets look like."""
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {
            key: HIDDEN
            if _SECRET_KEY.search(str(key)) and isinstance(item, str | bytes | SecretStr)
            else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(item) for item in value]
    return value


def _redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    clean: dict[str, Any] = redacted(event)
    return clean


def configure(log_format: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Set up the log of this process, that of the standard library's loggers (uvicorn, selenium) included.

    Args:
        log_format: `auto`, `console` or `json`.
        level: `debug`, `info`, `warning` or `error`.
        stream: Where to; standard error by default.
    """
    out = stream if stream is not None else sys.stderr
    console = log_format == "console" or (log_format == "auto" and out.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    # Tracebacks become text before the redaction, so that a secret in an exception's message does not slip through.
    last: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.UnicodeDecoder(), _redact]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=out.isatty(), timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    structlog.configure(
        processors=[*shared, *last, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _adopt_standard_logging(out, max(number, logging.WARNING), shared, [*last, renderer])


def _adopt_standard_logging(out: TextIO, level: int, shared: list[Processor], last: list[Processor]) -> None:
    """Have the loggers of libraries write the same lines, from warnings up: their chatter is not ours."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """The log for one part of the program, which is named on each of its lines."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=part)
    return log


@contextmanager
def bound(**fields: str) -> Iterator[None]:
    """Have every line inside, in tasks started there too, carry these fields: `session_id`, `call_id`."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def bind(**fields: str) -> None:
    """Have every further line of this task carry these fields."""
    structlog.contextvars.bind_contextvars(**fields)


def summarise(log: structlog.typing.FilteringBoundLogger, facts: Mapping[str, Any], *, normal: bool) -> None:
    """Write the one line that says all about a call: who, when, how long, why it ended, what quality.

    Args:
        log: Where to.
        facts: The fields, units in the names.
        normal: Whether it ended as calls do; else the line is a warning.
    """
    (log.info if normal else log.warning)(
        "session_summary", **{key: value for key, value in facts.items() if value is not None}
    )
