"""Jibri's internal HTTP API, on loopback only: whatever starts and stops the process uses it, by the scripts.

The exit codes are Jibri's: 255 tells systemd to leave it at that, with 0 the process is started anew.
"""

from fastapi import FastAPI, Response
from starlette.background import BackgroundTask

from jibri_sip.api.guard import Guard
from jibri_sip.api.jibri_external import supervision_routes
from jibri_sip.config.model import ApiSettings, Settings
from jibri_sip.control import Control

PREFIX = "/jibri/api/internal/v1.0"
STAY_DOWN = 255
START_ANEW = 0


def create_internal_app(control: Control, settings: Settings) -> FastAPI:
    """The internal API as an ASGI application; `health` and `stopService` are there, too, for the scripts.

    The external port may want a token or a certificate, and they have none.

    Args:
        control: What is told to go.
        settings: The gateway's.
    """
    app = FastAPI(title="jibri_sip, internal", openapi_url=None, docs_url=None, redoc_url=None)

    def retire(exit_code: int, *, at_once: bool = False) -> Response:
        async def go() -> None:
            control.retire(exit_code, at_once=at_once)

        # Only once the answer is out: the process may be gone at once.
        return Response(background=BackgroundTask(go))

    @app.post(f"{PREFIX}/gracefulShutdown")
    async def graceful_shutdown() -> Response:
        """Take no more sessions, end for good when idle."""
        return retire(STAY_DOWN)

    @app.post(f"{PREFIX}/notifyConfigChanged")
    async def notify_config_changed() -> Response:
        """Take no more sessions, end when idle to be started anew."""
        return retire(START_ANEW)

    @app.post(f"{PREFIX}/shutdown")
    async def shutdown() -> Response:
        """End the session and then for good."""
        return retire(STAY_DOWN, at_once=True)

    app.include_router(supervision_routes(control))
    app.add_middleware(Guard, settings=ApiSettings(host=settings.jibri.internal_host))
    return app
