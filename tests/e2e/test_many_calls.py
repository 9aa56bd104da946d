"""Two gateways behind Kamailio, as with INSTANCES=2: a call each, one of them killed, and calls go on."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.waiting import in_state, until
from tests.peer.measured import MeasuredPeer
from tests.proxy import RunningProxy
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.slow
LIGHT: dict[str, Any] = {"width": 640, "height": 360, "fps": 10}


def instance(number: int, log: Path) -> RunningGateway:
    """One of them; the echo call needs no meeting."""
    settings: dict[str, dict[str, Any]] = {"instance": {"number": number}, "proxy": {"enabled": True}, "video": LIGHT}
    return RunningGateway("http://127.0.0.1:9", settings, log_file=log)


async def sees_pictures(peer: MeasuredPeer) -> None:
    """Wait until pictures come in now."""
    await peer.report()

    async def frames() -> int:
        return (await peer.report()).video.frames

    await until(frames, bool, "pictures of the echo call")


async def test_two_calls_one_killed(logs: Path) -> None:
    """The third caller hears 486; of the two, the one whose gateway lives notices nothing; a new call is served."""
    left, right = instance(1, logs / "left.log"), instance(2, logs / "right.log")
    async with (
        left,
        right,
        RunningProxy([f"127.0.0.1:{gateway.sip_port}" for gateway in (left, right)], logs / "kamailio.log") as proxy,
        MeasuredPeer(width=320, height=180, fps=5) as first,
        MeasuredPeer(width=320, height=180, fps=5) as second,
        MeasuredPeer(width=320, height=180, fps=5) as third,
    ):
        echo = f"sip:echo@127.0.0.1:{proxy.port}"
        for peer in (first, second):
            await peer.call(echo)
            await peer.wait_up(20)
        await asyncio.gather(in_state(left, "bridged", 20), in_state(right, "bridged", 20))
        await third.call(echo)
        assert (await third.wait_over())["code"] == 486
        await asyncio.gather(sees_pictures(first), sees_pictures(second))
        # Which of the two has the first call, only the proxy knows: the one that loses its pictures was in `left`.
        await left.stop(signal.SIGKILL)
        await third.call(echo)
        assert (await third.wait_over())["code"] == 486
        assert (await right.status())["session"]["state"] == "bridged"
        await left.start()
        await left.ready(60)
        await proxy.sees(2)
        await third.call(echo)
        await third.wait_up(20)
        await in_state(left, "bridged", 20)
        await sees_pictures(third)
        assert (await right.status())["session"]["state"] == "bridged"
        for peer in (first, second, third):
            await peer.hangup()
