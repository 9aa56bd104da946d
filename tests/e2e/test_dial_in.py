"""Calls that come in: what is seen and heard, and every way in which they end."""

import asyncio
from io import BytesIO

import httpx2
import pytest
from PIL import Image

from tests.e2e.conftest import ALICE_HZ, PEER_HZ
from tests.e2e.waiting import ended, in_room, in_state, until
from tests.meeting import EmbeddedMeeting, Participant
from tests.peer.measured import MeasuredPeer
from tests.peer.raw import AUDIO, RawCaller, sdp
from tests.peer.raw_peer import RawPeer
from tests.running_gateway import PLAIN, RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEER = "Measured Peer"
READY_S = 30.0
FRAMES = 30
LOUD = 0.1
OK = 200
BUSY_HERE = 486
UNAVAILABLE = 503
TERMINATED = 487
LOCAL_HOLD = 2  # PJSUA_CALL_MEDIA_LOCAL_HOLD


def uri(gateway: RunningGateway, user: str) -> str:
    """What to dial."""
    return f"sip:{user}@127.0.0.1:{gateway.sip_port}"


async def call(peer: MeasuredPeer, gateway: RunningGateway, room: str, *, video: bool = True) -> None:
    """Be in the room with both sides connected."""
    await peer.call(uri(gateway, room), video=video)
    await peer.wait_up()
    await in_state(gateway, "bridged")


async def sees_and_hears(peer: MeasuredPeer, hz: int) -> int:
    """Wait until the peer hears the tone and has seen enough stamped pictures; how many."""
    seen = 0
    level = 0.0

    async def look() -> bool:
        nonlocal seen, level
        report = await peer.report(hz)
        seen += report.video.intact
        level = report.tones[hz]
        return seen >= FRAMES and level > LOUD

    await until(look, bool, f"picture and tone of {hz} Hz at the peer")
    return seen


async def assert_seen_from_outside(gateway: RunningGateway) -> None:
    """An operator finds the same at the slot's devices: both sounds, one window, the stamps of either side."""
    slot = await until(
        lambda: gateway.api("GET", "/api/v1/slot"),
        # Of half a second, for which either may pause on a busy machine.
        lambda slot: min(slot["to_sip_peak"], slot["to_meet_peak"]) > LOUD,
        "sound both ways at the slot's devices",
    )
    assert len(slot["windows"]) == 1
    for view in ("display", "to_sip", "to_meet"):
        base_url = f"http://127.0.0.1:{gateway.api_port}"
        async with httpx2.AsyncClient(base_url=base_url, timeout=30, verify=PLAIN) as http:
            answer = await http.get(f"/api/v1/slot/pictures/{view}")
        image = Image.open(BytesIO(answer.content))
        assert image.size == (1280, 720)
        assert sum(map(bool, image.convert("L").histogram())) > FRAMES, f"{view} is one card"


async def test_picture_and_sound_both_ways(alice: Participant, gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """The peer sees and hears the participant, and the participant the peer; each its own stamps and its own tone."""
    await alice.report(reset=True)
    await call(peer, gateway, "demo")
    await sees_and_hears(peer, ALICE_HZ)
    report = await alice.wait_for(
        lambda now: PEER in now.video and now.video[PEER].intact >= FRAMES and now.audio[PEER][PEER_HZ] > LOUD,
        "picture and sound of the peer",
    )
    # 1280x720, of which WebRTC takes a part on a busy machine.
    width, height = report.video[PEER].width, report.video[PEER].height
    assert width >= 640
    assert width * 9 == height * 16
    assert report.audio[PEER][ALICE_HZ] < LOUD / 2, "alice hears herself"
    assert (await peer.report(PEER_HZ)).tones[PEER_HZ] < LOUD / 2, "the peer hears itself"
    await assert_seen_from_outside(gateway)
    stages = (await gateway.last_session())["stages_ms"]
    assert stages["joined"] < stages["bridged"] <= stages["to_sip_first_frame"]
    assert "to_meet_first_frame" in stages


@pytest.mark.usefixtures("alice")
async def test_peer_hangs_up(gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting) -> None:
    """When the peer hangs up it is gone from the room, and the slot is ready again."""
    await call(peer, gateway, "demo")
    await in_room(meeting, "demo", PEER, "alice")
    await peer.hangup()
    await peer.wait_over()
    session = await ended(gateway, "peer-hung-up")
    assert session["end"]["normal"]
    assert session["end"]["by"] == "peer"
    await in_room(meeting, "demo", "alice")
    await gateway.ready(READY_S)


async def test_audio_only_call_shows_a_card(alice: Participant, gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """A call without video is heard, and seen as a card of ours, which bears no stamp."""
    await call(peer, gateway, "demo", video=False)
    await alice.report(reset=True)
    report = await alice.wait_for(
        lambda now: PEER in now.video and now.video[PEER].frames >= FRAMES and now.audio[PEER][PEER_HZ] > LOUD,
        "card and sound of the peer",
    )
    assert report.video[PEER].intact == 0

    async def heard() -> float:
        return (await peer.report(ALICE_HZ)).tones[ALICE_HZ]

    await until(heard, lambda level: level > LOUD, "sound of alice")


async def test_cancel_while_ringing(gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting) -> None:
    """A caller that gives up before the answer gets its 487, and nobody of it stays in the room."""
    await peer.call(uri(gateway, "cancelled"))
    await peer.wait_for("state", state="EARLY")
    await peer.hangup()
    assert (await peer.wait_over())["code"] == TERMINATED
    await ended(gateway, "cancelled")
    await in_room(meeting, "cancelled")
    await gateway.ready(READY_S)


async def test_held_before_it_is_let_in(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting
) -> None:
    """Who puts the call on hold in the lobby is on hold once it is let in, not silent; taken back, it is seen."""
    await meeting.set_lobby("demo", is_open=True)
    try:
        await peer.call(uri(gateway, "demo"))
        await peer.wait_up()
        await meeting.wait_for_knock("demo", PEER)
        await peer.hold()
        while not any(media["status"] == LOCAL_HOLD for media in (await peer.wait_for("media"))["media"]):
            pass
        await meeting.admit("demo", PEER)
        await in_state(gateway, "held")
    finally:
        await meeting.set_lobby("demo", is_open=False)
    await peer.resume()
    await in_state(gateway, "bridged")
    await alice.report(reset=True)
    await alice.wait_for(lambda now: PEER in now.video and now.video[PEER].intact >= FRAMES, "the peer's picture")


async def test_muted_camera(gateway: RunningGateway) -> None:
    """A room that mutes its camera by taking it out of its offer (RFC 3264 section 8.4) stays in the meeting."""
    async with RawPeer(gateway.sip_port, "muted") as room:
        room.request("INVITE", room.describe(room.audio(), room.video()))
        assert (await room.response(timeout_s=30))[0] == OK
        room.request("ACK")
        await in_state(gateway, "bridged")
        for direction in ("recvonly", "inactive", "sendrecv"):
            code, _ = await room.offer(room.audio(), room.video(f"a={direction}"))
            assert code == OK
            # The session looks at the call once a second.
            await asyncio.sleep(2.5)
            await in_state(gateway, "bridged", timeout_s=1)
        room.request("BYE")
        assert (await room.response())[0] == OK
        await ended(gateway, "peer-hung-up")
        await gateway.ready(READY_S)


async def test_operator_hangs_up(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """An end through the API ends the call at the peer, and the answer tells of the ended session."""
    await call(peer, gateway, "operated")
    session = await gateway.api("DELETE", "/api/v1/sessions/current")
    assert session["state"] == "ended"
    assert session["end"]["key"] == "operator-hung-up"
    await peer.wait_over()
    await gateway.ready(READY_S)


async def test_kicked(gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting) -> None:
    """A moderator's kick ends the call."""
    await call(peer, gateway, "kicked")
    await in_room(meeting, "kicked", PEER)
    await meeting.kick("kicked", PEER)
    await peer.wait_over()
    assert (await ended(gateway, "kicked"))["end"]["by"] == "meeting"
    await gateway.ready(READY_S)


async def test_meeting_ended(gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting) -> None:
    """The end of the meeting ends the call."""
    await call(peer, gateway, "ended")
    await meeting.end("ended")
    await peer.wait_over()
    await ended(gateway, "meeting-ended")
    await gateway.ready(READY_S)


async def test_second_caller_hears_busy(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """There is one call at a time: the second is told so at once, as are dispatchers, and the first does not notice."""
    async with RawCaller(gateway.sip_port) as dispatcher:
        dispatcher.request("OPTIONS")
        assert (await dispatcher.response())[0] == OK
    await call(peer, gateway, "busy")
    async with RawCaller(gateway.sip_port) as second:
        second.request("OPTIONS")
        assert (await second.response())[0] == UNAVAILABLE
        second.remote_tag = ""
        second.request("INVITE", sdp(AUDIO))
        assert (await second.response())[0] == BUSY_HERE
        second.request("ACK")
    assert (await gateway.status())["session"]["state"] == "bridged"


async def test_echo_call(gateway: RunningGateway, peer: MeasuredPeer) -> None:
    """Who calls `echo` hears its own tone and, after the test card, sees its own stamps."""
    await peer.call(uri(gateway, "echo"))
    await peer.wait_up()
    await sees_and_hears(peer, PEER_HZ)
    await peer.hangup()
    await peer.wait_over()
    await ended(gateway, "peer-hung-up")
    await gateway.ready(READY_S)
