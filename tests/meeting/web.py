"""The web server of the embedded meeting: the page, its library, and the two websockets, all on one origin.

It listens on loopback only. `http://localhost` is a secure context, without which browsers give no camera.
"""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from tests.meeting.colibri import BridgeChannels
from tests.meeting.options import DOMAIN, FOCUS_DOMAIN, MUC_DOMAIN, MeetingOptions
from tests.meeting.web_app import WebApp

_PAGE = Path(__file__).with_name("page")
_NO_CACHE = {"Cache-Control": "no-store"}


def page_config(options: MeetingOptions, origin: str) -> dict[str, Any]:
    """What Jitsi Meet's config.js would say; `origin` is HOST:PORT."""
    return {
        "hosts": {"domain": DOMAIN, "muc": MUC_DOMAIN, "focus": FOCUS_DOMAIN},
        "serviceUrl": f"ws://{origin}/xmpp-websocket",
        "websocketKeepAlive": -1,
        "openBridgeChannel": "websocket",
        "useStunTurn": False,
        "p2p": {"enabled": not options.require_sfu, "stunServers": [], "useStunTurn": False},
        "resolution": 720,
        # The SFU forwards one encoding, and no other gives 720p at once.
        "disableSimulcast": True,
        "enableUnifiedOnChrome": True,
        "disableThirdPartyRequests": True,
        "videoQuality": {"preferredCodec": options.video_codecs[0].lower()},
        "prejoinConfig": {"enabled": options.prejoin},
        "disableAudioLevels": False,
        # getStats() is renewed this often, ms; Jitsi Meet's 10 s would make every test of it wait.
        "pcStatsInterval": 2000,
        **options.config,
    }


class WebServer:
    """Serves one embedded meeting.

    Attributes:
        port: port on loopback, known after `start`.
    """

    def __init__(self, options: MeetingOptions, lib_dir: Path) -> None:
        self._options = options
        self._lib_dir = lib_dir
        self._xmpp_url = ""
        self._client: ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.channels = BridgeChannels()
        self.port = 0

    async def start(self, xmpp_port: int) -> None:
        """Listen; `xmpp_port` is Prosody's port for HTTP.

        Raises:
            OSError: the port is taken.
        """
        self._xmpp_url = f"ws://127.0.0.1:{xmpp_port}/xmpp-websocket"
        self._client = ClientSession()
        app = web.Application()
        app.router.add_get("/xmpp-websocket", self._xmpp_websocket)
        app.router.add_get("/colibri-ws/{room}/{endpoint}", self.channels.serve)
        app.router.add_get("/config.js", self._config)
        if self._options.web_app:
            app.router.add_get("/{path:.+}", WebApp(Path(self._options.web_app), self._config_text).serve)
        else:
            app.router.add_static("/libs/", self._lib_dir)
            app.router.add_static("/page/", _PAGE)
            app.router.add_get("/{path:.+}", self._index)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._options.http_port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close everything, open websockets too."""
        if self._runner:
            await self._runner.cleanup()
        if self._client:
            await self._client.close()

    def bridge_url(self, room: str, endpoint: str) -> str:
        """Where an endpoint finds its bridge channel."""
        return f"ws://localhost:{self.port}/colibri-ws/{room}/{endpoint}"

    async def _index(self, _: web.Request) -> web.FileResponse:
        """The page; which room it is for, the page reads from its own address, as Jitsi Meet does."""
        return web.FileResponse(_PAGE / "index.html", headers=_NO_CACHE)

    async def _config(self, request: web.Request) -> web.Response:
        return web.Response(text=self._config_text(request), content_type="text/javascript", headers=_NO_CACHE)

    def _config_text(self, request: web.Request) -> str:
        config = json.dumps(page_config(self._options, request.host), indent=1)
        return f"var config = {config};\n"

    async def _xmpp_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Join the browser's websocket to one with Prosody, stanza by stanza."""
        assert self._client
        browser = web.WebSocketResponse(protocols=("xmpp",))
        await browser.prepare(request)
        async with self._client.ws_connect(self._xmpp_url, protocols=("xmpp",), max_msg_size=0) as prosody:
            pumps = {asyncio.create_task(_pump(browser, prosody)), asyncio.create_task(_pump(prosody, browser))}
            _, pending = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pending:
                pump.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            await browser.close()
        return browser


_Socket = web.WebSocketResponse | ClientWebSocketResponse


async def _pump(source: _Socket, sink: _Socket) -> None:
    with contextlib.suppress(ConnectionResetError):  # the other side has gone; its own pump ends too
        async for message in source:
            if message.type == WSMsgType.TEXT:
                await sink.send_str(message.data)
