"""Who may use the API, decided before anything of a request is looked at.

On loopback every program of this machine may; a web page in somebody's browser may not, neither from another origin nor
under a name of its own that it has pointed at 127.0.0.1 (DNS rebinding). Elsewhere a token is needed.
"""

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from jibri_sip.api.answers import problem_response
from jibri_sip.config.model import ApiSettings
from jibri_sip.errors import GatewayError, HostRefused, OriginRefused, Unauthorised

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN = frozenset({"/health/live", "/health/ready"})
"""Tell whether a call would be taken and nothing else, to whoever balances load."""


class Guard:
    """ASGI middleware that lets requests through or answers them itself.

    Args:
        app: The application behind it.
        settings: Where the API listens, and the token.
    """

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = refuse(scope["path"], Headers(scope=scope), self._settings)
            app = self._app if refusal is None else problem_response(refusal)
            await app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})


def refuse(path: str, headers: Headers, settings: ApiSettings) -> GatewayError | None:
    """Why a request is refused; None if it is not."""
    host = headers.get("host", "")
    if settings.on_loopback and _name(host) not in _LOOPBACK_NAMES | {settings.host}:
        return HostRefused(host[:100])
    origin = headers.get("origin")
    foreign_site = headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
    scheme = "http" if settings.tls.certificate_file is None else "https"
    if foreign_site or (origin is not None and _own_origin(origin, scheme) != host.lower()):
        return OriginRefused((origin or "")[:100])
    token = settings.secret
    if token is None or path in _OPEN:
        return None
    kind, _, shown = headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(shown.strip().encode(), token.get_secret_value().encode())
    return None if right and kind.lower() == "bearer" else Unauthorised()


def _name(host: str) -> str | None:
    """The name or address in a Host header field, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _own_origin(origin: str, scheme: str) -> str | None:
    """Host and port of an origin of ours, which has this scheme; None for any other."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme == scheme else None
