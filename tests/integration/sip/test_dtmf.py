"""Keys, both ways: telephone-event (RFC 4733) at the codec's clock, and INFO in both of its forms; each key once."""

import asyncio
import re
import struct
from collections.abc import Iterator

import pytest

from jibri_sip.sip.call import Call
from jibri_sip.sip.events import Dtmf
from tests.integration.sip.conftest import SOON_S, Gateway
from tests.integration.sip.raw_calls import UpCall, bridged, up
from tests.peer.raw_peer import RawPeer
from tests.peer.rtp import Packet

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = "0123456789*#ABCD"
_END = 0x80
_VOLUME = 10
OPUS = """
m=audio 30000 RTP/AVP 96 0 101 102
a=rtpmap:96 opus/48000/2
a=rtpmap:101 telephone-event/8000
a=rtpmap:102 telephone-event/48000
"""
PCMU = """
m=audio 30000 RTP/AVP 0 102 101
a=rtpmap:102 telephone-event/48000
a=rtpmap:101 telephone-event/8000
"""
NO_EVENTS = "m=audio 30000 RTP/AVP 0"
CODECS = [(OPUS, 102, 48000), (PCMU, 101, 8000)]


def payload(key: str, duration: int, *, end: bool = False) -> bytes:
    """The payload of an event packet."""
    return struct.pack("!BBH", KEYS.index(key), _VOLUME | (_END if end else 0), duration)


async def press(
    session: UpCall, key: str, number: int, clock: int, timestamp: int, *, lose: int = 0, every_s: float = 0.01
) -> None:
    """Press a key as a phone does: a packet for each 20 ms, three at the end; the first `lose` get lost."""
    step = clock // 50
    port = session.answer[0].port
    packets = [(payload(key, step * n), n == 1) for n in range(1, 5)]
    packets += [(payload(key, step * 5, end=True), False)] * 3
    for data, marker in packets[lose:]:
        session.peer.sound.send(port, number, timestamp, data, marker=marker)
        await asyncio.sleep(every_s)


async def keys(call: Call, least: int, *, quiet_s: float = 0.4) -> str:
    """The keys that came, once there were so many and none has come for a while."""
    pressed = ""
    while True:
        try:
            async with asyncio.timeout(quiet_s if len(pressed) >= least else SOON_S):
                happened = await call.events.get()
        except TimeoutError:
            return pressed
        if isinstance(happened, Dtmf):
            pressed += happened.digit


@pytest.mark.parametrize(("media", "number", "clock"), CODECS, ids=["opus", "PCMU"])
async def test_events_are_heard(gateway: Gateway, media: str, number: int, clock: int) -> None:
    """Each key once, the same key twice in a row, and one of which only the end arrives."""
    async with up(gateway, lambda peer: [peer.audio(base=media)]) as session:
        await bridged(session.call)
        for n, key in enumerate("1*#D"):
            await press(session, key, number, clock, 8000 * n)
        await press(session, "5", number, clock, 100_000)
        await press(session, "5", number, clock, 200_000)
        await press(session, "7", number, clock, 300_000, lose=5)
        assert await keys(session.call, 7) == "1*#D557"


@pytest.mark.parametrize(("media", "number", "clock"), CODECS, ids=["opus", "PCMU"])
async def test_events_are_sent(gateway: Gateway, media: str, number: int, clock: int) -> None:
    """Each key is one event: one timestamp, durations that grow by the clock, the end three times (section 2.5)."""
    async with up(gateway, lambda peer: [peer.audio(base=media)]) as session:
        await bridged(session.call)
        await session.call.send_dtmf("1*D")
        seen = list(await _events(session.peer, number, 3))
        assert [KEYS[event[0].payload[0]] for event in seen] == ["1", "*", "D"]
        for packets in seen:
            durations = [struct.unpack("!BBH", packet.payload)[2] for packet in packets]
            assert durations == sorted(durations)
            # 40 ms is the least that telephones understand; half a second is not a key any more.
            assert 0.04 <= durations[-1] / clock <= 0.5
            assert sum(bool(packet.payload[1] & _END) for packet in packets) == 3
            assert packets[0].marker


async def _events(peer: RawPeer, number: int, count: int) -> Iterator[list[Packet]]:
    """The packets of each event, in turn."""
    by_time: dict[int, list[Packet]] = {}
    async with asyncio.timeout(8):
        while True:
            by_time.clear()
            for packet in peer.sound.packets:
                if packet.payload_type == number:
                    by_time.setdefault(packet.timestamp, []).append(packet)
            ended = [packets for packets in by_time.values() if sum(bool(p.payload[1] & _END) for p in packets) == 3]
            if len(ended) == count:
                return iter(by_time.values())
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("kind", "body"), [("application/dtmf-relay", "Signal={}\r\nDuration=160\r\n"), ("application/dtmf", "{}")]
)
async def test_info_is_heard(gateway: Gateway, kind: str, body: str) -> None:
    """INFO with a key is answered 200, and is that key."""
    async with up(gateway, lambda peer: [peer.audio(base=NO_EVENTS)]) as session:
        await bridged(session.call)
        for key in "1*#A":
            session.peer.request("INFO", body.format(key), {"Content-Type": kind})
            assert (await session.peer.response())[0] == 200
        assert await keys(session.call, 4) == "1*#A"


async def test_info_is_sent_where_there_are_no_events(gateway: Gateway) -> None:
    """A peer without telephone-event gets INFO, a key each."""
    async with up(gateway, lambda peer: [peer.audio(base=NO_EVENTS)]) as session:
        await bridged(session.call)
        sending = asyncio.create_task(session.call.send_dtmf("1#"))
        for key in "1#":
            info = await session.peer.awaited("INFO")
            assert re.search(r"(?im)^content-type:\s*application/dtmf-relay", info)
            assert re.search(rf"(?m)^Signal=\s*{re.escape(key)}\r?$", info)
            session.peer.respond(info, "200 OK")
        await sending


async def test_one_press_told_twice(gateway: Gateway) -> None:
    """Phones that send both an event and INFO for a press have pressed the key once; the next press counts again."""
    async with up(gateway, lambda peer: [peer.audio(base=PCMU)]) as session:
        await bridged(session.call)
        for n in range(2):
            # At once: what follows more than a second later is another press.
            await press(session, "6", 101, 8000, 10_000 * (n + 1), every_s=0)
            session.peer.request("INFO", "Signal=6\r\nDuration=100\r\n", {"Content-Type": "application/dtmf-relay"})
            assert (await session.peer.response())[0] == 200
        session.peer.request("INFO", "Signal=9\r\nDuration=100\r\n", {"Content-Type": "application/dtmf-relay"})
        assert await keys(session.call, 3) == "669"


@pytest.mark.parametrize("body", ["", "Signal=\r\n", "Signal=Z\r\n", "Duration=1\r\n", "Signal=12\r\n", "\x00" * 50])
async def test_info_that_is_no_key(gateway: Gateway, body: str) -> None:
    """Nonsense is answered, and is no key; the call goes on."""
    async with up(gateway, lambda peer: [peer.audio()]) as session:
        await bridged(session.call)
        session.peer.request("INFO", body, {"Content-Type": "application/dtmf-relay"})
        assert (await session.peer.response())[0] >= 200
        assert set(await keys(session.call, 0, quiet_s=0.2)) <= set(KEYS)
        assert session.call.ended is None


@pytest.mark.parametrize(("kind", "body", "code"), [("", "", 200), ("text/plain", "hello", 415)])
async def test_info_about_something_else(gateway: Gateway, kind: str, body: str, code: int) -> None:
    """Without a body INFO only asks whether the call is there; of a kind that we do not know it is refused as such."""
    async with up(gateway, lambda peer: [peer.audio()]) as session:
        session.peer.request("INFO", body, {"Content-Type": kind} if kind else None)
        answer, text = await session.peer.response()
        assert answer == code
        assert ("application/dtmf" in text) == (code == 415)
