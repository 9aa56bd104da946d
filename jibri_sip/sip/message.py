"""The little of SIP's syntax that PJSIP keeps to itself: request lines, header fields, addresses (RFC 3261)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import unquote

PICTURE_FAST_UPDATE = (
    '<?xml version="1.0" encoding="utf-8"?><media_control><vc_primitive><to_encoder>'
    "<picture_fast_update/></to_encoder></vc_primitive></media_control>"
)
"""Asks for a whole picture (RFC 5168)."""
_URI = re.compile(
    r"(?P<scheme>sips?):(?:(?P<user>[^@:]*)(?::[^@]*)?@)?(?P<host>\[[^\]]+\]|[A-Za-z0-9_.-]+)"
    r"(?::(?P<port>\d{1,5}))?(?P<params>(?:;[^?]*)?)(?:\?.*)?",
    re.IGNORECASE | re.DOTALL,
)
_NAME_ADDRESS = re.compile(r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"\s*|(?P<plain>[^<"]*))<(?P<uri>[^>]*)>', re.DOTALL)
"""Each character is looked at once: a stranger's blanks by the thousand are no work."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
"""What would end a line, move a terminal's cursor, or turn the direction of what is written after it."""
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_METHOD = re.compile(rf"\s*({_TOKEN.pattern})")
_LONG_NAMES = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
}

Headers = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class SipUri:
    """A SIP address, its user part unescaped, host and parameter names in lower case. A password is not kept."""

    scheme: str
    user: str
    host: str
    port: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "SipUri":
        """Read `sip:user@host:port;parameter=value`.

        Raises:
            ValueError: it is no SIP address.
        """
        match = _URI.fullmatch(text.strip())
        if match is None or _CONTROL.search(text):
            raise ValueError("not a SIP address")
        params = {}
        for item in filter(None, match["params"].split(";")):
            name, _, value = item.partition("=")
            params[unquote(name).lower()] = unquote(value)
        port = match["port"]
        return cls(
            scheme=match["scheme"].lower(),
            user=unquote(match["user"] or ""),
            host=match["host"].lower(),
            port=int(port) if port else None,
            params=MappingProxyType(params),
        )


def readable(text: str) -> str:
    """Text of a message without bytes that are no UTF-8, and on one line."""
    return _CONTROL.sub(" ", text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def method_of(message: str) -> str:
    """The method of a request in upper case, as PJSIP sees it: it minds neither case nor what blanks stand around it.

    Empty where the message begins with none.
    """
    match = _METHOD.match(message)
    return match[1].upper() if match else ""


def parse_request(message: str) -> tuple[SipUri, Headers]:
    """The Request-URI and the header fields of a request, by long name in lower case, in the message's order.

    Raises:
        ValueError: the first line is no SIP request's.
    """
    head = re.split(r"\r?\n\r?\n", message, maxsplit=1)[0]
    first, *lines = re.sub(r"\r?\n[ \t]+", " ", head).split("\n")
    parts = first.strip("\r").split(" ")
    if len(parts) != 3 or parts[2] != "SIP/2.0":  # noqa: PLR2004  (method, address, version)
        raise ValueError("not a SIP request")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        key = _LONG_NAMES.get(key, key)
        if colon:
            headers.setdefault(key, []).append(readable(value.strip()))
    found = {key: tuple(values) for key, values in headers.items()}
    return SipUri.parse(readable(parts[1])), MappingProxyType(found)


def split_address(address: str) -> tuple[str, str]:
    """Display name (may be empty) and address of a From or To: `"Room 1" <sip:room1@host>;tag=…`."""
    text = readable(address).strip()
    match = _NAME_ADDRESS.match(text)
    if match is None:
        return "", text.split(";")[0].strip()
    name = match["quoted"]
    name = re.sub(r"\\(.)", r"\1", name) if name is not None else match["plain"]
    return name.strip(), match["uri"]


def asserted_identity(headers: Headers) -> tuple[str, str] | None:
    """Name and address of the caller as a proxy asserts them (RFC 3325).

    Args:
        headers: by long name in lower case.

    Returns:
        None where it does not, or where the caller does not want to be known (RFC 3323).
    """
    if "id" in re.split(r"[;,\s]+", ";".join(headers.get("privacy", ())).lower()):
        return None
    for value in headers.get("p-asserted-identity", ()):
        # There may be two, the other a telephone number; in either order, in one field or in two.
        for one in re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+', value):
            name, uri = split_address(one)
            if uri.lower().startswith(("sip:", "sips:")):
                return name, uri
    return None


def join_address(name: str, uri: str) -> str:
    """The reverse: the name quoted as RFC 3261 section 25.1 wants, without control characters."""
    quoted = re.sub(r'(["\\])', r"\\\1", _CONTROL.sub(" ", name))
    return f'"{quoted}" <{uri}>' if quoted else f"<{uri}>"


def check_header(name: str, value: str) -> None:
    """Refuse a header field that would break out of its line.

    Raises:
        ValueError: the name is no token, or the value holds control characters.
    """
    if _TOKEN.fullmatch(name) is None or _CONTROL.search(value):
        raise ValueError(f"not a header field: {name!r}")
