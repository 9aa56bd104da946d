"""Odd and malformed messages, as RFC 4475 and RFC 5118 describe them, and as a fuzzer makes them.

After each, an ordinary call is served; after all, nothing has grown.
"""

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from jibri_sip.sip.call import Call
from tests.integration.sip.conftest import Gateway, until
from tests.peer.mutator import Mutator
from tests.peer.raw import AUDIO, VIDEO, RawCaller, sdp

pytestmark = pytest.mark.asyncio(loop_scope="module")

_BRANCH = "z9hG4bK-torture"
_FIELDS = {
    "Via": f"SIP/2.0/UDP LOCAL;branch={_BRANCH};rport",
    "Max-Forwards": "70",
    "From": "<sip:raw@LOCAL>;tag=f1",
    "To": "<sip:demo@127.0.0.1>",
    "Call-ID": "CALLID",
    "CSeq": "1 METHOD",
    "Contact": "<sip:raw@LOCAL>",
}


def text(
    method: str = "OPTIONS", uri: str = "sip:demo@127.0.0.1", body: str = "", length: str = "", **fields: str
) -> str:
    """A request with these header fields instead of the usual ones; empty for none."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in (_FIELDS | named).items() if value]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {length or len(body)}")
    return "\r\n".join([f"{method} {uri} SIP/2.0", *lines, "", body]).replace("METHOD", method)


_SAVP = AUDIO.replace("AVP", "SAVP")
_MANY_LINES = sdp(AUDIO, *["m=audio 0 RTP/AVP 0"] * 40)
ANY_REFUSAL = {400, 403, 404, 405, 413, 414, 415, 416, 420, 481, 482, 483, 488, 493, 500, 501, 505, 513}

ODD_BUT_VALID = {
    "folded and spaced": text(To="<sip:demo@127.0.0.1>\r\n  ;x=y", Subject="\r\n hello"),
    "escaped": text(uri="sip:d%65mo%40x@127.0.0.1;%6c=r"),
    "compact": text().replace("Via:", "v:").replace("From:", "f:").replace("To:", "t:").replace("Call-ID:", "i:"),
    "unknown header and parameters": text(X_Odd="!odd-0123_*1_%Z", Via=_FIELDS["Via"] + ';odd="a;b"'),
    "long values": text(From=f'"{"long " * 160}" <sip:raw@127.0.0.1:6000;p={"v" * 300}>;tag=f1'),
    "dense Via": text(Via=_FIELDS["Via"] + " , SIP  / 2.0 / TCP  192.0.2.2:5061 ;branch= z9hG4bK2"),
    "trailing octets": text() + "INVITE sip:x@y SIP/2.0\r\n",
    "display name without quotes": text(From="caller me <sip:raw@LOCAL>;tag=f1"),
    "semicolon in user": text(uri="sip:user;par=u%40example.net@127.0.0.1"),
    "null in user, escaped": text(uri="sip:null-%00-null@127.0.0.1"),
    "header fields in Contact": text(Contact="<sip:raw@LOCAL?Route=%3Csip:x%3E&Subject=a%20b>"),
    "unknown transport of another hop": text(Via=_FIELDS["Via"] + ",SIP/2.0/UNKNOWN 192.0.2.9;branch=z9hG4bKb"),
    "IPv4 mapped into IPv6": text(Contact="<sip:raw@[::ffff:192.0.2.10]:19823>"),
    "addresses of both kinds": text(
        Via=_FIELDS["Via"] + ",SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKc,SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKd"
    ),
    "IPv6 everywhere": text(uri="sip:demo@[2001:db8::10]", To="<sip:demo@[2001:db8::10]:5070>"),
    "IPv6 in received": text(
        Via=_FIELDS["Via"] + ",SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKa"
    ),
}
INVALID = {
    "separators in Via": text(Via=_FIELDS["Via"] + ";;,;,,"),
    "CSeq of another method": text(CSeq="8 INVITE"),
    "CSeq too large": text(CSeq="36893488147419103232 OPTIONS"),
    "CSeq without number": text(CSeq="OPTIONS"),
    "length too large": text(length="9999"),
    "negative length": text(length="-999"),
    "no Call-ID": text(Call_ID=""),
    "no From": text(From=""),
    "no To": text(To=""),
    "no Via": text(Via=""),
    "no CSeq": text(CSeq=""),
    "unclosed quote in To": text(To='"Mr. J. User <sip:j.user@example.com>'),
    "angle brackets in request line": text(uri="<sip:demo@127.0.0.1>"),
    "space in request line": text(uri="sip:demo@127.0.0.1; lr"),
    "unknown scheme": text(uri="nobodyKnowsThisScheme:totallyopaquecontent"),
    "two Contacts with headers": text(Contact="<sip:a@b?Route=%3Csip:x%3E>,*"),
    "version 7.0": text().replace("SIP/2.0\r\n", "SIP/7.0\r\n", 1),
    "unterminated IPv6": text(uri="sip:demo@[2001:db8::10"),
    "too many colons": text(uri="sip:demo@2001:db8::10:5070"),
    "Max-Forwards 0": text(Max_Forwards="0"),
    "Max-Forwards huge": text(Max_Forwards="300000000000"),
    "Require unknown": text("INVITE", Require="nothingSupportsThis", body=sdp(AUDIO)),
    "unknown content": text("INVITE", body=sdp(AUDIO)).replace("application/sdp", "application/unknownformat"),
    "three colons": text(uri="sip:demo@[2001:db8:::192.0.2.1]"),
    "port within brackets": text(uri="sip:demo@[2001:db8::10:5070]"),
    "no branch": text(Via="SIP/2.0/UDP LOCAL;rport"),
    "two of each": text(From="<sip:raw@LOCAL>;tag=f1\r\nFrom: <sip:b@c>;tag=f2\r\nCall-ID: other\r\nCSeq: 5 INVITE"),
    "two lengths": text("INVITE", body=sdp(AUDIO), length="5\r\nContent-Length: 9999"),
    "numbers out of range": text(Expires="10000000000000000000", Warning='1812 overture "In Progress"', Date="x"),
    "unknown scheme of login": text("INVITE", Authorization="NoOneKnowsThisScheme opaque=x", body=sdp(AUDIO)),
    "unknown encoding": text("INVITE", Content_Encoding="xyz", body=sdp(AUDIO)),
    "parts within parts": text(
        "INVITE",
        body="--a\r\nContent-Type: multipart/mixed;boundary=a\r\n\r\n--a\r\n\r\n\0\1\2\r\n--a--\r\n",
    ).replace("application/sdp", "multipart/mixed;boundary=a"),
    "parts without an end": text("INVITE", body="--x\r\n\r\n").replace("application/sdp", "multipart/mixed;boundary=x"),
    "SDP of IPv6": text("INVITE", body=sdp(AUDIO).replace("IP4 127.0.0.1", "IP6 2001:db8::20")),
    "SDP of both": text("INVITE", body=sdp(AUDIO + "c=IN IP6 2001:db8::1\n", VIDEO + "c=IN IP4 192.0.2.1\n")),
    "SDP of three colons": text("INVITE", body=sdp(AUDIO).replace("IP4 127.0.0.1", "IP6 2001:db8:::1")),
    "only a null": "\0",
    "only line ends": "\r\n" * 50,
    "response nobody asked for": "SIP/2.0 200 OK\r\n" + text().split("\r\n", 1)[1],
    "response with a huge code": "SIP/2.0 4294967301 better\r\n" + text().split("\r\n", 1)[1],
    "method unknown": text("!interesting-Message0123456789_*+`.%indeed'~"),
    "method very long": text("X" * 5000),
    "thousand Vias": text(Via=", ".join([f"SIP/2.0/UDP 192.0.2.1;branch={_BRANCH}{n}" for n in range(1000)])),
    "SDP of 41 media": text("INVITE", body=_MANY_LINES),
    "SDP without end": text("INVITE", body="v=0\r\no="),
    "SDP of nulls": text("INVITE", body="\0" * 200),
    "SDP with huge ptime": text("INVITE", body=sdp(AUDIO + "a=ptime:99999999999\na=maxptime:-1\n")),
    "SDP with huge port": text("INVITE", body=sdp(AUDIO.replace("30000", "99999999"))),
    "SDP with many formats": text("INVITE", body=sdp("m=audio 30000 RTP/AVP " + " ".join(map(str, range(128))))),
    "SDP with many attributes": text("INVITE", body=sdp(AUDIO + "a=x:y\n" * 300)),
    "SDP with a bad address": text("INVITE", body=sdp(AUDIO).replace("127.0.0.1", "999.999.999.999")),
    "crypto of nonsense": text("INVITE", body=sdp(f"{_SAVP}a=crypto:1 AES_CM_128 inline:A|2^99|1:999\n")),
    "fingerprint of nonsense": text("INVITE", body=sdp(_SAVP.replace("RTP/", "UDP/TLS/RTP/") + "a=fingerprint:x y\n")),
    "H.264 of nonsense": text("INVITE", body=sdp(AUDIO, VIDEO.replace("42e01f", "zz" * 200))),
}


async def is_served(gateway: Gateway) -> None:
    """An ordinary call comes in and gets its answer."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("INVITE", sdp(AUDIO))
        while (call := await gateway.take()).sip_call_id != caller.call_id:
            await call.reject(486, "Busy")
        await call.reject(603, "Not now")
        assert (await caller.response())[0] == 603
        caller.request("ACK")
        await call.wait_ended()


async def outcome(gateway: Gateway, caller: RawCaller, message: str, *, within_s: float = 0.25) -> int:
    """What the message gets: its final response, or 0 for none in that time; a call gets 486."""
    caller.send(message.replace("LOCAL", caller.local).replace("CALLID", caller.call_id))
    try:
        async with asyncio.timeout(within_s):
            while True:
                while not gateway.incoming.empty():
                    await gateway.incoming.get_nowait().reject(486, "Busy")
                if not caller.received.empty() and (
                    match := re.match(r"SIP/2\.0 ([2-6]\d\d)", caller.received.get_nowait())
                ):
                    return int(match[1])
                await asyncio.sleep(0.005)
    except TimeoutError:
        return 0


@pytest.mark.parametrize("name", ODD_BUT_VALID)
async def test_odd_but_valid(gateway: Gateway, name: str) -> None:
    """What the grammar allows is understood."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        assert await outcome(gateway, caller, ODD_BUT_VALID[name], within_s=10) == 200


async def test_invalid(gateway: Gateway) -> None:
    """What it does not allow is refused or dropped, each time the next call is served, and nothing grows."""
    await is_served(gateway)
    before = holdings()
    for name, message in INVALID.items():
        async with RawCaller(gateway.endpoint.ports.udp) as caller:
            code = await outcome(gateway, caller, message)
        assert code in ANY_REFUSAL | {0, 200, 486}, name
        await is_served(gateway)
    await assert_not_grown(before)


async def test_invalid_over_tcp(gateway: Gateway) -> None:
    """On a stream a bad message may cost the connection, never the endpoint."""
    before = holdings()
    for message in [*INVALID.values(), "A" * 70_000, text(length="4000000000")]:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.endpoint.ports.tcp)
        writer.write(message.replace("/UDP", "/TCP").encode())
        with contextlib.suppress(TimeoutError, ConnectionError):
            await asyncio.wait_for(reader.read(4096), 0.02)
        writer.close()
        while not gateway.incoming.empty():
            await gateway.incoming.get_nowait().reject(486, "Busy")
    await is_served(gateway)
    await assert_not_grown(before, fds=2)


def holdings() -> tuple[int, int, int]:
    """Threads, file descriptors and resident bytes of this process."""
    process = psutil.Process()
    return process.num_threads(), process.num_fds(), process.memory_info().rss


async def assert_not_grown(before: tuple[int, int, int], fds: int = 0, mib: int = 40) -> None:
    """No thread or file more, once what has ended is gone, and no more memory than pools keep."""
    with contextlib.suppress(TimeoutError):
        await until(lambda: holdings()[0] <= before[0] and holdings()[1] <= before[1] + fds)
    now = holdings()
    assert now[0] <= before[0]
    assert now[1] <= before[1] + fds
    assert now[2] - before[2] < mib << 20


@asynccontextmanager
async def running_call(gateway: Gateway) -> AsyncIterator[tuple[Call, list[int]]]:
    """A call with sound and picture, and its media ports here."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("INVITE", sdp(AUDIO, VIDEO))
        call = await gateway.take()
        await call.answer()
        _, answer = await caller.response()
        caller.request("ACK")
        yield call, [int(port) for port in re.findall(r"m=\w+ (\d+)", answer)]
        await call.hangup()
        await call.wait_ended()


def rtp(payload_type: int, payload: bytes, number: int) -> bytes:
    """An RTP packet (RFC 3550 section 5.1)."""
    return bytes([0x80, payload_type | 0x80]) + number.to_bytes(2, "big") + bytes(4) + b"SSRC" + payload


_RTCP = (
    bytes.fromhex("80c80006535352430000000000000000000000000000000000000000"),  # sender report
    bytes.fromhex("81c900075353524353535243ff00000000000000000000000000000000000000"),  # receiver report
    bytes.fromhex("81ca0003535352430102616200000000"),  # source description
    bytes.fromhex("81cb000153535243"),  # goodbye
    bytes.fromhex("81ce00025353524353535243"),  # PLI
    bytes.fromhex("81cd0003535352435353524300010fff"),  # NACK
    bytes.fromhex("84ce000453535243000000005353524301000000"),  # FIR
)
_RTP = tuple(
    rtp(payload_type, payload, number)
    for number, (payload_type, payload) in enumerate(
        [
            (0, b"\xff" * 160),
            (101, bytes.fromhex("018a03c0")),
            (97, bytes.fromhex("6742c01fda014016e9")),
            (97, bytes.fromhex("7c8588843f") + b"x" * 200),
            (97, bytes.fromhex("18000967420a1f00")),
            (97, b""),
        ]
    )
)


async def fuzz(gateway: Gateway, seed: int, seconds: float) -> int:
    """Send damaged SIP, SDP, RTP and RTCP for so long; returns how many packets."""
    mutator = Mutator(seed)
    bodies = (
        sdp(AUDIO),
        sdp(AUDIO, VIDEO),
        sdp(AUDIO.replace("AVP", "SAVP") + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40),
    )
    requests = tuple(
        message.encode() for message in (*ODD_BUT_VALID.values(), *(text("INVITE", body=body) for body in bodies))
    )
    sent = 0
    until = time.monotonic() + seconds
    # Not connected: an ICMP error of one packet would be raised at the next.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        async with running_call(gateway) as (call, ports):
            while time.monotonic() < until:
                for _ in range(20):
                    identity = f"f{seed}-{sent}".encode()
                    request = (
                        mutator.choice(requests)
                        .replace(b"CALLID", identity)
                        .replace(_BRANCH.encode(), b"z9hG4bK" + identity)
                    )
                    sock.sendto(
                        mutator.damaged(request.replace(b"LOCAL", b"127.0.0.1:9")),
                        ("127.0.0.1", gateway.endpoint.ports.udp),
                    )
                    for port in ports:
                        sock.sendto(mutator.damaged(mutator.choice(_RTP)), ("127.0.0.1", port))
                        sock.sendto(mutator.damaged(mutator.choice(_RTCP)), ("127.0.0.1", port + 1))
                    sent += 1 + 2 * len(ports)
                await asyncio.sleep(0.02)
                while not gateway.incoming.empty():
                    await gateway.incoming.get_nowait().reject(486, "Busy")
            assert call.ended is None
    return sent


async def test_fuzz(gateway: Gateway) -> None:
    """Some seconds of damaged packets, the same in every run: the call goes on, and the next is served."""
    await is_served(gateway)
    assert await fuzz(gateway, seed=1, seconds=5) > 500
    await asyncio.sleep(1)
    await is_served(gateway)


@pytest.mark.slow
async def test_fuzz_long(gateway: Gateway) -> None:
    """A minute of it, with a seed that can be given in JIBRI_SIP_FUZZ_SEED; neither threads nor files have grown."""
    await fuzz(gateway, seed=2, seconds=5)
    await asyncio.sleep(35)
    before = holdings()
    seed = int(os.environ.get("JIBRI_SIP_FUZZ_SEED", "3"))
    for n in range(6):
        await fuzz(gateway, seed=seed + n, seconds=10)
    # Transactions that nobody acknowledged live for 32 s.
    await asyncio.sleep(35)
    await is_served(gateway)
    # Not the memory: how much of what it takes is ever given back is not known yet.
    threads, fds, _ = holdings()
    assert threads <= before[0]
    assert fds <= before[1] + 2
