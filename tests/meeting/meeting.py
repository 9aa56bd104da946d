"""`EmbeddedMeeting`: a Jitsi conference on this machine, for as long as an `async with` block lasts."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.meeting.options import MeetingOptions

_START_TIMEOUT_S = 90
_ANSWER_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 30
_POLL_S = 0.05


class MeetingError(Exception):
    """The embedded meeting did not start, or could not do what was asked; the message is the server's."""


@dataclass(frozen=True)
class Occupant:
    """Somebody in a room.

    Attributes:
        id: endpoint id, the nick in the MUC.
        name: display name.
        jid: real address; NAME@sip.meet.test for those who logged in.
        presence: the last presence as XML, in which email, features and `sip_address` stand.
        is_owner: whether it is a moderator.
        connected: whether it has a connected session with the SFU.
        packets: RTP and RTCP packets that came from it.
        bursts_ms: CLOCK_REALTIME at which its sound began to pass the SFU after a silence, ms.
    """

    id: str
    name: str
    jid: str
    presence: str
    is_owner: bool
    connected: bool
    packets: int
    bursts_ms: Sequence[float]


class EmbeddedMeeting:
    """Prosody, focus, SFU and web server, in a child process that ends with this one.

    Args:
        work_dir: where logs go (`meeting.log`, `prosody.log`); created if missing. None: they go with the meeting.
        lib_dir: what `scripts/fetch-lib-jitsi-meet` prints.
        options: how the meeting behaves.
    """

    def __init__(self, work_dir: Path | None, lib_dir: Path, options: MeetingOptions | None = None) -> None:
        self._work_dir = work_dir and work_dir.absolute()
        self._lib_dir = lib_dir.absolute()
        self._options = options or MeetingOptions()
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._port = 0
        self._scratch = Path()

    @property
    def base_url(self) -> str:
        """`http://localhost:PORT`; a room's page is at `base_url/ROOM`."""
        return f"http://localhost:{self._port}"

    @property
    def scratch(self) -> Path:
        """A private directory that is removed with the meeting, even if this process is killed."""
        return self._scratch

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._process
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            MeetingError: it did not start within 90 s; the message says why.
        """
        if self._work_dir:
            self._work_dir.mkdir(parents=True, exist_ok=True)
        command = ("setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "tests.meeting.server")
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
            # Ctrl-C is for us; the server ends when its stdin does.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        head = {
            "lib_dir": str(self._lib_dir),
            "log_dir": self._work_dir and str(self._work_dir),
            "options": asdict(self._options),
        }
        try:
            answer = await self._exchange(head, _START_TIMEOUT_S)
        except BaseException:
            await self.close()
            raise
        self._port = answer["port"]
        self._scratch = Path(answer["scratch"])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything; nothing is left behind but the logs."""
        await self.close()

    async def close(self) -> None:
        """End everything; does nothing if it has ended already."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _hint(self) -> str:
        return f"; see {self._work_dir}/meeting.log" if self._work_dir else ""

    async def _exchange(self, message: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise MeetingError("the embedded meeting is not running")
        async with self._lock:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            try:
                line = await asyncio.wait_for(process.stdout.readline(), timeout_s)
            except TimeoutError:
                raise MeetingError(f"no answer after {timeout_s} s{self._hint()}") from None
        if not line:
            raise MeetingError(f"the server has ended{self._hint()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise MeetingError(answer["error"])
        return answer

    async def _ask(self, verb: str, **arguments: Any) -> Any:
        answer = await self._exchange({"verb": verb, "arguments": arguments}, _ANSWER_TIMEOUT_S)
        return answer["result"]

    async def rooms(self) -> Sequence[str]:
        """The names of the rooms that somebody is in."""
        rooms: list[str] = await self._ask("rooms")
        return rooms

    async def occupants(self, room: str) -> Sequence[Occupant]:
        """Who is in the room; nobody if there is no such room."""
        return [Occupant(**row) for row in await self._ask("occupants", room=room)]

    async def presences(self, room: str) -> Sequence[str]:
        """Every presence that the room's occupants were sent so far, as XML, the first one first."""
        presences: list[str] = await self._ask("presences", room=room)
        return presences

    async def waiting(self, room: str) -> Sequence[str]:
        """The display names of those in the room's lobby."""
        names: list[str] = await self._ask("waiting", room=room)
        return names

    async def wait_for_knock(self, room: str, name: str, timeout_s: float = 30) -> None:
        """Wait until `name` is in the room's lobby.

        Raises:
            MeetingError: nobody of that name came within `timeout_s`.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while name not in (there := await self.waiting(room)):
            if asyncio.get_running_loop().time() > deadline:
                raise MeetingError(f"{name} is not in the lobby of {room} after {timeout_s} s; there: {there}")
            await asyncio.sleep(_POLL_S)

    async def kick(self, room: str, who: str) -> None:
        """Kick somebody, named by endpoint id or display name."""
        await self._ask("kick", room=room, who=who)

    async def end(self, room: str) -> None:
        """End the conference for all."""
        await self._ask("end", room=room)

    async def lock(self, room: str, password: str) -> None:
        """Ask those who come from now on for a password; an empty one opens the room again."""
        await self._ask("lock", room=room, password=password)

    async def set_lobby(self, room: str, *, is_open: bool) -> None:
        """Send those who come from now on to the lobby, or let them in again."""
        await self._ask("set_lobby", room=room, is_open=is_open)

    async def admit(self, room: str, who: str) -> None:
        """Let somebody in who waits in the lobby."""
        await self._ask("admit", room=room, who=who)

    async def deny(self, room: str, who: str) -> None:
        """Send somebody away who waits in the lobby."""
        await self._ask("deny", room=room, who=who)
