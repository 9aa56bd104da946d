"""Puts probe.js into the meeting's page, for the gateway alone: a web server in front of the meeting's."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import ClientSession, web

_HERE = Path(__file__).parent
_SCRIPTS = {"probe.js": _HERE / "probe.js", "stamp.js": _HERE.parent / "stamps" / "stamp.js"}
_TAGS = "".join(f'<script src="/bench/{name}"></script>' for name in ("stamp.js", "probe.js")).encode()


class ProbedMeeting:
    """An async context manager.

    Args:
        base_url: of the meeting.

    Attributes:
        base_url: of the same meeting with the probe.
        seen: number and CLOCK_REALTIME, ms, of each picture on the gateway's camera track; None without a stamp.
    """

    def __init__(self, base_url: str) -> None:
        self._upstream = base_url
        self._client: ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.base_url = ""
        self.seen: list[tuple[int | None, float]] = []

    async def __aenter__(self) -> Self:
        """Listen."""
        self._client = ClientSession()
        app = web.Application()
        app.router.add_get("/bench/{name}", self._script)
        app.router.add_post("/bench/seen", self._take)
        app.router.add_get("/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://localhost:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        assert self._runner
        assert self._client
        await self._runner.cleanup()
        await self._client.close()

    async def _script(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(_SCRIPTS[request.match_info["name"]])

    async def _take(self, request: web.Request) -> web.Response:
        self.seen += [(number, at_ms) for number, at_ms in json.loads(await request.text())]
        return web.Response()

    async def _forward(self, request: web.Request) -> web.Response:
        assert self._client
        async with self._client.get(self._upstream + request.path_qs) as answer:
            body = await answer.read()
        if answer.content_type == "text/html":
            body = body.replace(b"<head>", b"<head>" + _TAGS, 1)
        return web.Response(status=answer.status, body=body, content_type=answer.content_type)
