"""Jibri's external HTTP API: `health`, `startService`, `stopService`, with its status codes and texts.

It is what the component sidecar, the autoscaler's sidecar and health checks speak. As Jibri's it answers 412 to what it
cannot do now, 500 to what it cannot read.
"""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import ValidationError

from jibri_sip import jibri_json, log
from jibri_sip.api.jibri_schemas import PreconditionFailed, StartService, service_order
from jibri_sip.config.model import Settings
from jibri_sip.control import Control
from jibri_sip.errors import BoxError, Busy, Draining, GatewayError, NotReady, OrdererStopped
from jibri_sip.session.news import Happening, InstanceNews, SessionNews

_log = log.logger("api")

PREFIX = "/jibri/api/v1.0"
BUSY = "Jibri is currently busy"
_LONGEST_BODY = 256 * 1024
_LONGEST_TEXT = 1000


class _Unreadable(Exception):  # noqa: N818  (says what the body is)
    """The request's body is not what `startService` takes; the text tells where, and never what it held."""


class _Environment:
    """An observer who knows which XMPP environment the present session came by."""

    def __init__(self) -> None:
        self.name = ""

    def instance_changed(self, news: InstanceNews) -> None:
        """How the instance stands is asked of it when it is wanted."""

    def session_changed(self, news: SessionNews) -> None:
        """Remember while it lasts."""
        self.name = "" if news.happening is Happening.ENDED or news.order is None else news.order.environment


def jibri_routes(
    control: Control, settings: Settings, on_refused: Callable[[GatewayError], None] = lambda _error: None
) -> APIRouter:
    """The routes of the external API.

    Args:
        control: What is asked to begin and end sessions.
        settings: The gateway's.
        on_refused: Told of each session that was ordered and not begun.
    """
    routes = supervision_routes(control)

    @routes.post("/startService")
    async def start_service(request: Request) -> Response:
        """Begin a session; what becomes of it, webhooks tell."""
        try:
            order = service_order(await _read(request), settings)
            session = control.start_service(order)
        except _Unreadable as error:
            return _refused(str(error), 500)
        except PreconditionFailed as error:
            return _refused(str(error), 412)
        except (Busy, NotReady, Draining) as error:
            on_refused(error)
            return _refused(BUSY, 412)
        except GatewayError as error:
            on_refused(error)
            return _refused(f"{error.key}: {error.message}", 500 if isinstance(error, BoxError) else 412)
        _log.info("service_started", session_id=session.id, reference=order.reference[:100])
        return Response()

    return routes


def supervision_routes(control: Control) -> APIRouter:
    """The routes of the external API that begin nothing: `health` and `stopService`."""
    routes = APIRouter(prefix=PREFIX, include_in_schema=False)
    environment = _Environment()
    control.observe(environment)

    @routes.get("/health")
    async def health() -> dict[str, Any]:
        """How the instance stands."""
        context = {"environmentContext": {"name": environment.name}} if environment.name else {}
        return {"status": jibri_json.status(control.instance), **context}

    @routes.post("/stopService")
    async def stop_service() -> Response:
        """End the session, whoever's it is; answers when it has ended."""
        await control.stop_service(OrdererStopped())
        return Response()

    return routes


async def _read(request: Request) -> StartService:
    """The request's body.

    Raises:
        _Unreadable: It is not what `startService` takes.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Unreadable("Content-Type must be application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            raise _Unreadable(f"longer than {_LONGEST_BODY} bytes")
    try:
        return StartService.model_validate_json(body)
    except ValidationError as error:
        found = (f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        raise _Unreadable("; ".join(found)[:_LONGEST_TEXT]) from None


def _refused(text: str, status: int) -> Response:
    _log.warning("service_refused", status=status, error=text)
    return PlainTextResponse(text, status)
