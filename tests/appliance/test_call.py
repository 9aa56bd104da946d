"""A real call through the appliance: its root file system on User-Mode Linux, peer and meeting outside of it.

Picture and sound pass v4l2loopback and PulseAudio inside. The canvas is small and slow, as one core without hardware
virtualization has to carry all of it.
"""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.appliance.machine import MachineError
from tests.appliance.uml.machine import GUEST, HOST, UserModeMachine
from tests.e2e.waiting import until
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, Participant
from tests.meeting.options import MeetingOptions
from tests.peer.measured import MeasuredPeer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.appliance,
    pytest.mark.timeout(1800),
]

UNIT = "jibri-sip@1"
MEETING_PORT = 18080
"""As setup.toml has it."""
READY_S, UP_S, SEEN_S, LEFT_S = 900, 180, 400, 60
ALICE_HZ, PEER_HZ = 440, 660
LOUD = 0.03
FRAMES = 20
NAME = "Measured Peer"


@pytest.fixture(scope="module")
def machine(prepared: Path, logs: Path, figures: dict[str, float]) -> Iterator[UserModeMachine]:
    """The appliance, ready for a call; its pages of localhost lead to the meeting outside."""
    with UserModeMachine(prepared, logs) as running:
        running.log_in(READY_S)
        way = [*running.ssh_command("-o", "ControlPath=none", "-N", "-R", f"{MEETING_PORT}:127.0.0.1:{MEETING_PORT}")]
        tunnel = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *way], stdin=subprocess.DEVNULL)
        try:
            figures["User-Mode Linux: power-on to ready, s"] = round(running.wait_until_active(UNIT, READY_S))
            yield running
        finally:
            with contextlib.suppress(MachineError):
                (logs / "gateway-uml.log").write_text(running.ssh(f"journalctl --unit {UNIT} --output cat"))
            tunnel.kill()
            tunnel.wait()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def meeting(logs: Path) -> AsyncIterator[EmbeddedMeeting]:
    """The meeting, on this machine."""
    options = MeetingOptions(http_port=MEETING_PORT)
    async with EmbeddedMeeting(logs, library_directory(), options) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def alice(meeting: EmbeddedMeeting) -> AsyncIterator[Participant]:
    """Somebody in the room."""
    async with Participant(meeting, "demo", name="alice", tone_hz=ALICE_HZ, width=320, height=180, fps=10) as who:
        yield who


def idle_share(machine: UserModeMachine, seconds: float = 20) -> tuple[float, float]:
    """Per cent of the core that the instance takes while it waits for a call, and its memory, MiB."""
    properties = f"systemctl show --property CPUUsageNSec,MemoryCurrent {UNIT}"

    def look() -> dict[str, int]:
        return {name: int(value) for name, value in (line.split("=") for line in machine.ssh(properties).splitlines())}

    before, at = look(), time.monotonic()
    time.sleep(seconds)
    after = look()
    share = (after["CPUUsageNSec"] - before["CPUUsageNSec"]) / 1e7 / (time.monotonic() - at)
    return share, after["MemoryCurrent"] / 2**20


def test_idle(machine: UserModeMachine, figures: dict[str, float]) -> None:
    """A gateway that waits takes little: bounded generously, measured for the documentation."""
    cpu, memory = idle_share(machine)
    figures["User-Mode Linux: instance idle, % of its one core"] = round(cpu, 1)
    figures["instance idle, memory with page cache, MiB"] = round(memory)
    assert memory < 1500


def assert_sound_comes_first(machine: UserModeMachine) -> None:
    """Of a call, on a processor with too much to do; and calls before whatever else the machine does."""
    threads = [line.strip() for line in machine.ssh("ps -eLo ni,comm").splitlines()]
    for thread in ("meeting-sound", "sound-server", "pulseaudio", "null-sink", "AudioOutputDevi", "AudioInputDevic"):
        assert f"-10 {thread}" in threads, threads
    assert machine.ssh("cat /sys/fs/cgroup/jibrisip.slice/cpu.weight").strip() == "1000"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_call_is_bridged_both_ways(
    machine: UserModeMachine,
    meeting: EmbeddedMeeting,
    alice: Participant,
    logs: Path,
    figures: dict[str, float],
) -> None:
    """The peer sees alice's stamps and hears her tone; alice sees the peer's and hears the peer's."""
    async with MeasuredPeer(
        width=320, height=180, fps=10, bitrate=200_000, tone_hz=PEER_HZ, host=HOST, log=logs / "peer.log"
    ) as peer:
        began = machine.up_s()
        await peer.call(f"sip:demo@{GUEST}")
        await peer.wait_up(UP_S)
        figures["User-Mode Linux: power-on to first call answered, s"] = round(machine.up_s())
        figures["User-Mode Linux: INVITE to 200, s"] = round(machine.up_s() - began, 1)
        seen, heard = 0, 0.0
        deadline = asyncio.get_running_loop().time() + SEEN_S
        while seen < FRAMES or heard < LOUD:
            report = await peer.report(ALICE_HZ)
            seen += report.video.intact
            heard = max(heard, report.tones[ALICE_HZ])
            assert asyncio.get_running_loop().time() < deadline, f"the peer saw {seen} stamps, heard {heard:.3f}"
            await asyncio.sleep(0.5)
        await alice.wait_for(
            lambda now: NAME in now.video and now.video[NAME].intact >= FRAMES and now.audio[NAME][PEER_HZ] > LOUD,
            "picture and sound of the peer",
            SEEN_S,
        )
        picture = (await alice.report()).video[NAME]
        figures["User-Mode Linux: pictures a second that the meeting sees of the peer"] = round(picture.fps, 1)
        assert "SIP_Room_1" in machine.ssh("cat /sys/class/video4linux/video0/name")
        assert_sound_comes_first(machine)
        # The device is in use by the gateway (which writes) and Chromium (which reads).
        users = machine.ssh("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c /dev/video0 || true")
        assert int(users) >= 2
        await peer.hangup()
        await peer.wait_over()

    async def there() -> list[str]:
        return [who.name for who in await meeting.occupants("demo")]

    await until(there, lambda names: names == ["alice"], "room that the peer has left", LEFT_S)
