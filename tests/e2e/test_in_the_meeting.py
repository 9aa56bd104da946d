"""What the meeting sees of a room system, and what either side may do about its microphone and camera."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import pytest_asyncio
from PIL import Image, ImageChops

from tests.e2e.conftest import ALICE_HZ, PEER_HZ
from tests.e2e.waiting import ended, in_state, until
from tests.meeting import EmbeddedMeeting, Participant, ParticipantReport, Standing
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEER = "Measured Peer"
STATISTICS_NAME = "box-7"
JIBRI = "http://jitsi.org/protocol/jibri"
ON = Standing(audio_muted=False, video_muted=False, hand_raised=False)
SILENT = Standing(audio_muted=True, video_muted=False, hand_raised=False)
DARK = Standing(audio_muted=False, video_muted=True, hand_raised=False)
ASKING = Standing(audio_muted=True, video_muted=False, hand_raised=True)
ASKING_IN_THE_DARK = Standing(audio_muted=True, video_muted=True, hand_raised=True)
HEARD_AND_SEEN = {"audio_muted": False, "video_muted": False, "muted_by_meeting": False, "hand_raised": False}
LOUD = 0.1
RUBBLE = 0.01
LOW_HZ, HIGH_HZ = 600, 900
SIGN_LOUD = 0.05  # played at 0.2 for 150 ms each; less of it arrives on a busy machine
SIGN_PIXELS = 100
REDDISH = 60  # by so much there is more red than green in it
ALL_MUTED_S = 10.0  # until something of hers has come everybody counts as muted
UP_S = 40.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(meeting: EmbeddedMeeting, logs: Path) -> AsyncIterator[RunningGateway]:
    """A gateway that may call this machine, and ends calls in which all others are muted for ten seconds."""
    settings: dict[str, dict[str, Any]] = {
        "dial_out": {"allow": ["*@127.0.0.1"]},
        "jibri": {"id": STATISTICS_NAME},
        "limits": {"all_muted_timeout_s": ALL_MUTED_S},
    }
    async with RunningGateway(meeting.base_url, settings, log_file=logs / "gateway.log") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def bridged(alice: Participant, gateway: RunningGateway, peer: MeasuredPeer) -> str:
    """The peer is in the room with alice, and she sees it with microphone and camera on; its name there."""
    await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    await in_state(gateway, "bridged")
    await alice.wait_for_standing(PEER, ON)
    await until(lambda: standing(gateway), lambda now: now == HEARD_AND_SEEN, "standing in the API")
    return PEER


async def standing(gateway: RunningGateway) -> dict[str, Any] | None:
    """How the room stands in the meeting, by the API; None before it has been looked at."""
    found: dict[str, Any] | None = (await gateway.last_session())["in_meeting"]
    return found


async def presences_of(meeting: EmbeddedMeeting, room: str, name: str) -> list[ET.Element]:
    """What the room was sent of the newest occupant of this name, the join first; nothing before it knows of one."""
    ids = [occupant.id for occupant in await meeting.occupants(room) if occupant.name == name]
    parsed = [ET.fromstring(presence) for presence in await meeting.presences(room)]  # noqa: S314  (of our own server)
    return [one for one in parsed if ids and one.get("from", "").endswith(f"/{ids[-1]}")]


def child(presence: ET.Element, tag: str) -> str | None:
    """The text of a child, in whatever namespace."""
    return presence.findtext(f"{{*}}{tag}")


async def check_presences(meeting: EmbeddedMeeting, room: str, name: str, email: str, sip_address: str) -> None:
    """What Prosody's modules know a SIP gateway by: on its join presence and, for the address, soon after."""

    async def carrying_it() -> int:
        return sum(child(one, "sip_address") is not None for one in await presences_of(meeting, room, name))

    await until(carrying_it, bool, "presence with a SIP address")
    join, *later = await presences_of(meeting, room, name)
    features = {feature.get("var") for feature in join.iterfind("{*}features/{*}feature")}
    assert JIBRI in features
    assert child(join, "email") == email
    assert child(join, "stats-id") == STATISTICS_NAME
    assert child(join, "nick") == name
    item = join.find("{*}x/{*}item")
    assert item is not None
    assert item.get("jid", "").partition("/")[0].endswith("@meet.test"), "a guest like others"
    # From where it comes on it stays, as all that a presence carries does; so it is news once.
    addresses = [child(presence, "sip_address") for presence in (join, *later)]
    without = addresses.count(None)
    assert without > 0, "not on the join presence, which is looked at for other things"
    assert addresses == [None] * without + [sip_address] * (len(addresses) - without)


async def test_presence_of_a_call_that_came_in(
    bridged: str, alice: Participant, meeting: EmbeddedMeeting, gateway: RunningGateway, peer: MeasuredPeer
) -> None:
    """Feature, e-mail of an inbound SIP gateway, statistics name and display name; the address once, after the join."""
    await peer.send_dtmf("*6")
    await alice.wait_for_standing(bridged, SILENT)  # which makes for more presences
    caller = (await gateway.last_session())["peer"]
    assert caller == "sip:peer@127.0.0.1"
    await check_presences(meeting, "demo", bridged, "inbound-sip-jibri@jitsi.net", caller)


async def test_presence_of_a_call_from_the_meeting(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting
) -> None:
    """The same with the e-mail of an outbound one."""
    await gateway.api("POST", "/api/v1/sessions", json={"room": "demo", "to": peer.uri, "display_name": "Room “B” <2>"})
    await peer.wait_up(UP_S)
    await in_state(gateway, "bridged")
    await alice.wait_for_standing("Room “B” <2>", ON)
    await check_presences(meeting, "demo", "Room “B” <2>", "outbound-sip-jibri@jitsi.net", peer.uri)


def level(report: ParticipantReport) -> float:
    """How loud a participant hears the peer."""
    return report.audio.get(PEER, {}).get(PEER_HZ, 0)


@pytest.mark.parametrize("info", [False, True], ids=["RFC 4733", "INFO"])
async def test_keys_switch_microphone_and_camera(
    bridged: str, alice: Participant, peer: MeasuredPeer, info: bool
) -> None:
    """`*6` switches the microphone off and on, `*7` the camera; alice hears and sees it."""
    await alice.wait_for(lambda now: level(now) > LOUD, "the peer's tone")
    await peer.send_dtmf("*6", info=info)
    await alice.wait_for_standing(bridged, SILENT)
    await alice.wait_for(lambda now: level(now) < RUBBLE, "silence")
    await peer.send_dtmf("*6", info=info)
    await alice.wait_for_standing(bridged, ON)
    await alice.wait_for(lambda now: level(now) > LOUD, "the peer's tone again")
    await peer.send_dtmf("*7", info=info)
    await alice.wait_for_standing(bridged, DARK)
    await peer.send_dtmf("*7", info=info)
    await alice.wait_for_standing(bridged, ON)
    await alice.report(reset=True)
    await alice.wait_for(lambda now: PEER in now.video and now.video[PEER].intact > 0, "the peer's picture again")


async def test_keys_raise_the_hand_where_moderation_forbids(
    bridged: str, alice: Participant, gateway: RunningGateway, peer: MeasuredPeer
) -> None:
    """Under moderation `*6` asks for the floor; once a moderator gives it, `*6` unmutes and the hand is down."""
    try:
        await alice.moderate("audio", enabled=True)
        await alice.wait_for_standing(bridged, SILENT)
        await peer.send_dtmf("*6")
        await alice.wait_for_standing(bridged, ASKING)
        asking = {"audio_muted": True, "video_muted": False, "muted_by_meeting": True, "hand_raised": True}
        await until(lambda: standing(gateway), lambda now: now == asking, "raised hand in the API")
        await alice.approve(bridged, "audio")
        # The leave has no answer that could be waited for; what she asks for after it is seen.
        await alice.mute(bridged, "video")
        await alice.wait_for_standing(bridged, ASKING_IN_THE_DARK)
        await peer.send_dtmf("*6")
        await alice.wait_for_standing(bridged, DARK)
    finally:
        await alice.moderate("audio", enabled=False)


async def sign_pixels(peer: MeasuredPeer, picture: Path) -> int:
    """How many pixels of the lower left corner of what the peer is sent are red, as signs are and scenery is not."""
    await peer.still(picture)
    red, green, _ = Image.open(picture).convert("RGB").crop((0, 560, 400, 720)).split()
    return sum(ImageChops.subtract(red, green).histogram()[REDDISH:])


async def two_tones(peer: MeasuredPeer) -> tuple[int, int]:
    """How long ago, in ms, the high and the low tone of a sign sounded for the room, once both have."""
    loop = asyncio.get_running_loop()
    begin = loop.time()

    async def listen() -> list[tuple[float, int]]:
        ms = round((loop.time() - begin) * 1000)
        # Both at once: the second would grow older until it is asked for.
        return await asyncio.gather(*(peer.loudest(hz, ms) for hz in (HIGH_HZ, LOW_HZ)))

    heard = await until(listen, lambda heard: min(heard)[0] > SIGN_LOUD, "two tones for the room")
    await asyncio.sleep(0.5)  # the last may not have been at its loudest yet
    heard = await listen()
    return heard[0][1], heard[1][1]


async def test_mute_by_a_moderator(
    bridged: str, alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, tmp_path: Path
) -> None:
    """It is obeyed; the room sees a sign and hears tones, the API and the log tell; `*6` takes it back."""
    picture = tmp_path / "still.png"
    assert await sign_pixels(peer, picture) < SIGN_PIXELS

    # So that nothing but the sign is heard.
    await alice.set_audio_muted(True)
    try:
        await until(lambda: peer.loudest(ALICE_HZ, 1000), lambda found: found[0] < RUBBLE, "silence of the meeting")
        await alice.mute(bridged, "audio")
        high_ago_ms, low_ago_ms = await two_tones(peer)
        assert high_ago_ms > low_ago_ms, "falling, since something went off"
    finally:
        await alice.set_audio_muted(False)
    await alice.wait_for_standing(bridged, SILENT)
    await until(lambda: sign_pixels(peer, picture), lambda count: count > SIGN_PIXELS, "sign in the peer's picture")
    muted = {**HEARD_AND_SEEN, "audio_muted": True, "muted_by_meeting": True}
    await until(lambda: standing(gateway), lambda now: now == muted, "mute in the API")
    assert any(line["audio_muted"] and line["muted_by_meeting"] for line in gateway.events("standing_in_meeting"))
    await peer.send_dtmf("*6")
    await alice.wait_for_standing(bridged, ON)
    await until(lambda: sign_pixels(peer, picture), lambda count: count < SIGN_PIXELS, "no sign any more")
    await until(lambda: standing(gateway), lambda now: now == HEARD_AND_SEEN, "end of it in the API")


async def test_everyone_muted(bridged: str, alice: Participant, gateway: RunningGateway) -> None:
    """Where a limit was set, the others' being muted ends the call; the room's own being muted does not."""
    await gateway.api(
        "POST", f"/api/v1/sessions/{(await gateway.last_session())['id']}/mute", json={"audio": True, "video": True}
    )
    await alice.wait_for_standing(bridged, Standing(audio_muted=True, video_muted=True, hand_raised=False))
    await asyncio.sleep(ALL_MUTED_S + 2)
    assert (await gateway.last_session())["state"] == "bridged"
    try:
        await alice.set_audio_muted(True)
        await alice.set_video_muted(True)
        assert (await ended(gateway, "all-muted"))["end"]["normal"]
    finally:
        await alice.set_audio_muted(False)
        await alice.set_video_muted(False)
