"""`python -m tests.peer.slot PORT ACCESS`: the gateway's SIP endpoint with test devices, one call at a time.

It is as an instance behind the proxy; ACCESS is JSON, more of `[sip.access]`. Each call that comes in is told as a JSON
line on stdout: whom it is for, and the header fields of its INVITE. `hangup` on stdin ends the present one. It ends
with its standard input.
"""

import asyncio
import json
import sys

import structlog

from jibri_sip.config.access import AccessSettings
from jibri_sip.sip.call import Call
from jibri_sip.sip.endpoint import Endpoint
from jibri_sip.sip.events import Ended
from jibri_sip.sip.settings import Picture, SipSettings
from tests.peer import gateway_devices

LIGHT = Picture(width=320, height=180, fps=5, bitrate=100_000)


class Slot:
    """One endpoint, and the one call in it."""

    def __init__(self, port: int, access: AccessSettings) -> None:
        settings = SipSettings(port=port, signalling_host="127.0.0.1", picture=LIGHT, access=access)
        self.endpoint = Endpoint(settings, gateway_devices.register, self._take)
        self._present: Call | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _take(self, call: Call) -> None:
        task = asyncio.create_task(self._carry(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, call: Call) -> None:
        tell(event="incoming", user=call.request_uri.user, headers=dict(call.headers), busy=self._present is not None)
        if self._present is not None:
            await call.reject(486, "Busy")
            return
        self._present = call
        await call.ring()
        await call.answer()
        await call.wait_ended()
        self._present = None
        ended = call.ended
        tell(event="ended", code=ended.code if isinstance(ended, Ended) else 0)

    async def obey(self, command: str) -> None:
        """One line of standard input."""
        if command == "hangup" and self._present is not None:
            await self._present.hangup()


def tell(**message: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def main(port: int, access: AccessSettings) -> None:
    """Until standard input ends."""
    # Standard output is for what a test is told.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    slot = Slot(port, access)
    await slot.endpoint.start()
    tell(event="ready")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await slot.obey(line.strip())
    await slot.endpoint.close()


if __name__ == "__main__":
    given = {"dispatchers": ["127.0.0.1"], **json.loads(sys.argv[2])}
    asyncio.run(main(int(sys.argv[1]), AccessSettings.model_validate(given)))
