"""The server process of an embedded meeting: Prosody, focus, SFU and web server in one asyncio loop.

Run as `python -m tests.meeting.server` by `EmbeddedMeeting`. Speaks JSON lines: the first line on stdin is
`{"lib_dir", "log_dir", "options"}` (logs go into the scratch directory if `log_dir` is null); it answers
`{"port", "scratch"}`; then each line is `{"verb", "arguments"}` and is answered by `{"result"}` or `{"error"}`.
It ends, and leaves nothing behind, when stdin does.
"""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil

from tests.meeting.focus import Focus
from tests.meeting.options import MeetingOptions
from tests.meeting.prosody import Prosody
from tests.meeting.sfu import Bridge
from tests.meeting.web import WebServer

_FOCUS_TIMEOUT_S = 30
_KILL_TIMEOUT_S = 10
_REMOVALS = 100
_POLL_S = 0.05


class MeetingServer:
    """All parts of one embedded meeting.

    Attributes:
        scratch: private directory with a short name, gone when the server is.
    """

    def __init__(self, lib_dir: Path, log_dir: Path | None, options: MeetingOptions) -> None:
        self._options = options
        self._log_dir = log_dir
        self._resources = AsyncExitStack()
        self._web = WebServer(options, lib_dir)
        self._focus: Focus | None = None
        self._bridge: Bridge | None = None
        self.scratch = Path()

    async def start(self) -> int:
        """Start the parts, each after those it needs; returns the page's port."""
        # Short, since browsers put sockets into it, whose names may have 107 characters.
        self.scratch = Path(tempfile.mkdtemp(prefix="meeting-"))
        self._resources.callback(_remove, self.scratch)
        log_dir = self._log_dir or self.scratch
        _log_to(log_dir / "meeting.log")
        prosody_dir = self.scratch / "prosody"
        prosody_dir.mkdir()
        prosody = Prosody(prosody_dir, log_dir / "prosody.log", self._options.accounts)
        self._resources.push_async_callback(prosody.stop)
        await prosody.start()
        self._resources.push_async_callback(self._web.stop)
        await self._web.start(prosody.http_port)
        self._focus = focus = Focus(prosody.secret, prosody.component_port, self._options)
        self._bridge = focus.watcher = Bridge(focus, self._options, self._web.bridge_url)
        self._resources.push_async_callback(self._bridge.close)
        focus.connect()
        self._resources.push_async_callback(focus.disconnect)
        await asyncio.wait_for(focus.started.wait(), _FOCUS_TIMEOUT_S)
        return self._web.port

    async def close(self) -> None:
        """End the parts in reverse order; works half-built."""
        await self._resources.aclose()

    def _rooms(self) -> list[str]:
        assert self._focus
        return [jid.split("@")[0] for jid in self._focus.rooms]

    def _occupants(self, room: str) -> list[dict[str, Any]]:
        assert self._focus
        assert self._bridge
        try:
            found = self._focus.room(room)
        except LookupError:
            return []
        conference = self._bridge.conferences.get(found.jid)
        endpoints = conference.endpoints if conference else {}
        rows = []
        for occupant in found.occupants.values():
            endpoint = endpoints.get(occupant.nick)
            rows.append(
                {
                    "id": occupant.nick,
                    "name": occupant.name,
                    "jid": occupant.jid,
                    "presence": occupant.presence,
                    "is_owner": occupant.is_owner,
                    "connected": bool(endpoint and endpoint.is_connected),
                    "packets": endpoint.packets_in if endpoint else 0,
                    "bursts_ms": endpoint.bursts.onsets_ms if endpoint else [],
                }
            )
        return rows

    def _presences(self, room: str) -> list[str]:
        assert self._focus
        return self._focus.room(room).presences

    def _waiting(self, room: str) -> list[str]:
        assert self._focus
        return [occupant.name or occupant.nick for occupant in self._focus.room(room).waiting.values()]

    async def run(self, verb: str, arguments: dict[str, Any]) -> Any:
        """Carry out one verb.

        Raises:
            LookupError: no such verb, room or occupant.
        """
        focus = self._focus
        assert focus
        asked: dict[str, Callable[..., Any]] = {
            "rooms": self._rooms,
            "occupants": self._occupants,
            "presences": self._presences,
            "waiting": self._waiting,
        }
        if verb in asked:
            return asked[verb](**arguments)
        done: dict[str, Callable[..., Awaitable[None]]] = {
            "kick": focus.kick,
            "end": focus.end,
            "lock": focus.lock,
            "set_lobby": focus.set_lobby,
            "admit": focus.admit,
            "deny": focus.deny,
        }
        await done[verb](**arguments)
        return None


def _remove(directory: Path) -> None:
    """Remove a directory, and first end the browsers whose profile is in it: a dying one writes it anew."""
    users = [p for p in psutil.process_iter(["cmdline"]) if str(directory) in " ".join(p.info["cmdline"] or [])]
    for process in users:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(users, timeout=_KILL_TIMEOUT_S)
    # Their helpers, who do not all name it, go when they miss them, and write until then.
    for _ in range(_REMOVALS):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(_POLL_S)
    shutil.rmtree(directory)


def _log_to(path: Path) -> None:
    logging.basicConfig(filename=path, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("aioice").setLevel(logging.WARNING)  # it tells of every connectivity check


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


async def _answer(server: MeetingServer, line: bytes) -> None:
    request = json.loads(line)
    try:
        _say({"result": await server.run(request["verb"], request["arguments"])})
    except Exception as error:  # whatever it is, the one who asked is told
        _say({"error": f"{type(error).__name__}: {error}"})


async def _serve(reader: asyncio.StreamReader) -> None:
    head = json.loads(await reader.readline())
    log_dir = head["log_dir"] and Path(head["log_dir"])
    server = MeetingServer(Path(head["lib_dir"]), log_dir, MeetingOptions(**head["options"]))
    try:
        port = await server.start()
        _say({"port": port, "scratch": str(server.scratch)})
        while line := await reader.readline():
            await _answer(server, line)
    finally:
        await server.close()


async def _main() -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(_serve(await _stdin()))
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        pass
    except Exception as error:  # our owner reports it
        _say({"error": f"{type(error).__name__}: {error}"})
        os._exit(1)


if __name__ == "__main__":
    asyncio.run(_main())
