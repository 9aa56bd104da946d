"""A call without an offer in its INVITE, through the whole gateway: seen and heard both ways as soon as any other."""

import pytest

from tests.e2e.conftest import ALICE_HZ, PEER_HZ
from tests.e2e.waiting import ended, in_state, until
from tests.meeting import Participant
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEER = "Measured Peer"
FRAMES = 10
LOUD = 0.1
READY_S = 30.0
SLACK_MS = 1500
"""Joining the meeting takes longer or shorter from call to call."""


async def stages(alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, *, delayed: bool) -> dict[str, float]:
    """Call until both sides see and hear each other, and hang up; what was reached when, in ms from the INVITE."""
    await alice.report(reset=True)
    await peer.report()
    await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port};transport=udp", delayed_offer=delayed)
    await peer.wait_up()
    await in_state(gateway, "bridged")
    seen = 0

    async def is_there() -> bool:
        nonlocal seen
        report = await peer.report(ALICE_HZ)
        seen += report.video.intact
        return seen >= FRAMES and report.tones[ALICE_HZ] > LOUD

    await until(is_there, bool, "picture and tone at the peer")
    await alice.wait_for(
        lambda now: PEER in now.video and now.video[PEER].intact >= FRAMES and now.audio[PEER][PEER_HZ] > LOUD,
        "picture and sound of the peer",
    )
    await peer.hangup()
    await peer.wait_over()
    session = await ended(gateway, "peer-hung-up")
    await gateway.ready(READY_S)
    reached: dict[str, float] = session["stages_ms"]
    return reached


@pytest.mark.slow
@pytest.mark.alone
async def test_as_soon_as_an_early_offer(alice: Participant, gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """Two calls of each kind in turn: the first picture, each way, is no later without an offer than with one."""
    taken: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for _ in range(2):
        for delayed, of_kind in taken.items():
            of_kind.append(await stages(alice, gateway, peer, delayed=delayed))
    for stage in ("to_sip_first_frame", "to_meet_first_frame"):
        early, late = (min(call[stage] for call in taken[delayed]) for delayed in (False, True))
        print(f"{stage}: early offer {early:.0f} ms, delayed offer {late:.0f} ms")
        assert late < early + SLACK_MS
