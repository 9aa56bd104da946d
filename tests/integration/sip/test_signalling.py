"""Calls come, go and fail as RFC 3261 says, between the endpoint and a real peer over real sockets."""

import asyncio
import re
import sys

import pytest

from jibri_sip.errors import DestinationInvalid, PortInUse
from jibri_sip.sip.call import Call
from jibri_sip.sip.endpoint import Endpoint
from jibri_sip.sip.events import Answered, CallEvent, Dtmf, Ended, Held, MediaUp, Resumed, Ringing
from jibri_sip.sip.settings import SipSettings
from jibri_sip.sip.thread import SipError
from tests.integration.sip.conftest import Gateway
from tests.peer import gateway_devices
from tests.peer.measured import MeasuredPeer
from tests.peer.raw import AUDIO, VIDEO, RawCaller, sdp

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def event(call: Call, kind: type[CallEvent]) -> CallEvent:
    """The call's next event of this kind; others before it are passed over."""
    async with asyncio.timeout(10):
        while True:
            found = await call.events.get()
            if isinstance(found, kind):
                return found


async def test_dial_in_names_caller_and_room(gateway: Gateway, peer: MeasuredPeer) -> None:
    """A call that comes in tells who dialled what, unescaped, and which header fields came with it."""
    await peer.call(
        f"sip:My%20Room@{gateway.endpoint.ports.address};transport=udp;pin=12%3B3", headers={"X-Room-Id": "Zürich"}
    )
    call = await gateway.take()
    assert call.direction == "incoming"
    assert (call.request_uri.user, call.request_uri.params["pin"]) == ("My Room", "12;3")
    assert call.remote_name == "Measured Peer"
    assert call.remote_uri.startswith("sip:peer@127.0.0.1")
    assert call.headers["x-room-id"] == ("Zürich",)
    assert call.facts.video
    await call.reject(404, "No such room")
    over = await peer.wait_over()
    assert (over["code"], over["reason"]) == (404, "No such room")


async def test_dial_in_answered_and_hung_up_by_peer(gateway: Gateway, peer: MeasuredPeer) -> None:
    """A call rings, is answered, carries sound and picture, and tells that the peer hung up."""
    await peer.call(gateway.uri)
    call = await gateway.take()
    await call.ring()
    assert (await peer.wait_for("state", state="EARLY"))["code"] == 180
    await call.answer()
    await peer.wait_up()
    assert await event(call, Answered)
    assert await event(call, MediaUp) == MediaUp(audio=True, video=True)
    await peer.hangup()
    assert await event(call, Ended) == Ended(200, "Normal call clearing", by_peer=True, answered=True)


async def test_hanging_up_tells_the_peer_why(gateway: Gateway) -> None:
    """Our BYE carries the reason (RFC 3326)."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("INVITE", sdp(AUDIO))
        call = await gateway.take()
        await call.answer()
        assert (await caller.response())[0] == 200
        caller.request("ACK")
        await event(call, Answered)
        await call.hangup(480, 'Meeting "ended"')
        async with asyncio.timeout(5):
            while not (bye := await caller.received.get()).startswith("BYE"):
                pass
        assert "Reason: SIP;cause=480;text=\"Meeting 'ended'\"" in bye


@pytest.mark.parametrize(("code", "reason"), [(486, "Busy Here"), (403, "Forbidden"), (503, "Not ready")])
async def test_rejections_reach_the_peer(gateway: Gateway, peer: MeasuredPeer, code: int, reason: str) -> None:
    """The code and phrase of a rejection are what the peer gets, and the call ends with them."""
    await peer.call(gateway.uri)
    call = await gateway.take()
    await call.reject(code, reason)
    over = await peer.wait_over()
    assert (over["code"], over["reason"]) == (code, reason)
    ended = await event(call, Ended)
    assert isinstance(ended, Ended)
    assert (ended.code, ended.by_peer, ended.answered) == (code, False, False)


async def test_cancel_while_ringing(gateway: Gateway, peer: MeasuredPeer) -> None:
    """A caller that gives up while we ring ends the call with 487, by the peer; later operations do nothing."""
    await peer.call(gateway.uri)
    call = await gateway.take()
    await call.ring()
    await peer.wait_for("state", state="EARLY")
    await peer.hangup()
    ended = await event(call, Ended)
    assert isinstance(ended, Ended)
    assert (ended.code, ended.by_peer) == (487, True)
    await call.answer()
    await call.hangup()
    assert (await peer.wait_over())["code"] == 487
    assert (await call.stats()).audio is None


async def test_second_call_can_be_refused_while_one_is_up(gateway: Gateway, peer: MeasuredPeer) -> None:
    """While one call is up, another one gets its answer, and the first goes on."""
    await peer.call(gateway.uri)
    first = await gateway.take()
    await first.answer()
    await peer.wait_up()
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("INVITE", sdp(AUDIO))
        await (await gateway.take()).reject(486, "Busy")
        assert (await caller.response())[0] == 486
    assert first.ended is None
    await first.hangup()
    await peer.wait_over()


@pytest.mark.parametrize("profile", ["42e01f", "4d401f", "640028", "42801f"])
async def test_h264_profiles_of_room_systems(gateway: Gateway, profile: str) -> None:
    """Baseline, Main and High are all accepted, and mirrored in the answer (RFC 6184 section 8.2.2)."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("INVITE", sdp(AUDIO, VIDEO.replace("42e01f", profile)))
        call = await gateway.take()
        await call.answer()
        _, text = await caller.response()
        caller.request("ACK")
        port = re.search(r"m=video (\d+)", text)
        assert port is not None
        assert int(port[1]) > 0
        level = re.search(r"profile-level-id=(\w+)", text)
        assert level is not None
        assert level[1][:2] == profile[:2]
        await call.hangup()


async def test_large_invite_over_udp(gateway: Gateway) -> None:
    """An INVITE of 20 kB, as an SBC with many codecs and header fields sends it, is read whole."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("INVITE", sdp(AUDIO, VIDEO), {f"X-Filler-{n}": "f" * 1000 for n in range(20)})
        call = await gateway.take()
        assert len(call.headers["x-filler-19"][0]) == 1000
        await call.reject(486, "Busy")
        assert (await caller.response())[0] == 486


async def test_options_are_answered(gateway: Gateway) -> None:
    """OPTIONS, which proxies ping with, is answered 200 and makes no call."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("OPTIONS")
        assert (await caller.response())[0] == 200
    assert gateway.incoming.empty()


async def test_refer_is_declined(gateway: Gateway, peer: MeasuredPeer) -> None:
    """A peer cannot make us dial somebody else (RFC 3515): 603, and the call goes on."""
    async with MeasuredPeer(width=320, height=180, fps=5) as victim:
        await peer.call(gateway.uri)
        call = await gateway.take()
        await call.answer()
        await peer.wait_up()
        await peer.refer(victim.uri)
        with pytest.raises(TimeoutError):
            await victim.wait_for("incoming", timeout_s=1.5)
    assert call.ended is None
    await call.hangup()
    await peer.wait_over()


async def test_hold_and_resume(gateway: Gateway, peer: MeasuredPeer) -> None:
    """Hold and resume by the peer are told, each once."""
    await peer.call(gateway.uri)
    call = await gateway.take()
    await call.answer()
    await peer.wait_up()
    await event(call, MediaUp)
    peer.forget_events()
    await peer.hold()
    assert await event(call, Held)
    # It knows of our answer.
    await peer.wait_for("media")
    await peer.resume()
    assert await event(call, Resumed)
    await call.hangup()
    await peer.wait_over()


@pytest.mark.parametrize("info", [False, True])
async def test_keys_pressed(gateway: Gateway, peer: MeasuredPeer, info: bool) -> None:
    """DTMF by RFC 4733 and by INFO arrives key by key."""
    await peer.call(gateway.uri)
    call = await gateway.take()
    await call.answer()
    await peer.wait_up()
    await event(call, MediaUp)
    await peer.send_dtmf("4#", info=info)
    assert [await event(call, Dtmf), await event(call, Dtmf)] == [Dtmf("4"), Dtmf("#")]
    await call.send_dtmf("7")
    await peer.wait_for("dtmf", digit="7")
    await call.hangup()
    await peer.wait_over()


async def test_dial_out_answered(gateway: Gateway, peer: MeasuredPeer) -> None:
    """A call of ours rings, is answered, shows the name given, and ends when we hang up."""
    await peer.answer_with(200, after_s=0.3)
    call = await gateway.endpoint.dial(
        f"{peer.uri};transport=udp", caller_name='Room "Ünï" \\ 1', headers={"X-Conference": "demo"}
    )
    message = (await peer.wait_for("incoming"))["message"]
    assert r'From: "Room \"Ünï\" \\ 1" <sip:jibri-sip@127.0.0.1' in message
    assert "X-Conference: demo" in message
    assert "User-Agent: jibri-sip/" in message
    assert "profile-level-id=42e01f" in message
    assert "m=text" not in message
    assert await event(call, Ringing) == Ringing(180, "Ringing")
    assert await event(call, Answered)
    assert await event(call, MediaUp) == MediaUp(audio=True, video=True)
    await call.hangup()
    assert (await call.wait_ended()).answered
    await peer.wait_over()


@pytest.mark.parametrize("code", [486, 603, 404, 480])
async def test_dial_out_refused(gateway: Gateway, peer: MeasuredPeer, code: int) -> None:
    """The peer's refusal is how the call ends."""
    await peer.answer_with(code)
    call = await gateway.endpoint.dial(f"{peer.uri};transport=udp")
    ended = await call.wait_ended()
    assert (ended.code, ended.by_peer, ended.answered) == (code, True, False)


async def test_dial_out_unanswered_is_cancelled(gateway: Gateway, peer: MeasuredPeer) -> None:
    """A peer that rings too long gets CANCEL, and the call ends with 408."""
    await peer.answer_with(200, after_s=30)
    call = await gateway.endpoint.dial(f"{peer.uri};transport=udp", timeout_s=5)
    assert await event(call, Ringing)
    ended = await call.wait_ended()
    assert (ended.code, ended.by_peer) == (408, False)
    assert (await peer.wait_over())["code"] == 487


async def test_dial_out_answered_as_it_is_cancelled(gateway: Gateway) -> None:
    """A callee whose 200 crosses our CANCEL gets ACK and BYE, and the call is over (RFC 3261 section 15.1.2)."""
    async with RawCaller(gateway.endpoint.ports.udp) as callee:
        call = await gateway.endpoint.dial(f"sip:raw@{callee.local}")
        invite = await callee.awaited("INVITE")
        callee.respond(invite, "180 Ringing")
        await event(call, Ringing)
        await call.hangup()
        cancel = await callee.awaited("CANCEL")
        callee.respond(invite, "200 OK", sdp(AUDIO, "m=video 0 RTP/AVP 97"))
        callee.respond(cancel, "200 OK")
        await callee.awaited("ACK")
        callee.respond(await callee.awaited("BYE"), "200 OK")
        ended = await event(call, Ended)
        assert isinstance(ended, Ended)
        assert not ended.by_peer


async def test_dial_out_to_nobody_over_tcp(gateway: Gateway) -> None:
    """A TCP port that nobody listens on ends the call at once, and not by the peer."""
    call = await gateway.endpoint.dial("sip:nobody@127.0.0.1:1;transport=tcp")
    ended = await asyncio.wait_for(call.wait_ended(), 5)
    assert ended.code in (502, 503)
    assert not ended.by_peer


@pytest.mark.parametrize("uri", ["demo", "http://example.com", "sip:", "sip:a b@c d", 'sip:"><x@h\r\nX: y'])
async def test_malformed_destinations(gateway: Gateway, uri: str) -> None:
    """What is no SIP address is refused before anything is sent."""
    with pytest.raises(DestinationInvalid):
        await gateway.endpoint.dial(uri)


async def test_header_injection_is_refused(gateway: Gateway, peer: MeasuredPeer) -> None:
    """A header field cannot break out of its line."""
    with pytest.raises(ValueError, match="not a header field"):
        await gateway.endpoint.dial(peer.uri, headers={"X-A": "b\r\nX-C: d"})


async def test_port_in_use_is_named(gateway: Gateway) -> None:
    """A second user agent on the same port is told which port it is."""
    program = (
        "import asyncio\n"
        "from jibri_sip.sip.endpoint import Endpoint\n"
        "from jibri_sip.sip.settings import SipSettings\n"
        "from tests.peer import gateway_devices\n"
        f"endpoint = Endpoint(SipSettings(port={gateway.endpoint.ports.udp}), gateway_devices.register, print)\n"
        "try:\n"
        "    asyncio.run(endpoint.start())\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert PortInUse.__name__ in output.decode()
    assert str(gateway.endpoint.ports.udp) in output.decode()


async def test_one_endpoint_in_a_process(gateway: Gateway) -> None:
    """A process that holds an endpoint cannot hold a second one; the first goes on."""
    second = Endpoint(SipSettings(port=0), gateway_devices.register, lambda _: None)
    with pytest.raises(SipError, match="already"):
        await second.start()
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("OPTIONS")
        assert (await caller.response())[0] == 200
