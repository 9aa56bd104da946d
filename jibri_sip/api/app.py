"""The routes: each asks the gateway for one thing and passes on what it says, errors included."""

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import jibri_sip
from jibri_sip.api.answers import problem_response
from jibri_sip.api.bodies import Dtmf, Mute, Video
from jibri_sip.api.guard import Guard
from jibri_sip.api.port import Gateway
from jibri_sip.config.model import ApiSettings
from jibri_sip.errors import GatewayError, InternalError, RequestInvalid
from jibri_sip.log import logger
from jibri_sip.session.facts import DialOrder, PrepareOrder, Problem, SessionFacts, SlotLook, StatusFacts, View

_log = logger("api")
_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": Problem}, "5XX": {"model": Problem}}
_SessionId = Annotated[str, Path(max_length=100, description="Id of the session.")]


class _Png(Response):
    media_type = "image/png"


def create_app(gateway: Gateway, settings: ApiSettings, *more: APIRouter) -> FastAPI:
    """The API as an ASGI application.

    Args:
        gateway: Whose API it is.
        settings: Who may use it.
        more: What else is served beside it, to the same clients.
    """
    app = FastAPI(
        title="jibri_sip",
        version=jibri_sip.__version__,
        summary="SIP video gateway for Jitsi Meet",
        openapi_url="/api/openapi.json",
        # The pages would load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        responses=_ERRORS,
    )
    _add_health(app, gateway)
    _add_slot(app, gateway)
    _add_sessions(app, gateway)
    _add_present_session(app, gateway)
    for routes in more:
        app.include_router(routes)
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _mistake)
    app.add_middleware(Guard, settings=settings)
    return app


def _add_health(app: FastAPI, gateway: Gateway) -> None:
    @app.get("/health/live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @app.get("/health/ready", responses={503: {"description": "A call would not be taken now."}})
    async def ready(response: Response) -> dict[str, str]:
        """Whether a call that comes now would be taken."""
        status = await gateway.status()
        response.status_code = 200 if status.ready else 503
        return {"status": "draining" if status.draining else status.slot}

    @app.get("/api/v1/status")
    async def status() -> StatusFacts:
        """How the gateway stands."""
        return await gateway.status()

    @app.post("/api/v1/drain", status_code=202)
    async def drain() -> StatusFacts:
        """Take no new calls; the present one goes on."""
        await gateway.drain()
        return await gateway.status()


def _add_slot(app: FastAPI, gateway: Gateway) -> None:
    @app.get("/api/v1/slot")
    async def look() -> SlotLook:
        """What passes through the slot's devices now: levels of sound both ways, programs, windows."""
        return await gateway.look()

    @app.get("/api/v1/slot/pictures/{view}", response_class=_Png)
    async def picture(view: View) -> _Png:
        """What is on the display, or what either side is shown."""
        return _Png(await gateway.picture(view), headers={"Cache-Control": "no-store"})


def _add_sessions(app: FastAPI, gateway: Gateway) -> None:
    @app.get("/api/v1/sessions")
    async def sessions() -> list[SessionFacts]:
        """The present session and the last ones, newest first."""
        return await gateway.sessions()

    @app.post("/api/v1/sessions", status_code=201)
    async def dial(order: DialOrder, response: Response) -> SessionFacts:
        """Join a room and call a SIP address into it; answers at once, the session tells how it goes on."""
        session = await gateway.dial(order)
        response.headers["Location"] = f"/api/v1/sessions/{session.id}"
        return session

    @app.get("/api/v1/sessions/{session_id}")
    async def session(session_id: _SessionId) -> SessionFacts:
        """One session, present or past, with its timeline."""
        return await gateway.session(session_id)

    @app.delete("/api/v1/sessions/{session_id}")
    async def hang_up(session_id: _SessionId) -> SessionFacts:
        """End a session; answers when it has ended. `current` is the present one, whatever its id."""
        return await gateway.hang_up(None if session_id == "current" else session_id)

    @app.post("/api/v1/prepared", status_code=202)
    async def prepare(order: PrepareOrder) -> StatusFacts:
        """Send the next call that comes in into a room."""
        await gateway.prepare(order)
        return await gateway.status()


def _add_present_session(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/api/v1/sessions/{session_id}/mute")
    async def mute(session_id: _SessionId, asked: Mute) -> SessionFacts:
        """Mute or unmute the room system in the meeting."""
        return await gateway.mute(session_id, audio=asked.audio, video=asked.video)

    @app.post("/api/v1/sessions/{session_id}/video")
    async def set_video(session_id: _SessionId, asked: Video) -> SessionFacts:
        """Add the picture to the call, or take it out; answers when the peer has."""
        return await gateway.set_video(session_id, video=asked.video)

    @app.post("/api/v1/sessions/{session_id}/dtmf")
    async def send_dtmf(session_id: _SessionId, asked: Dtmf) -> SessionFacts:
        """Press keys towards the peer."""
        return await gateway.send_dtmf(session_id, asked.digits)


async def _gateway_error(_request: Request, error: Exception) -> Response:
    return problem_response(error if isinstance(error, GatewayError) else InternalError())


async def _invalid_request(_request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    # Where and what, but never the input: it may be the password.
    told = "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in found)
    return problem_response(RequestInvalid(told))


async def _http_error(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    return problem_response(RequestInvalid(detail), status)


async def _mistake(request: Request, error: Exception) -> Response:
    _log.error("api_request_failed", path=request.url.path, exc_info=error)
    return problem_response(InternalError())
