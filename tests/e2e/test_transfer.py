"""A peer hands its call on: the meeting goes on with the other one, by either way of transfer."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.conftest import ALICE_HZ, PEER_HZ
from tests.e2e.test_dial_in import FRAMES, LOUD, PEER, call, sees_and_hears
from tests.e2e.waiting import in_room, in_state, until
from tests.meeting import EmbeddedMeeting, Participant
from tests.peer.measured import MeasuredPeer, PeerError
from tests.running_gateway import RunningGateway

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

OTHER_HZ = 770


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(meeting: EmbeddedMeeting, logs: Path) -> AsyncIterator[RunningGateway]:
    """A gateway whose peers may hand calls on to anybody here."""
    settings: dict[str, dict[str, Any]] = {"sip": {"transfer": True}, "dial_out": {"allow": ["*@127.0.0.1"]}}
    async with RunningGateway(meeting.base_url, settings, log_file=logs / "gateway.log") as running:
        yield running


OTHER = "peer"
"""What the other room is called in the meeting: the user part of its address, for nobody told its name."""


async def takes_its_place(
    alice: Participant, gateway: RunningGateway, other: MeasuredPeer, meeting: EmbeddedMeeting, session_id: str
) -> None:
    """The other room is seen and heard in the same meeting, under its own name, as is the meeting there."""
    await sees_and_hears(other, ALICE_HZ)
    await alice.report(reset=True)
    report = await alice.wait_for(
        lambda now: OTHER in now.video and now.video[OTHER].intact >= FRAMES and now.audio[OTHER][OTHER_HZ] > LOUD,
        "picture and sound of the other room, under its name",
    )
    assert PEER not in report.video
    assert report.audio[OTHER][PEER_HZ] < LOUD / 2
    now = await gateway.status()
    assert now["session"]["id"] == session_id
    assert now["session"]["peer"] == other.uri
    await in_room(meeting, "demo", OTHER, "alice")
    await other.hangup()
    await other.wait_over()

    async def state() -> str:
        return str((await gateway.status())["slot"])

    await until(state, lambda slot: slot != "busy", "the end of the session")


def other_room() -> MeasuredPeer:
    """To whom the call is handed on."""
    return MeasuredPeer(width=640, height=360, fps=15, bitrate=500_000, tone_hz=OTHER_HZ)


async def test_blind_transfer(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting
) -> None:
    """The room system that the call is handed on to takes the place of the one that hands it on."""
    async with other_room() as other:
        await call(peer, gateway, "demo")
        before = await gateway.status()
        await peer.refer(f"{other.uri};transport=udp")
        await other.wait_up()
        with contextlib.suppress(PeerError):  # the gateway waits some seconds for it, then does it itself
            await peer.hangup()
        await peer.wait_over()
        await takes_its_place(alice, gateway, other, meeting, before["session"]["id"])


async def test_attended_transfer(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting
) -> None:
    """So does one that was called and asked before: our call takes the place of that one (RFC 5589 section 7)."""
    async with other_room() as other:
        await call(peer, gateway, "demo")
        before = await gateway.status()
        await peer.consult(f"{other.uri};transport=udp")
        await other.wait_up()
        await peer.connect_the_two()
        await other.wait_up()
        await peer.wait_over()
        with contextlib.suppress(PeerError):  # as above
            await peer.hangup()
        await takes_its_place(alice, gateway, other, meeting, before["session"]["id"])


async def test_a_transfer_to_nobody(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """Where nobody answers the call goes on with the peer that wanted to leave."""
    await call(peer, gateway, "demo")
    await peer.refer("sip:nobody@127.0.0.1:9;transport=tcp")
    await in_state(gateway, "bridged")
    await sees_and_hears(peer, ALICE_HZ)
