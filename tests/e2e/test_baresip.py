"""The independent judge: Debian's baresip, which shares no code with us, dialled in and dialled out."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.conftest import ALICE_HZ
from tests.e2e.waiting import ended, in_state, until
from tests.meeting import EmbeddedMeeting, Participant
from tests.peer.baresip import Baresip
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

BARESIP_HZ = 770
FRAMES = 30
LOUD = 0.1


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(meeting: EmbeddedMeeting, logs: Path) -> AsyncIterator[RunningGateway]:
    """A gateway that may call anybody on this machine."""
    settings = {"dial_out": {"allow": ["*@127.0.0.1"]}}
    async with RunningGateway(meeting.base_url, settings, log_file=logs / "gateway.log") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def baresip(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Baresip]:
    """A baresip that answers calls by itself."""
    directory = tmp_path_factory.mktemp("baresip")
    async with Baresip(directory, width=640, height=360, fps=15, bitrate=700_000, tone_hz=BARESIP_HZ) as running:
        yield running


async def sees_and_hears_alice(baresip: Baresip) -> None:
    """Wait until its display has shown enough of alice's stamps and its recording holds her tone."""
    seen = 0
    level = 0.0

    async def look() -> bool:
        nonlocal seen, level
        report = await baresip.report(ALICE_HZ)
        seen += report.video.intact
        level = report.tones[ALICE_HZ]
        return seen >= FRAMES and level > LOUD

    await until(look, bool, "picture and tone of alice at baresip")


async def is_seen_and_heard(alice: Participant) -> None:
    """Wait until alice's browser has decoded enough of the film's stamps and hears the tone."""
    await alice.wait_for(
        lambda now: (
            any(seen.intact >= FRAMES for seen in now.video.values())
            and any(tones[BARESIP_HZ] > LOUD for tones in now.audio.values())
        ),
        "picture and tone of baresip",
        timeout_s=30,
    )


async def test_dial_in(gateway: RunningGateway, alice: Participant, baresip: Baresip) -> None:
    """Baresip dials a room: it shows and records the meeting, and the meeting sees and hears it."""
    await alice.report(reset=True)
    await baresip.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
    await baresip.wait_for("CALL_ESTABLISHED", timeout_s=20)
    await asyncio.gather(sees_and_hears_alice(baresip), is_seen_and_heard(alice))
    await baresip.hangup()
    await ended(gateway, "peer-hung-up")


async def test_dial_out(gateway: RunningGateway, alice: Participant, baresip: Baresip) -> None:
    """Baresip is called into a room: it shows and records the meeting, and the meeting sees and hears it."""
    await alice.report(reset=True)
    order = {"room": "demo", "to": f"sip:baresip@127.0.0.1:{baresip.port}"}
    await gateway.api("POST", "/api/v1/sessions", json=order)
    await in_state(gateway, "bridged", timeout_s=30)
    await asyncio.gather(sees_and_hears_alice(baresip), is_seen_and_heard(alice))
    await gateway.api("DELETE", "/api/v1/sessions/current")
    await baresip.wait_for("CALL_CLOSED")
    await ended(gateway, "operator-hung-up")
