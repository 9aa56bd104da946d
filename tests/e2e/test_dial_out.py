"""Calls from a meeting to a room system, through the API and through the commands."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.conftest import ALICE_HZ, PEER_HZ
from tests.e2e.waiting import ended, in_room, in_state, until
from tests.meeting import EmbeddedMeeting, Participant
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

RING_S = 10.0  # in which peers that answer at once have to, however busy the machine is
UP_S = 40.0
FRAMES = 20
LOUD = 0.1
COMMAND_S = 60.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(meeting: EmbeddedMeeting, logs: Path) -> AsyncIterator[RunningGateway]:
    """A gateway that may call this machine, and lets it ring for some seconds."""
    settings: dict[str, dict[str, Any]] = {"dial_out": {"allow": ["*@127.0.0.1"]}, "limits": {"ring_timeout_s": RING_S}}
    async with RunningGateway(meeting.base_url, settings, log_file=logs / "gateway.log") as running:
        yield running


async def command(gateway: RunningGateway, *arguments: str) -> tuple[int, Any]:
    """Run one of the commands with `--json`; its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jibri_sip", *arguments, "--json", "--config", str(gateway.config_file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await asyncio.wait_for(process.communicate(), COMMAND_S)
    assert process.returncode is not None
    assert output, complaints
    return process.returncode, json.loads(output)


async def dial(gateway: RunningGateway, room: str, to: str) -> None:
    """Ask for a call through the API."""
    await gateway.api("POST", "/api/v1/sessions", json={"room": room, "to": to})


async def test_answered(alice: Participant, gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """The called party sees and hears the participant, and the participant sees and hears it."""
    await alice.report(reset=True)
    await dial(gateway, "demo", peer.uri)
    await peer.wait_up(UP_S)
    await in_state(gateway, "bridged")
    seen = 0

    async def look() -> bool:
        nonlocal seen
        report = await peer.report(ALICE_HZ)
        seen += report.video.intact
        return seen >= FRAMES and report.tones[ALICE_HZ] > LOUD

    await until(look, bool, "picture and tone of alice at the peer")
    await alice.wait_for(
        lambda now: any(
            video.intact >= FRAMES and now.audio[name][PEER_HZ] > LOUD for name, video in now.video.items()
        ),
        "picture and sound of the called party",
    )


async def test_commands(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """`dial` returns 0 once both sides are connected, `status` and `doctor` show the call, `hangup` ends it."""
    status, session = await command(gateway, "dial", "--room", "commanded", "--to", peer.uri)
    assert (status, session["state"]) == (0, "bridged")
    status, facts = await command(gateway, "status")
    assert (status, facts["slot"], facts["session"]["id"]) == (0, "busy", session["id"])
    status, found = await command(gateway, "doctor")
    assert (status, found["ok"]) == (0, True), found
    assert "instance 1 runs and is busy" in [finding["message"] for finding in found["findings"]]
    status, gone = await command(gateway, "hangup")
    assert status == 0, gone
    assert gone["end"]["key"] == "operator-hung-up"
    await peer.wait_over()


@pytest.mark.parametrize(
    ("code", "key"), [(486, "peer-busy"), (603, "peer-declined"), (404, "peer-not-found"), (488, "media-incompatible")]
)
async def test_refused(
    gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting, code: int, key: str
) -> None:
    """A refusal ends the session with its reason, and the meeting is left."""
    await peer.answer_with(code)
    await dial(gateway, "refused", peer.uri)
    session = await ended(gateway, key)
    assert session["end"]["by"] == "peer"
    await in_room(meeting, "refused")


async def test_no_answer(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """A party that only rings is called no longer than the limit says; `dial` tells by its exit status."""
    await peer.answer_with(200, after_s=60)
    status, session = await command(gateway, "dial", "--room", "patient", "--to", peer.uri)
    assert status == 1
    assert session["end"]["key"] == "peer-no-answer"
    await peer.wait_over()


async def test_called_party_hangs_up(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """When the called party hangs up, that ends the session as it should."""
    await dial(gateway, "short", peer.uri)
    await peer.wait_up(UP_S)
    await in_state(gateway, "bridged")
    await peer.hangup()
    assert (await ended(gateway, "peer-hung-up"))["end"]["normal"]


@pytest.mark.parametrize(
    ("to", "key"),
    [
        ("sip:anybody@192.0.2.1", "destination-not-allowed"),
        ("sip:peer@127.0.0.1;maddr=192.0.2.1", "destination-invalid"),
        ("mailto:peer@127.0.0.1", "destination-invalid"),
    ],
)
async def test_destination_refused(gateway: RunningGateway, to: str, key: str) -> None:
    """What may not be called is refused at once, before a meeting is joined for it."""
    before = await gateway.api("GET", "/api/v1/sessions")
    status, problem = await command(gateway, "dial", "--room", "toll", "--to", to)
    assert (status, problem["key"]) == (1, key)
    assert problem["remedy"]
    assert await gateway.api("GET", "/api/v1/sessions") == before


async def test_busy(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """While there is a call, another one is refused by the API."""
    await dial(gateway, "first", peer.uri)
    status, problem = await command(gateway, "dial", "--room", "second", "--to", peer.uri)
    assert (status, problem["key"]) == (1, "busy")
    await peer.wait_up(UP_S)


async def test_commands_without_gateway(tmp_path: Path) -> None:
    """With no gateway there, the commands say so and fail."""
    gateway = RunningGateway("https://meet.example.com")
    gateway.config_file = tmp_path / "jibri-sip.toml"
    gateway.config_file.write_text(f"[api]\nport = {gateway.api_port}\n")
    status, problem = await command(gateway, "status")
    assert status == 1
    assert problem["remedy"]
