"""Who may call whom, and which meeting an address means: pure decisions over the configuration.

An address comes from strangers. Whatever it holds is either a room name of harmless characters or refused; nothing of
it is ever part of a URL or a script without the encoding that belongs there (that is the browser's part).
"""

import ipaddress
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from urllib.parse import unquote_to_bytes

from pydantic import JsonValue, SecretStr

from jibri_sip.config.model import DialInRule, DialOutSettings, MeetingSettings, Settings
from jibri_sip.config.sip_account import SipAccountSettings
from jibri_sip.errors import (
    AddressUnknown,
    CallerRefused,
    DestinationInvalid,
    DestinationNotAllowed,
    DialInOff,
    GatewayError,
    NotPrepared,
    RoomInvalid,
    RoomNotAllowed,
)

ROOM_CHARACTERS = 200
NAME_CHARACTERS = 100
_RAW_USER_CHARACTERS = 3 * 4 * ROOM_CHARACTERS
# What Jitsi Meet itself keeps out of room names, and what XMPP keeps out of a local part (RFC 7622 section 3.3.1).
_NOT_IN_ROOMS = frozenset("\"#$%&'()*+,/:;<=>?@[\\]^`{|}!\N{REPLACEMENT CHARACTER}")
_HARMLESS_PARAMS = {"transport": ("udp", "tcp", "tls"), "user": ("phone", "ip")}


@dataclass(frozen=True)
class DialledCall:
    """What an INVITE says.

    Attributes:
        user: User part of the Request-URI, as it stands there (percent-encoded, RFC 3261 section 19.1.2).
        host: Host of the Request-URI.
        params: Parameters of the Request-URI; names in lower case.
        caller_uri: From, as `sip:alice@example.com`.
        caller_name: Display name of From; may be empty.
        headers: Header fields by name; a name may come more than once in a message.
    """

    user: str
    host: str
    params: Mapping[str, str]
    caller_uri: str
    caller_name: str
    headers: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Login:
    """An XMPP account of the deployment.

    Attributes:
        domain: Its XMPP domain.
        username: Its user part.
        password: Its password.
    """

    domain: str
    username: str
    password: SecretStr


@dataclass(frozen=True)
class Target:
    """A meeting to join, and as whom.

    Attributes:
        base_url: Address of the deployment, without a slash at the end.
        tenant: Path between address and room, or empty.
        room: Name of the room: NFC, harmless characters, not encoded.
        display_name: Name to show in the meeting.
        password: Of the room, should it be locked.
        jwt: Token to show to the deployment.
        email: Who we are to the deployment; None for what `[meeting]` makes of it.
        statistics_id: Name in the deployment's call statistics; None for the configured one.
        login: Account to enter with; None for that of `[meeting]`, at its own deployment.
        config_overrides: More of the page's settings, on top of those of `[meeting]`.
    """

    base_url: str
    tenant: str
    room: str
    display_name: str
    password: SecretStr | None = None
    jwt: SecretStr | None = None
    email: str | None = None
    statistics_id: str | None = None
    login: Login | None = None
    config_overrides: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class SipAccount:
    """How calls go: with an account at a SIP provider, or merely by another way than usual.

    Attributes:
        user: `user@domain`, perhaps with parameters (`;transport=tcp`), without `sip:`. It registers at the domain.
            Empty for our own address, which registers nowhere.
        password: For digest authentication (RFC 8760); None to register nowhere.
        contact: URI to be called at instead of our own address; None for our own.
        proxy: URI of the outbound proxy; None for the domain of the account, or of whom is called.
        login: User name for the digest; empty for the user part of `user`.
        registrar: URI to register at; None for the domain of `user`.
    """

    user: str = ""
    password: SecretStr | None = None
    contact: str | None = None
    proxy: str | None = None
    login: str = ""
    registrar: str | None = None

    @classmethod
    def from_config(cls, settings: SipAccountSettings) -> "SipAccount":
        """The instance's own."""
        return cls(
            user=settings.user,
            password=settings.secret,
            contact=settings.contact,
            proxy=settings.proxy,
            login=settings.login,
            registrar=settings.registrar,
        )


@dataclass(frozen=True)
class Echo:
    """The caller wants the test: its own picture and sound."""

    display_name: str


@dataclass(frozen=True)
class Refusal:
    """The call is not taken; the error holds the SIP response."""

    error: GatewayError


def route(call: DialledCall, settings: Settings, prepared: Target | None = None) -> Target | Echo | Refusal:
    """Decide what an unasked INVITE is to get.

    Args:
        call: What the INVITE says.
        settings: The configuration.
        prepared: The meeting that was prepared for the next call, if any; it goes before the rules.
    """
    try:
        return _route(call, settings, prepared)
    except GatewayError as error:
        return Refusal(error)


def _route(call: DialledCall, settings: Settings, prepared: Target | None) -> Target | Echo:
    dial_in = settings.dial_in
    if dial_in.mode == "off":
        raise DialInOff
    user = decoded_user(call.user)
    if dial_in.echo_user and user.casefold() == dial_in.echo_user.casefold():
        return Echo(display_name=_caller_name(call, settings.meeting))
    if prepared is not None:
        return prepared
    if dial_in.mode == "prepared":
        raise NotPrepared
    for position, rule in enumerate(dial_in.rules):
        match = _applies(rule, call, user)
        if match is not None:
            return _by_rule(rule, position, match, call, settings)
    return room_target(user, settings, display_name=_caller_name(call, settings.meeting))


def _applies(rule: DialInRule, call: DialledCall, user: str) -> re.Match[str] | None:
    """How `user` matches, if everything else that the rule asks for does so too."""
    headers = {name.lower(): values for name, values in call.headers.items()}
    params = {name.lower(): value for name, value in call.params.items()}
    asked: list[tuple[str, tuple[str, ...]]] = [
        (rule.host, (call.host.lower(),)),
        (rule.caller, (call.caller_uri,)),
        *(
            (pattern, (params[name.lower()],) if name.lower() in params else ())
            for name, pattern in rule.params.items()
        ),
        *((pattern, headers.get(name.lower(), ())) for name, pattern in rule.headers.items()),
    ]
    if all(any(re.fullmatch(pattern, value) for value in values) for pattern, values in asked):
        return re.fullmatch(rule.user, user)
    return None


def _by_rule(rule: DialInRule, position: int, match: re.Match[str], call: DialledCall, settings: Settings) -> Target:
    if rule.refuse is not None:
        raise (CallerRefused if rule.refuse == "forbidden" else AddressUnknown)(f"dial_in.rules.{position}")
    meeting = settings.meeting
    return room_target(
        match.expand(rule.room) if rule.room is not None else match.string,
        settings,
        display_name=rule.display_name or _caller_name(call, meeting),
        base_url=rule.base_url,
        tenant=rule.tenant,
        password=rule.room_password,
        jwt=rule.token,
    )


def room_target(
    room: str,
    settings: Settings,
    *,
    display_name: str | None = None,
    base_url: str | None = None,
    tenant: str | None = None,
    password: SecretStr | None = None,
    jwt: SecretStr | None = None,
) -> Target:
    """The target for a room given by name; what is not given comes from `[meeting]`.

    The deployment's own password and token go only to the deployment of `[meeting]`, never to another one.

    Raises:
        RoomInvalid: It cannot be the name of a room.
        RoomNotAllowed: `meeting.rooms` does not have it.
    """
    meeting = settings.meeting
    room = valid_room(room)
    if re.fullmatch(meeting.rooms, room) is None:
        raise RoomNotAllowed(room)
    at_home = base_url is None or base_url == meeting.base_url
    return Target(
        base_url=base_url or meeting.base_url,
        tenant=meeting.tenant if tenant is None and at_home else tenant or "",
        room=room,
        display_name=_shown_name(display_name or "") or meeting.display_name,
        password=password or (meeting.room_password if at_home else None),
        jwt=jwt or (meeting.token if at_home else None),
    )


def valid_room(name: str) -> str:
    """The name in the form that is used from here on: NFC, without blanks around it.

    Raises:
        RoomInvalid: Empty, too long, or with characters that Jitsi Meet or XMPP do not have in room names.
    """
    if len(name) > 4 * ROOM_CHARACTERS:
        raise RoomInvalid(f"{len(name)} characters")
    room = unicodedata.normalize("NFC", name).strip()
    if not room:
        raise RoomInvalid("it is empty")
    if len(room) > ROOM_CHARACTERS:
        raise RoomInvalid(f"{len(room)} characters")
    for character in room:
        if character in _NOT_IN_ROOMS or (character != " " and unicodedata.category(character)[0] in "CZ"):
            raise RoomInvalid(f"it holds {unicodedata.name(character, f'U+{ord(character):04X}')}")
    if set(room) <= {"."}:
        raise RoomInvalid("it holds nothing but dots")
    return room


def decoded_user(user: str) -> str:
    """The user part without its percent-encoding, decoded once.

    Raises:
        RoomInvalid: Absurdly long, or not UTF-8 once decoded.
    """
    if len(user) > _RAW_USER_CHARACTERS:
        raise RoomInvalid(f"{len(user)} characters")
    try:
        return unquote_to_bytes(user).decode()
    except UnicodeError:
        raise RoomInvalid("it is not UTF-8") from None


def _caller_name(call: DialledCall, meeting: MeetingSettings) -> str:
    """What to call the caller."""
    return party_name(call.caller_name, call.caller_uri, meeting)


def party_name(name: str, uri: str, meeting: MeetingSettings) -> str:
    """What to call a peer in the meeting: its display name, else the user part of its address, else as configured."""
    match = re.match(r"sips?:([^@;?>]+)@", uri, re.IGNORECASE)
    user = unquote_to_bytes(match[1]).decode(errors="replace") if match else ""
    user = user.split(":")[0]  # RFC 3261 section 19.1.1 has a password there
    return _shown_name(name) or _shown_name(user) or meeting.display_name


def _shown_name(name: str) -> str:
    """On one line, without control characters, not too long."""
    kept = (" " if character.isspace() else character for character in unicodedata.normalize("NFC", name[:1000]))
    text = "".join(character for character in kept if unicodedata.category(character)[0] != "C")
    return " ".join(text.split())[:NAME_CHARACTERS].strip()


@dataclass(frozen=True)
class Destination:
    """A SIP address that may be called.

    Attributes:
        uri: `sip:user@host`, perhaps with port and transport, made anew from checked parts.
        user: User part, as it stands in the URI.
        host: Host in lower case; an IPv6 address in brackets.
        port: None for the default, or DNS SRV.
        secure: sips.
    """

    uri: str
    user: str
    host: str
    port: int | None
    secure: bool


_DESTINATION = re.compile(
    r"(?:(?P<scheme>sips?):)?(?P<user>(?:[A-Za-z0-9_.!~*'()&=+$,;?/-]|%[0-9A-Fa-f]{2}){1,128})"
    r"@(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}))(?::(?P<port>\d{1,5}))?(?P<params>(?:;[^;]*)*)",
    re.IGNORECASE,
)


def destination(to: str, dial_out: DialOutSettings) -> Destination:
    """Check that this address is one, and that it may be called.

    Parameters that would send the call elsewhere than to the host (`maddr`, header fields, a Route) are refused, for
    the allow rules look at the host.

    Raises:
        DestinationInvalid: Not a SIP address, or one with things that we do not call with.
        DestinationNotAllowed: No pattern of `dial_out.allow` matches.
    """
    match = _DESTINATION.fullmatch(to.strip()) if len(to) <= 512 else None  # noqa: PLR2004  (far beyond any address)
    if match is None:
        raise DestinationInvalid(_shown_name(to))
    user, host = match["user"], match["host"].lower().rstrip(".")
    port = int(match["port"]) if match["port"] else None
    if (port is not None and not 1 <= port <= 65535) or not _is_host(host):  # noqa: PLR2004  (the range of ports)
        raise DestinationInvalid(_shown_name(to))
    params = _harmless_params(match["params"], to)
    if not any(_matches(pattern, user, host) for pattern in dial_out.allow):
        raise DestinationNotAllowed(f"{user}@{host}")
    scheme = (match["scheme"] or "sip").lower()
    uri = f"{scheme}:{user}@{host}" + (f":{port}" if port is not None else "") + params
    return Destination(uri=uri, user=user, host=host, port=port, secure=scheme == "sips")


def prefixed(called: Destination, prefix: str) -> Destination:
    """The same with this before its user part, where a SIP provider routes by it."""
    return replace(called, uri=called.uri.replace(":", f":{prefix}", 1), user=prefix + called.user)


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", host) is not None
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True


def _harmless_params(text: str, to: str) -> str:
    """The parameters, if all of them are harmless, in the form that goes into the URI.

    Raises:
        DestinationInvalid: One is not.
    """
    kept = ""
    for part in text.split(";")[1:]:
        name, _, value = part.lower().partition("=")
        if value not in _HARMLESS_PARAMS.get(name, ()):
            raise DestinationInvalid(f"{_shown_name(to)} has a parameter that is not transport or user")
        kept += f";{name}={value}"
    return kept


def _matches(pattern: str, user: str, host: str) -> bool:
    """User and host each against their part of the pattern, so that a star never reaches over the @."""
    user_pattern, _, host_pattern = pattern.rpartition("@")
    # Brackets of an IPv6 address are no character class.
    host_pattern = host_pattern.lower().replace("[", "[[]")
    return fnmatchcase(user, user_pattern) and fnmatchcase(host, host_pattern)
