"""How long until a slot takes a call again: after a call, and after one of its programs was killed."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e import traces
from tests.meeting import EmbeddedMeeting
from tests.peer.measured import MeasuredPeer
from tests.report import Percentiles, Readiness
from tests.running_gateway import READY_S, RunningGateway

_CALLS = 5
_CALL_S = 2
_PROGRAMS = ("chromium", "chromedriver", "Xvfb", "pulseaudio", "pipewire", "dbus-daemon")
_NOTICED_S = 10
_POLL_S = 0.02

Say = Callable[[str], None]


async def measure(meeting: EmbeddedMeeting, log_file: Path, say: Say) -> Readiness:
    """Since the BYE of the peer, and since the SIGKILL, when nobody calls."""
    async with RunningGateway(meeting.base_url, log_file=log_file) as gateway:
        await gateway.ready(READY_S)
        async with MeasuredPeer(width=640, height=360) as peer:
            after_call = [await _after_call(gateway, peer) for _ in range(_CALLS)]
        say(f"after a call: {', '.join(f'{ms:.0f}' for ms in after_call)} ms")
        after_kill = {name: await _after_kill(gateway, name) for name in _PROGRAMS}
        say("after a kill: " + ", ".join(f"{name} {ms:.0f}" for name, ms in after_kill.items()) + " ms")
    return Readiness(Percentiles.of(after_call), after_kill)


async def _after_call(gateway: RunningGateway, peer: MeasuredPeer) -> float:
    await peer.call(f"sip:ready@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    await asyncio.sleep(_CALL_S)
    began = time.monotonic()
    await peer.hangup()
    await _again(gateway)
    return round((time.monotonic() - began) * 1000, 1)


async def _after_kill(gateway: RunningGateway, name: str) -> float:
    began = time.monotonic()
    traces.named(gateway.runtime_dir, name).kill()
    await _again(gateway)
    return round((time.monotonic() - began) * 1000, 1)


async def _again(gateway: RunningGateway) -> None:
    """Wait until the gateway has noticed, and is ready."""
    async with asyncio.timeout(_NOTICED_S):
        while (await gateway.status())["slot"] == "idle":  # noqa: ASYNC110  (nobody tells of it)
            await asyncio.sleep(_POLL_S)
    await gateway.ready(READY_S)
