"""One visit to one meeting: everything that the page must be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from browser.secret import Secret

JSON: TypeAlias = "str | int | float | bool | list[JSON] | dict[str, JSON] | None"


@dataclass(frozen=True)
class XmppLogin:
    """An XMPP account that the page logs in with instead of an anonymous one.

    Attributes:
        domain: The XMPP domain of the account.
        user: Its local part.
        password: Its password.
    """

    domain: str
    user: str
    password: Secret


@dataclass(frozen=True)
class Visit:
    """A meeting to enter, as whom, and with what.

    Attributes:
        base_url: The deployment, `https://HOST[:PORT][/PATH]`.
        room: The room's name; any Unicode.
        display_name: The name that others see; any Unicode.
        email: Shown to nobody, but part of the contract with Prosody's modules, which know a SIP
            gateway by it.
        statistics_id: The name in the deployment's call statistics.
        password: The room's password, used if the room asks for one.
        jwt: The token that lets us in.
        xmpp_login: The account to log in with; anonymous when there is none.
        config_overrides: Jitsi Meet's `config` by dotted key, on top of ours.
        tenant: The part of the path before the room, as `tenant` or `a/b`.
        sip_address: Published in our presence after joining, for Prosody's modules to count calls.

    Raises:
        ValueError: `base_url` is not the http or https URL of a deployment.
    """

    base_url: str
    room: str
    display_name: str
    email: str | None = None
    statistics_id: str | None = None
    password: Secret | None = None
    jwt: Secret | None = None
    xmpp_login: XmppLogin | None = None
    config_overrides: Mapping[str, JSON] = field(default_factory=dict)
    tenant: str = ""
    sip_address: str | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_whole = False
        if not is_whole:
            raise ValueError("base_url must be https://HOST[:PORT] or http://HOST[:PORT]")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("base_url must have no user, no query and no fragment")

    @property
    def host(self) -> str:
        """The deployment's host and port, for messages."""
        parts = urlsplit(self.base_url)
        return parts.netloc

    @property
    def origin(self) -> str:
        """The web origin of the deployment's page, as `location.origin` says it."""
        parts = urlsplit(self.base_url)
        default = {"http": 80, "https": 443}[parts.scheme]
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = "" if parts.port in {None, default} else f":{parts.port}"
        return f"{parts.scheme}://{host}{port}"
