"""Runs the demo: embedded meeting, one participant, the gateway, and baresip that dials the room."""

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.demo.verdict import missing, seen_by_baresip, seen_by_participant
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, MeetingError, Participant, ParticipantError
from tests.peer.baresip import Baresip, BaresipError
from tests.report import CpuMeter, Machine, Report, SetupTimes, machine, table
from tests.running_gateway import GatewayError, RunningGateway, port_is_free

OUT = Path("build/demo")
ROOM = "demo"
SIP_PORT = 5060
CALL_S = 30
SETTLE_S = 4
PARTICIPANT_HZ = 440
BARESIP_HZ = 770
STEPS = 6


@dataclass
class Progress:
    """Says what is being done, and how far it is."""

    step: int = 0

    def __call__(self, what: str) -> None:
        """Announce the next step."""
        self.step += 1
        print(f"[{self.step}/{STEPS}] {what}", flush=True)


@dataclass(frozen=True)
class Stage:
    """Everybody who takes part."""

    gateway: RunningGateway
    alice: Participant
    baresip: Baresip


@contextlib.asynccontextmanager
async def _stage(say: Progress) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        say("starting the embedded meeting, and alice in it")
        meeting = await stack.enter_async_context(EmbeddedMeeting(OUT / "logs", library_directory()))
        alice = await stack.enter_async_context(Participant(meeting, ROOM, "alice", tone_hz=PARTICIPANT_HZ))
        say("starting the gateway")
        sip = {"port": SIP_PORT} if port_is_free(SIP_PORT) else {}
        gateway = await stack.enter_async_context(
            RunningGateway(meeting.base_url, {"sip": sip}, log_file=OUT / "logs" / "gateway.log")
        )
        say("starting baresip")
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="baresip"))
        baresip = await stack.enter_async_context(
            Baresip(Path(directory), width=640, height=360, fps=15, bitrate=700_000, tone_hz=BARESIP_HZ)
        )
        yield Stage(gateway, alice, baresip)


async def _call(stage: Stage, say: Progress, about: Machine) -> Report:
    """Dial, hold the call, hang up; what was seen and heard meanwhile."""
    uri = f"sip:{ROOM}@127.0.0.1" + (f":{stage.gateway.sip_port}" if stage.gateway.sip_port != SIP_PORT else "")
    say(f"baresip dials {uri}")
    await stage.baresip.dial(uri)
    await stage.baresip.wait_for("CALL_ESTABLISHED", timeout_s=30)
    # The first seconds are set-up; what is judged is the call as it goes on.
    await asyncio.sleep(SETTLE_S)
    await stage.baresip.report()
    await stage.alice.report(reset=True)
    say(f"the call is up; watching and listening for {CALL_S} s")
    async with CpuMeter(stage.gateway.pid) as meter:
        for left in range(CALL_S, 0, -10):
            print(f"      {left} s to go", flush=True)
            await asyncio.sleep(10)
    heard_by_baresip = await stage.baresip.report(PARTICIPANT_HZ)
    heard_by_alice = await stage.alice.report()
    session = await stage.gateway.last_session()
    if session["end"] is not None:
        raise GatewayError("the call ended by itself, {key}: {message}".format_map(session["end"]))
    await stage.baresip.still(OUT / "to_sip.png")
    await stage.alice.screenshot(OUT / "to_meet.png")
    say("hanging up")
    await stage.baresip.hangup()
    await stage.gateway.ready(30)
    return Report(
        machine=about,
        setup_ms=_setup_times(session),
        to_sip=seen_by_baresip(heard_by_baresip, session, PARTICIPANT_HZ),
        to_meet=seen_by_participant(heard_by_alice, session, "baresip", BARESIP_HZ),
        cpu_cores=meter.cores(),
        rss_mib=meter.rss_mib(),
    )


def _setup_times(session: dict[str, Any]) -> SetupTimes:
    """By the gateway's own clock, from the INVITE's arrival."""
    stages = session["stages_ms"]
    return SetupTimes(
        invite_to_200=stages.get("answered"),
        to_meet_first_frame=stages.get("to_meet_first_frame"),
        to_sip_first_frame=stages.get("to_sip_first_frame"),
    )


async def main() -> int:
    """Run the demo; the exit status."""
    say = Progress()
    await asyncio.to_thread(shutil.rmtree, OUT, ignore_errors=True)
    await asyncio.to_thread((OUT / "logs").mkdir, parents=True)
    about = machine()
    try:
        async with _stage(say) as stage:
            report = await _call(stage, say, about)
    except (MeetingError, ParticipantError, GatewayError, BaresipError, TimeoutError) as error:
        reason = str(error) or f"no answer in time; see {OUT}/logs/gateway.log"
        print(f"\nThe demo failed: {reason}", file=sys.stderr)
        return 1
    await asyncio.to_thread(report.write, OUT / "report.json")
    print("\n" + table(("", "to the meeting", "to the SIP peer"), report.rows()))
    print(f"\nPictures and report: {OUT}/to_meet.png {OUT}/to_sip.png {OUT}/report.json")
    lacking = missing(report)
    for line in lacking:
        print(f"MISSING: {line}; see {OUT}/logs/gateway.log", file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit(130)
