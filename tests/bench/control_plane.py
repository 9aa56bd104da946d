"""`python -m tests.bench.control_plane [--cycles N]`: what an order of jicofo's takes, and whether many leave anything.

Each cycle is a whole one (start IQ, Chrome joins the room, INVITE on the wire, refused by a light responder, `off`,
slot renewed) or, every other time, one that is stopped as soon as it is pending. Writes build/bench/control_plane.json,
also while it goes on: a thousand cycles take an hour.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.e2e.traces import Holdings, holdings
from tests.jicofo import BreweryServer, Jicofo
from tests.jicofo.server import AUTH_DOMAIN, BREWERY, BREWERY_DOMAIN
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting
from tests.meeting.options import DOMAIN, MUC_DOMAIN
from tests.peer.provider import SipProvider
from tests.report import CpuMeter
from tests.running_gateway import READY_S, RunningGateway

DIRECTORY = Path("build/bench")
_ACCOUNTS = {"focus": "focus", "jibri": "jibri"}
_ROOM = f"ordered@{MUC_DOMAIN}"
_TIMED = 5
_IDLE_S = 20
_SETTLE_S = 20
_READY_S = 30
_LOOK_EVERY = 50


@dataclass(frozen=True)
class Times:
    """Of one order, ms since its IQ was sent."""

    pending: float
    on: float
    invite: float


def _environment(server: BreweryServer, base_url: str, name: str) -> str:
    return f"""
[[xmpp]]
name = "{name}"
hosts = ["127.0.0.1:{server.port}"]
domain = "{DOMAIN}"
base_url = "{base_url}"
strip_from_room_domain = "conference."
ca_file = "{server.authority}"
control_login = {{ domain = "{AUTH_DOMAIN}", username = "jibri", password = "{_ACCOUNTS["jibri"]}" }}
control_muc = {{ domain = "{BREWERY_DOMAIN}", room = "{BREWERY}", nickname = "{name}" }}
"""


class Bench:
    """A gateway in the brewery, jicofo, and a responder that refuses every call."""

    def __init__(self, gateway: RunningGateway, jicofo: Jicofo, responder: SipProvider) -> None:
        self._gateway = gateway
        self._jicofo = jicofo
        self._responder = responder

    async def ready(self) -> None:
        """Wait until jicofo would choose the gateway."""
        instance = self._jicofo.instances["one"]
        await self._jicofo.wait_for(lambda: instance.available, _READY_S)
        instance.selected_at = instance.failed_at = float("-inf")

    async def timed(self) -> Times:
        """An order that goes all the way."""
        await self.ready()
        self._responder.requests.clear()
        began = time.monotonic()
        session = await self._jicofo.order(_ROOM, self._responder.account)
        pending = time.monotonic()
        await self._jicofo.wait_for(lambda: any(status == "on" for status, *_ in session.told))
        on = time.monotonic()
        await self._jicofo.wait_for(lambda: session.told[-1][0] == "off")
        invite = self._responder.arrived_at
        return Times(*(round((at - began) * 1000, 1) for at in (pending, on, invite)))

    async def stopped(self) -> None:
        """An order that is stopped at once."""
        await self.ready()
        session = await self._jicofo.order(_ROOM, self._responder.account)
        await self._jicofo.stop(session)
        session.state = "off"

    async def at_rest(self) -> Holdings:
        """What the gateway holds once all is quiet."""
        await self.ready()
        await asyncio.sleep(_SETTLE_S)
        return holdings(self._gateway)


def _only_one(jicofo: Jicofo) -> None:
    """Two environments are two occupants of one gateway; orders go to the first."""
    for name in set(jicofo.instances) - {"one"}:
        jicofo.instances[name].idle = False


async def _measure(cycles: int, directory: Path) -> dict[str, object]:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        server = await enter(BreweryServer(directory, _ACCOUNTS))
        meeting = await enter(EmbeddedMeeting(DIRECTORY, library_directory()))
        tables = _environment(server, meeting.base_url, "one") + _environment(server, meeting.base_url, "two")
        settings = {"dial_out": {"allow": ["*@127.0.0.1"]}}
        log_file = DIRECTORY / "control-plane.log"
        gateway = await enter(RunningGateway(meeting.base_url, settings, log_file, tables=tables))
        responder = await enter(SipProvider("light", None))
        jicofo = await enter(Jicofo(server.port, "focus", _ACCOUNTS["focus"], server.authority, retries=0))
        await jicofo.wait_for(lambda: {"one", "two"} <= set(jicofo.instances), READY_S)
        _only_one(jicofo)
        bench = Bench(gateway, jicofo, responder)
        await bench.ready()
        async with CpuMeter(gateway.pid) as meter:
            await asyncio.sleep(_IDLE_S)
        times = [await bench.timed() for _ in range(_TIMED)]
        found = {
            "load": os.getloadavg()[0],
            "start_to_ms_p50": {
                name: statistics.median(getattr(one, name) for one in times) for name in ("pending", "on", "invite")
            },
            "idle_cpu_cores": asdict(meter.cores()),
            "idle_rss_mib": asdict(meter.rss_mib()),
        }
        await _repeat(bench, jicofo, cycles, found)
        return found


async def _repeat(bench: Bench, jicofo: Jicofo, cycles: int, found: dict[str, object]) -> None:
    """Many cycles; what the gateway holds after each fifty of them."""
    held = {0: vars(await bench.at_rest())}
    for number in range(1, cycles + 1):
        if number % 2:
            await bench.timed()
        else:
            await bench.stopped()
        _only_one(jicofo)
        if number % _LOOK_EVERY == 0 or number == cycles:
            held[number] = vars(await bench.at_rest())
            _write(found | {"held_after_cycles": held})
            print(f"{number} cycles, {held[number]['rss_mib']:.0f} MiB", flush=True)
    found["held_after_cycles"] = held


def _write(found: dict[str, object]) -> str:
    """Write what was found so far; the text."""
    text = json.dumps(found, indent=2, default=str)
    (DIRECTORY / "control_plane.json").write_text(text)
    return text


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.control_plane", description=__doc__)
    parser.add_argument("--cycles", type=int, default=100)
    cycles = parser.parse_args().cycles
    # A new place each time, for Prosody keeps what it wrote.
    directory = (DIRECTORY / f"brewery-{os.getpid()}").absolute()
    directory.mkdir(parents=True)
    found = asyncio.run(_measure(cycles, directory))
    print(_write(found))


if __name__ == "__main__":
    main()
