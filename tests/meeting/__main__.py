"""Run an embedded meeting until Ctrl-C: `python -m tests.meeting [--port N] [--with-participant] …`."""

import argparse
import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, MeetingError, MeetingOptions, Participant, ParticipantError


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.meeting", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of the page on loopback (default: a free one)")
    parser.add_argument("--room", default="demo", help="the room whose address is printed (default: demo)")
    parser.add_argument("--prejoin", action="store_true", help="show the prejoin screen")
    parser.add_argument("--password", help="password of every room")
    parser.add_argument("--lobby", action="store_true", help="send all but the first to the lobby")
    parser.add_argument("--with-participant", action="store_true", help="put a participant (alice) into the room")
    parser.add_argument("--logs", type=Path, help="directory for logs (default: none are kept)")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    options = MeetingOptions(
        prejoin=arguments.prejoin, password=arguments.password, lobby=arguments.lobby, http_port=arguments.port
    )
    async with AsyncExitStack() as stack:
        meeting = await stack.enter_async_context(EmbeddedMeeting(arguments.logs, library_directory(), options))
        if arguments.with_participant:
            await stack.enter_async_context(Participant(meeting, arguments.room, password=arguments.password))
        print(f"{meeting.base_url}/{arguments.room}", flush=True)
        await stop.wait()


def main() -> int:
    """Run; the exit code is 1 when the meeting did not start."""
    try:
        asyncio.run(_run(_arguments()))
    except (MeetingError, ParticipantError) as error:
        print(f"tests.meeting: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
