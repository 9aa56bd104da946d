"""The picture of a call is taken out and put in again, as an operator asks for it."""

import httpx2
import pytest

from tests.e2e.test_dial_in import FRAMES, PEER, call
from tests.e2e.waiting import until
from tests.meeting import Participant
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


async def ask(gateway: RunningGateway, *, video: bool) -> int:
    """Ask for a picture in the present call, or for none: the API's status."""
    session = (await gateway.status())["session"]["id"]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{gateway.api_port}", timeout=40) as http:
        return (await http.post(f"/api/v1/sessions/{session}/video", json={"video": video})).status_code


async def test_picture_out_and_in(alice: Participant, gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """Without the picture the meeting sees a card, and the picture is there again when it is asked for."""
    await call(peer, gateway, "demo")
    assert await ask(gateway, video=False) == 200
    cards = 0

    async def look() -> int:
        nonlocal cards
        seen = (await alice.report(reset=True)).video.get(PEER)
        if seen is not None:
            cards = 0 if seen.intact else cards + seen.unreadable
        return cards

    # Its last pictures are on their way for a while.
    await until(look, lambda count: count >= FRAMES, "row of cards of the peer")
    assert await ask(gateway, video=True) == 200
    await alice.report(reset=True)
    await alice.wait_for(lambda now: PEER in now.video and now.video[PEER].intact > 0, "picture of the peer")


async def test_a_peer_that_wants_no_picture(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """A telephone's refusal is the API's answer, and its call goes on."""
    await call(peer, gateway, "demo", video=False)
    assert await ask(gateway, video=True) == 502
    assert (await gateway.status())["session"]["state"] == "bridged"
