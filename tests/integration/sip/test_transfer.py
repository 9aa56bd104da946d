"""Calls that peers hand on, where the operator lets them: REFER (RFC 5589) and INVITE with Replaces (RFC 3891)."""

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from jibri_sip.config.model import DialOutSettings
from jibri_sip.sip.call import Call
from jibri_sip.sip.events import Ended, HandedOn
from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import Gateway
from tests.integration.sip.raw_calls import both, bridged, event, hang_up, up
from tests.peer.raw_peer import RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def generous() -> AsyncIterator[Gateway]:
    """An endpoint whose peers may hand calls on to whoever is called `room-…` here."""
    gateway = Gateway(SipSettings(port=0, transfer=DialOutSettings(allow=("room-*@127.0.0.1",))))
    await gateway.endpoint.start()
    yield gateway
    await gateway.endpoint.close()


async def handed_on(call: Call) -> Call:
    """The call that is to take this one's place."""
    told = await event(call, HandedOn)
    assert isinstance(told, HandedOn)
    return told.call


async def progress(peer: RawPeer) -> tuple[str, bool]:
    """The next NOTIFY's status line (sipfrag, RFC 3420), and whether it is the last; answered 200."""
    notify = await peer.awaited("NOTIFY")
    peer.respond(notify, "200 OK")
    assert re.search(r"(?im)^event:\s*refer|^o:\s*refer", notify)
    assert "message/sipfrag" in notify
    last = re.search(r"(?im)^subscription-state:\s*terminated", notify) is not None
    return notify.partition("\r\n\r\n")[2].splitlines()[0], last


async def refer(peer: RawPeer, to: str) -> int:
    """Ask for a transfer: the code of the answer."""
    peer.request("REFER", headers={"Refer-To": to, "Referred-By": f"<sip:raw@{peer.local}>"})
    return (await peer.response())[0]


async def test_blind_transfer(generous: Gateway) -> None:
    """202, the new party is called with sound and picture, and the old one is told how it goes until it is up."""
    async with up(generous) as session, RawPeer(generous.endpoint.ports.udp) as room:
        await bridged(session.call)
        assert await refer(session.peer, f"<sip:room-7@{room.local};transport=udp>") == 202
        successor = await handed_on(session.call)
        assert successor.direction == "outgoing"
        assert successor.remote_uri == f"sip:room-7@{room.local}"
        assert await progress(session.peer) == ("SIP/2.0 100 Trying", False)
        invite = await room.awaited("INVITE")
        assert f"Referred-By: <sip:raw@{session.peer.local}>" in invite
        assert "profile-level-id=42e01f" in invite
        assert session.call.ended is None
        room.respond(invite, "200 OK", room.describe(*both(room)))
        await room.awaited("ACK")
        assert await progress(session.peer) == ("SIP/2.0 200 OK", True)
        assert (await bridged(successor)).video
        await room.picture.receive(3)
        await room.sound.receive(3)
        await hang_up(successor, room)


async def test_a_transfer_that_fails(generous: Gateway) -> None:
    """The old party is told that the new one is busy, and its call goes on."""
    async with up(generous) as session, RawPeer(generous.endpoint.ports.udp) as room:
        await bridged(session.call)
        assert await refer(session.peer, f"<sip:room-7@{room.local}>") == 202
        successor = await handed_on(session.call)
        await progress(session.peer)
        room.respond(await room.awaited("INVITE"), "486 Busy Here")
        assert await progress(session.peer) == ("SIP/2.0 486 Busy Here", True)
        ended = await event(successor, Ended)
        assert isinstance(ended, Ended)
        assert ended.code == 486
        assert session.call.ended is None
        session.peer.forget_media()
        await session.peer.picture.receive(3)


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("<sip:other@127.0.0.1:{port}>", 403),
        ("<sip:room-7@example.com>", 403),
        ("<sip:room-7@127.0.0.1:{port};maddr=192.0.2.1>", 416),
        ("<sip:room-7@127.0.0.1:{port}?Route=%3Csip:192.0.2.1;lr%3E>", 416),
        ("<sip:room-7@127.0.0.1:{port}?Replaces=a%3Bto-tag%3Db%0D%0AX-Evil:%20c&X=y>", 416),
        ("<tel:+4930123456>", 416),
        ("<http://example.com>", 416),
        ("nonsense", 416),
    ],
)
async def test_transfers_that_are_not_allowed(generous: Gateway, to: str, code: int) -> None:
    """Nobody but whom we may call ourselves, and by no other way; the call goes on."""
    async with up(generous) as session, RawPeer(generous.endpoint.ports.udp) as victim:
        await bridged(session.call)
        port = victim.local.rpartition(":")[2]
        assert await refer(session.peer, to.format(port=port)) == code
        assert session.call.ended is None
        assert victim.received.empty()


async def test_attended_transfer(generous: Gateway) -> None:
    """Refer-To with Replaces: the new INVITE carries it, so that the other party can match its call."""
    async with up(generous) as session, RawPeer(generous.endpoint.ports.udp) as room:
        await bridged(session.call)
        replaces = "abc@192.0.2.1;to-tag=7;from-tag=8"
        assert await refer(session.peer, f"<sip:room-7@{room.local}?Replaces={quote(replaces)}>") == 202
        successor = await handed_on(session.call)
        await progress(session.peer)
        invite = await room.awaited("INVITE")
        assert f"Replaces: {replaces}" in invite
        room.respond(invite, "200 OK", room.describe(*both(room)))
        await room.awaited("ACK")
        await progress(session.peer)
        assert (await bridged(successor)).video
        await hang_up(successor, room)


async def test_taking_over(generous: Gateway) -> None:
    """INVITE with Replaces that names our call is answered at once, has the media, and the old call gets BYE."""
    async with up(generous) as session, RawPeer(generous.endpoint.ports.udp) as room:
        await bridged(session.call)
        peer = session.peer
        names = f"{peer.call_id};to-tag={peer.remote_tag};from-tag={peer.tag}"
        room.request("INVITE", room.describe(*both(room)), {"Replaces": names, "Require": "replaces"})
        successor = await handed_on(session.call)
        assert (successor.direction, successor.sip_call_id) == ("incoming", room.call_id)
        code, _ = await room.response()
        room.request("ACK")
        assert code == 200
        peer.respond(await peer.awaited("BYE"), "200 OK")
        await session.call.wait_ended()
        assert (await bridged(successor)).video
        await room.picture.receive(3)
        assert generous.incoming.empty()
        await hang_up(successor, room)


async def test_taking_over_nothing(generous: Gateway) -> None:
    """Replaces that names no call of ours gets 481 (RFC 3891 section 3), and one that is malformed 400."""
    async with up(generous) as session, RawPeer(generous.endpoint.ports.udp) as room:
        for names, code in (("nobody;to-tag=1;from-tag=2", 481), (f"{session.peer.call_id};to-tag=1;from-tag=2", 481)):
            room.request("INVITE", room.describe(*both(room)), {"Replaces": names})
            assert (await room.response())[0] == code
            room.request("ACK")
            room.remote_tag = ""
        assert session.call.ended is None
        assert generous.incoming.empty()


async def test_options_say_so(generous: Gateway) -> None:
    """What may be asked of us is in Allow and Supported."""
    async with RawPeer(generous.endpoint.ports.udp) as peer:
        peer.request("OPTIONS")
        _, text = await peer.response()
        assert re.search(r"(?im)^allow:.*\bREFER\b", text)
        assert re.search(r"(?im)^(supported|k):.*\breplaces\b", text)
