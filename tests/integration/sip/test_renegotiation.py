"""A call that is up changes: held, taken back, with video and without, by either side, by re-INVITE and UPDATE."""

import asyncio
import re

import pytest

from jibri_sip.sip.events import Held, MediaUp, Resumed
from jibri_sip.sip.quality import CallStats
from tests.integration.sip.conftest import Gateway
from tests.integration.sip.raw_calls import UpCall, bridged, event, hang_up, up
from tests.peer.raw_peer import RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_VIDEO = "m=video 0 RTP/AVP 97"
FLOWS_S = 15.0
QUIET_S = 0.3


async def flows(session: UpCall, *, sound: bool, picture: bool) -> None:
    """See that just these of our streams reach the peer, and that the call's figures can be had."""
    await asyncio.sleep(0.1)
    assert await session.call.stats() != CallStats()
    session.peer.forget_media()
    for wanted, stream in ((sound, session.peer.sound), (picture, session.peer.picture)):
        if wanted:
            await stream.receive(3, timeout_s=FLOWS_S)
    if not (sound and picture):
        await asyncio.sleep(QUIET_S)
    assert bool(session.peer.sound.packets) == sound
    assert bool(session.peer.picture.packets) == picture


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize(
    ("style", "answered"), [("a=sendonly", "recvonly"), ("a=inactive", "inactive"), ("c=IN IP4 0.0.0.0", None)]
)
async def test_hold_and_resume(gateway: Gateway, method: str, style: str, answered: str | None) -> None:
    """Hold, in the ways of RFC 3264 and RFC 2543, stops what we send until the peer takes the call back."""
    async with up(gateway) as session:
        await bridged(session.call)
        peer = session.peer
        held = [media.replace("\n", f"\n{style}\n", 1) for media in (peer.audio(), peer.video())]
        code, answer = await peer.offer(*held, method=method)
        assert code == 200
        if answered is not None:
            assert [section.direction for section in answer] == [answered, answered]
        assert await event(session.call, Held)
        await flows(session, sound=False, picture=False)
        code, answer = await peer.offer(peer.audio(), peer.video(), method=method)
        assert (code, [section.direction for section in answer]) == (200, ["sendrecv", "sendrecv"])
        assert await event(session.call, Resumed)
        await flows(session, sound=True, picture=True)


async def test_picture_alone_on_hold(gateway: Gateway) -> None:
    """A room that mutes its camera (RFC 3264 section 8.4, one stream) still sees, and the call is not on hold."""
    async with up(gateway) as session:
        await bridged(session.call)
        _, answer = await session.peer.offer(session.peer.audio(), session.peer.video("a=recvonly"))
        assert [section.direction for section in answer] == ["sendrecv", "sendonly"]
        await flows(session, sound=True, picture=True)
        _, answer = await session.peer.offer(session.peer.audio(), session.peer.video("a=inactive"))
        assert [section.direction for section in answer] == ["sendrecv", "inactive"]
        await flows(session, sound=True, picture=False)
        told = [session.call.events.get_nowait() for _ in range(session.call.events.qsize())]
        assert not any(isinstance(happened, Held) for happened in told)
        assert [happened.seen for happened in told if isinstance(happened, MediaUp)] == [False, False]


async def test_peer_that_only_looks_on(gateway: Gateway) -> None:
    """A room that mutes microphone and camera alike is not expected to send anything, and is no hold: it gets all."""
    async with up(gateway) as session:
        peer = session.peer
        for direction, expected in (("recvonly", False), ("sendrecv", True)):
            await peer.offer(peer.audio(f"a={direction}"), peer.video(f"a={direction}"))
            await flows(session, sound=True, picture=True)
            stats = await session.call.stats()
            assert [stream is not None and stream.expected for stream in (stats.audio, stats.video)] == [expected] * 2


async def test_sound_alone_taken_out(gateway: Gateway) -> None:
    """A room that closes its sound is still seen, and counted; the call goes on."""
    async with up(gateway) as session:
        await session.peer.offer("m=audio 0 RTP/AVP 0", session.peer.video())
        await flows(session, sound=False, picture=True)
        assert (await session.call.stats()).video is not None


async def test_echo_of_a_muted_camera(gateway: Gateway) -> None:
    """A peer that calls the echo, and sends no picture for a while, has sound meanwhile, and its picture again."""
    async with up(gateway) as session:
        await bridged(session.call)
        await session.call.start_echo()
        for direction in ("recvonly", "inactive", "sendrecv"):
            await session.peer.offer(session.peer.audio(), session.peer.video(f"a={direction}"))
            await event(session.call, MediaUp)
        await asyncio.sleep(0.2)
        assert session.call.ended is None


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
async def test_peer_adds_and_removes_the_picture(gateway: Gateway, method: str) -> None:
    """A call that began with sound alone gets the picture when the peer offers it, loses it, and gets it again."""
    async with up(gateway, lambda peer: [peer.audio()]) as session:
        assert not (await bridged(session.call)).video
        peer = session.peer
        for video in (True, False, True):
            _, answer = await peer.offer(peer.audio(), peer.video() if video else NO_VIDEO, method=method)
            assert [section.port > 0 for section in answer] == [True, video]
            assert await event(session.call, MediaUp) == MediaUp(audio=True, video=video)
            await flows(session, sound=True, picture=video)


async def test_picture_moves_to_another_line(gateway: Gateway) -> None:
    """A peer that closes its video line and opens another one has picture there (RFC 3264 section 8.1)."""
    async with up(gateway) as session:
        peer = session.peer
        _, answer = await peer.offer(peer.audio(), NO_VIDEO, peer.video())
        assert [section.port > 0 for section in answer] == [True, False, True]
        await flows(session, sound=True, picture=True)
        _, answer = await peer.offer(peer.audio(), peer.video(), NO_VIDEO)
        assert [section.port > 0 for section in answer] == [True, True, False]
        await flows(session, sound=True, picture=True)


async def test_slides_beside_a_held_picture(gateway: Gateway) -> None:
    """Slides do not become the main picture while that is on hold."""
    async with up(gateway) as session:
        peer = session.peer
        slides = "m=video 30004 RTP/AVP 97\na=rtpmap:97 H264/90000\na=content:slides"
        _, answer = await peer.offer(peer.audio("a=inactive"), peer.video("a=inactive"), slides)
        assert [section.port > 0 for section in answer] == [True, True, False]


async def test_picture_flows_from_the_new_port(gateway: Gateway) -> None:
    """A peer that moves its streams to other ports, as a transfer within an SBC does, gets them there."""
    async with up(gateway) as session, RawPeer(gateway.endpoint.ports.udp) as elsewhere:
        await session.peer.picture.receive(3)
        _, answer = await session.peer.offer(elsewhere.audio(), elsewhere.video())
        assert all(section.port for section in answer)
        await elsewhere.picture.receive(3)
        await elsewhere.sound.receive(3)


async def test_we_add_and_remove_the_picture(gateway: Gateway) -> None:
    """We can offer the picture in a call that is up, and take it out again: the line is kept."""
    async with up(gateway, lambda peer: [peer.audio()]) as session:
        await bridged(session.call)
        for video in (True, False, True):
            asked = asyncio.create_task(session.call.set_video(video=video))
            reinvite = await session.peer.awaited("INVITE")
            ports = re.findall(r"m=video (\d+)", reinvite)
            assert [port != "0" for port in ports] == [video]
            picture = session.peer.video() if video else NO_VIDEO
            session.peer.respond(reinvite, "200 OK", session.peer.describe(session.peer.audio(), picture))
            await session.peer.awaited("ACK")
            assert await asked == 200
            assert await event(session.call, MediaUp) == MediaUp(audio=True, video=video)
            await flows(session, sound=True, picture=video)


async def test_a_peer_that_refuses_the_picture(gateway: Gateway) -> None:
    """488, and 200 with port 0, are told as a refusal, and the call goes on; its end ends the wait for an answer."""
    async with up(gateway, lambda peer: [peer.audio()]) as session:
        await bridged(session.call)
        asked = asyncio.create_task(session.call.set_video(video=True))
        session.peer.respond(await session.peer.awaited("INVITE"), "488 Not Acceptable Here")
        assert await asked == 488
        await flows(session, sound=True, picture=False)
        asked = asyncio.create_task(session.call.set_video(video=True))
        answer = session.peer.describe(session.peer.audio(), NO_VIDEO)
        session.peer.respond(await session.peer.awaited("INVITE"), "200 OK", answer)
        await session.peer.awaited("ACK")
        assert await asked == 488
        assert session.call.ended is None
        asked = asyncio.create_task(session.call.set_video(video=True))
        reinvite = await session.peer.awaited("INVITE")
        await session.call.hangup()
        session.peer.respond(await session.peer.awaited("BYE"), "200 OK")
        session.peer.respond(reinvite, "487 Request Terminated")
        assert await asyncio.wait_for(asked, 5) in (408, 487)


async def test_glare(gateway: Gateway) -> None:
    """Two offers that cross: 491 to the peer's, and ours, refused with 491, is made again (RFC 3261 section 14.1)."""
    async with up(gateway, lambda peer: [peer.audio()]) as session:
        await bridged(session.call)
        peer = session.peer
        asked = asyncio.create_task(session.call.set_video(video=True))
        ours = await peer.awaited("INVITE")
        code, _ = await peer.offer(peer.audio("a=sendonly"))
        assert code == 491
        peer.respond(ours, "491 Request Pending")
        await peer.awaited("ACK")
        # The peer's turn comes first, for it did not choose the Call-ID: we did not either, and may be quick.
        again = await peer.awaited("INVITE")
        peer.respond(again, "200 OK", peer.describe(peer.audio(), peer.video()))
        await peer.awaited("ACK")
        assert await asked == 200
        await flows(session, sound=True, picture=True)


async def test_glare_in_a_call_of_ours(gateway: Gateway) -> None:
    """Who chose the Call-ID waits at least 2.1 s, so that the other side comes first."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}", video=False)
        invite = await peer.awaited("INVITE")
        peer.respond(invite, "200 OK", peer.describe(peer.audio()))
        await peer.awaited("ACK")
        await bridged(call)
        asked = asyncio.create_task(call.set_video(video=True))
        ours = await peer.awaited("INVITE")
        refused_at = asyncio.get_running_loop().time()
        peer.respond(ours, "491 Request Pending")
        await peer.awaited("ACK")
        again = await peer.awaited("INVITE")
        assert 2.0 < asyncio.get_running_loop().time() - refused_at < 8
        peer.respond(again, "200 OK", peer.describe(peer.audio(), peer.video()))
        await peer.awaited("ACK")
        assert await asked == 200
        await hang_up(call, peer)


async def test_update_without_an_offer(gateway: Gateway) -> None:
    """UPDATE that offers nothing, as a session refresh does, is answered 200 without SDP and changes nothing."""
    async with up(gateway) as session:
        await bridged(session.call)
        session.peer.request("UPDATE")
        code, text = await session.peer.response()
        assert code == 200
        assert "m=" not in text.partition("\r\n\r\n")[2]
        await flows(session, sound=True, picture=True)


async def test_an_offer_that_nothing_of_can_be_taken(gateway: Gateway) -> None:
    """A re-INVITE with codecs that we have not gets 488, and the call goes on as it was (RFC 3261 section 14.2)."""
    async with up(gateway) as session:
        await bridged(session.call)
        peer = session.peer
        code, _ = await peer.offer("m=audio 30000 RTP/AVP 18", "m=video 30002 RTP/AVP 31")
        assert code == 488
        await flows(session, sound=True, picture=True)
