"""From what Jibri's files hold to what our settings hold."""

import re

import hocon

from jibri_sip.config.jibri_conf.fates import NoCounterpart, Otherwise
from jibri_sip.config.jibri_conf.leaves import Value

_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|localhost|::1")
_SECURITY = {"required": "required", "ifpossible": "if-possible", "disabled": "disabled"}
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MINUTE_S = 60
_LAST_PORT = 65535


def text(value: Value) -> str:
    """Text as it is."""
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004  (what was written is wrong, not our types)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("must be text, and holds half a character (a lone surrogate)")
    return value


def texts(value: Value) -> list[str]:
    """A list of text."""
    if not isinstance(value, tuple):
        raise ValueError("must be a list")  # noqa: TRY004
    return [text(item) for item in value]


def whole(value: Value) -> int:
    """A whole number."""
    if re.fullmatch(r"-?\d{1,18}", text(value)) is None:
        raise ValueError("must be a whole number")
    return int(text(value))


def port(value: Value) -> int:
    """A port."""
    number = whole(value)
    if not 1 <= number <= _LAST_PORT:
        raise ValueError(f"must be a port, from 1 to {_LAST_PORT}")
    return number


def flag(value: Value) -> bool:
    """Yes or no, in the words that HOCON has for it."""
    found = _FLAGS.get(text(value).lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


def seconds(value: Value) -> float:
    """A duration of HOCON, in seconds: `1 hour`, `90s`; a bare number is milliseconds."""
    try:
        return float(hocon.from_map({"duration": text(value)}).get_duration("duration", "s"))
    except hocon.ConfigError:
        raise ValueError("must be a duration, as in 1 hour") from None


def whole_minutes(value: Value) -> float:
    """The same, cut off to whole minutes as Jibri does with its usage timeout. Seconds."""
    return float(seconds(value) // _MINUTE_S * _MINUTE_S)


def security(value: Value) -> str:
    """Smack's SecurityMode."""
    found = _SECURITY.get(text(value))
    if found is None:
        raise ValueError(f"must be {', '.join(_SECURITY)}")
    return found


def loopback_api(value: Value) -> str:
    """Where the external API listens: beyond this machine it needs what Jibri's clients do not have."""
    host = text(value)
    if _LOOPBACK.fullmatch(host) is None:
        raise Otherwise(
            NoCounterpart(
                "the API is open to other machines only with api.token_file or mutual TLS (api.tls), which Jibri's "
                "clients must be taught; until then it listens on loopback"
            )
        )
    return host


def loopback_internal(value: Value) -> str:
    """Where the internal API listens."""
    host = text(value)
    if _LOOPBACK.fullmatch(host) is None:
        raise Otherwise(NoCounterpart("the internal API is on loopback only, for whoever reaches it can stop us"))
    return host
