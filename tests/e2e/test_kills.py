"""SIGKILL, for each program that a call needs, at any time: the peer is told, and the slot comes back."""

import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from tests.e2e import traces
from tests.e2e.waiting import in_state, losses, until
from tests.meeting import EmbeddedMeeting
from tests.peer.measured import MeasuredPeer
from tests.peer.raw import AUDIO, RawCaller, sdp
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROWSER = ("chromium", "chromedriver")
DEVICES = ("Xvfb", "pulseaudio", "pipewire", "dbus-daemon")
TOLD_S = 20.0
READY_S = 60.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(meeting: EmbeddedMeeting, logs: Path) -> AsyncIterator[RunningGateway]:
    """A gateway that answers no call before the meeting is joined, however busy the machine is."""
    settings = {"dial_in": {"answer_within_s": 30}}
    async with RunningGateway(meeting.base_url, settings, log_file=logs / "gateway.log") as running:
        yield running


@dataclass(frozen=True)
class Before:
    """A gateway as it was before something of it was killed."""

    processes: list[psutil.Process]
    display: int


def kill(gateway: RunningGateway, program: psutil.Process) -> Before:
    """Kill one of the programs."""
    before = Before(gateway.processes(), traces.display_number(gateway.runtime_dir))
    program.kill()
    return before


async def recovered(gateway: RunningGateway, before: Before) -> None:
    """Wait until the slot is ready; it is whole then, and nothing of the old one is left."""
    await gateway.ready(READY_S)
    for name in (*BROWSER, *DEVICES):
        traces.named(gateway.runtime_dir, name)
    candidates = [*before.processes, *traces.instance_processes(gateway.runtime_dir)]
    # After them, since Chrome starts others all the time.
    children = {process.pid for process in gateway.processes()}
    orphans = [process for process in traces.alive(candidates) if process.pid not in children]
    assert not orphans
    assert not traces.is_dead_display(before.display)
    await without_zombies(gateway)


async def without_zombies(gateway: RunningGateway) -> None:
    """Wait until the gateway has collected all its dead."""

    async def dead() -> list[int]:
        return traces.holdings(gateway).zombies

    await until(dead, lambda pids: not pids, "gateway without zombies", 10)


@pytest.mark.parametrize("name", [*BROWSER, *DEVICES])
async def test_killed_while_idle(gateway: RunningGateway, name: str) -> None:
    """Between calls the gateway notices by itself, and mends the slot before anybody calls."""
    lost = await losses(gateway)
    before = kill(gateway, traces.named(gateway.runtime_dir, name))
    await until(lambda: losses(gateway), lambda count: count > lost, "gateway that noticed the loss", TOLD_S)
    await recovered(gateway, before)


@pytest.mark.parametrize("name", [*BROWSER, "Xvfb", "pipewire"])
async def test_killed_while_joining(gateway: RunningGateway, name: str) -> None:
    """A caller that hears it ring gets a final response that tells a proxy to try elsewhere or later."""
    program = traces.named(gateway.runtime_dir, name)  # now, for looking at all processes may take longer than joining
    async with RawCaller(gateway.sip_port, f"joining-{name.lower()}") as caller:
        caller.request("INVITE", sdp(AUDIO))
        while (await caller.response(final=False))[0] != 180:
            pass
        before = kill(gateway, program)
        code, _ = await caller.response(timeout_s=TOLD_S)
        caller.request("ACK")
    assert code in {500, 503}, code
    await recovered(gateway, before)


@pytest.mark.parametrize("name", [*BROWSER, *DEVICES])
async def test_killed_during_a_call(gateway: RunningGateway, peer: MeasuredPeer, name: str) -> None:
    """The peer gets its BYE, and the log says what was lost."""
    await peer.call(f"sip:room-{name.lower()}@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    await in_state(gateway, "bridged")
    before = kill(gateway, traces.named(gateway.runtime_dir, name))
    await peer.wait_over(TOLD_S)
    session = await in_state(gateway, "ended")
    lost = {"Xvfb": "display-lost", "pulseaudio": "audio-lost", "pipewire": "camera-lost", "dbus-daemon": "camera-lost"}
    assert session["end"]["key"] == lost.get(name, "browser-lost")
    assert session["end"]["scope"] == "box"
    await recovered(gateway, before)


async def test_gateway_killed_during_a_call(meeting: EmbeddedMeeting, peer: MeasuredPeer, logs: Path) -> None:
    """Its children die with it, and its next start clears away what is left, and works."""
    gateway = RunningGateway(meeting.base_url, log_file=logs / "killed-gateway.log")
    async with gateway:
        display = traces.display_number(gateway.runtime_dir)
        await peer.call(f"sip:orphan@127.0.0.1:{gateway.sip_port}")
        await peer.wait_up()
        await in_state(gateway, "bridged")
        children = gateway.processes()
        await gateway.stop(signal.SIGKILL)

        async def survivors() -> list[psutil.Process]:
            return [*traces.alive(children), *traces.instance_processes(gateway.runtime_dir)]

        await until(survivors, lambda processes: not processes, "end of its children", TOLD_S)
        await peer.hangup()
        await peer.wait_over(40)
        await gateway.start()
        await gateway.ready(60)
        assert not traces.is_dead_display(display)
        await peer.call(f"sip:orphan@127.0.0.1:{gateway.sip_port}")
        await peer.wait_up()
        await in_state(gateway, "bridged")
        await gateway.stop()
        assert not await survivors()
        assert not [path for path in gateway.runtime_dir.rglob("*") if not path.is_dir()]
