"""Jitsi Meet's own web app in place of our page, from a directory such as its Debian package makes."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

_INCLUDE = re.compile(r'<!--\s*#include virtual="/?([^"]*)"\s*-->')
_CONFIG = "config.js"
_INTERFACE = "interface_config.js"
_NO_LOGO = "\ninterfaceConfig.SHOW_JITSI_WATERMARK = false; // it would lie on the stamps\n"
_PAGE = "index.html"
_NO_CACHE = {"Cache-Control": "no-store"}


class WebApp:
    """Serves the web app: its files by their names, its page for every room.

    Args:
        directory: the app's files.
        config: the text of config.js for whoever asks.
    """

    def __init__(self, directory: Path, config: Callable[[web.Request], str]) -> None:
        self._directory = directory.resolve()
        self._config = config

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """A file, or the page with what it includes (nginx' `ssi on`)."""
        path = (self._directory / request.match_info["path"]).resolve()
        with contextlib.suppress(OSError):  # the name of a room may be longer than a file's can be
            if path.is_file() and path.is_relative_to(self._directory) and path.name != _PAGE:
                return web.FileResponse(path)
        return web.Response(text=self._page(request), content_type="text/html", headers=_NO_CACHE)

    def _page(self, request: web.Request) -> str:
        def included(match: re.Match[str]) -> str:
            if match[1] == _CONFIG:
                return self._config(request)
            path = self._directory / match[1]
            text = path.read_text() if path.is_file() else ""
            return text + _NO_LOGO if match[1] == _INTERFACE else text

        return _INCLUDE.sub(included, (self._directory / _PAGE).read_text())
