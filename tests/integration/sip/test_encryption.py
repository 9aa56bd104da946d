"""SIP over TLS, with certificates checked (RFC 5922), and SRTP with keys by SDES (RFC 4568) and DTLS (RFC 5764)."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from jibri_sip.sip.call import Call
from jibri_sip.sip.settings import SipSettings, Srtp, Tls
from tests.integration.sip.conftest import SOON_S, Gateway, gateway_with, until
from tests.peer import devices, gateway_devices
from tests.peer.authority import Authority, Certificate
from tests.peer.listening import hears_tone
from tests.peer.lossy import LossyNetwork
from tests.peer.measured import MeasuredPeer
from tests.peer.raw import AUDIO, VIDEO, RawCaller, sdp
from tests.peer.seen import Seen

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEER_HZ = 660.0
SMALL: dict[str, Any] = {"width": 320, "height": 180, "fps": 10, "bitrate": 200_000}
Keys = Literal["sdes", "dtls"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the gateway and its peers trust."""
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture(scope="module")
def own(authority: Authority) -> Certificate:
    """A certificate that is right for either side."""
    return authority.certificate("localhost", "127.0.0.1")


def tls_settings(authority: Authority, own: Certificate, srtp: Srtp = "optional") -> SipSettings:
    """An endpoint that listens on TLS and trusts this authority alone."""
    return SipSettings(port=0, srtp=srtp, tls=Tls(0, own.file, own.key, authority.file))


async def assert_both_ways(peer: MeasuredPeer) -> None:
    """Picture and sound arrive, decoded, at both ends."""

    async def here() -> float:
        return devices.heard(PEER_HZ)

    async def there() -> float:
        return (await peer.report(gateway_devices.TONE_HZ)).tones[gateway_devices.TONE_HZ]

    async def there_seen() -> Seen:
        return (await peer.report()).video

    async def here_seen() -> Seen:
        return devices.seen()

    for look in (there_seen, here_seen):
        intact = 0
        await look()  # of a call before
        async with asyncio.timeout(SOON_S):
            # Until what came before the keys were agreed on is through.
            while intact < 3:
                await asyncio.sleep(0.4)
                seen = await look()
                intact = intact + seen.intact if seen.intact == seen.frames else 0
    assert await hears_tone(here)
    assert await hears_tone(there)


async def answered(gateway: Gateway, peer: MeasuredPeer, uri: str) -> Call:
    """A call from the peer to this address, answered."""
    await peer.call(uri)
    call = await gateway.take()
    await call.answer()
    await peer.wait_up()
    return call


@pytest.mark.parametrize("scheme", ["sip", "sips"])
async def test_tls_both_directions(authority: Authority, own: Certificate, scheme: str) -> None:
    """A call each way over TLS: the peer checks our certificate, we check the peer's; `sips` is TLS by itself."""
    suffix = ";transport=tls" if scheme == "sip" else ""
    async with (
        gateway_with(tls_settings(authority, own)) as gateway,
        MeasuredPeer(**SMALL, srtp=1, tls=own, authorities=authority.file, sips=scheme == "sips") as peer,
    ):
        call = await answered(gateway, peer, f"{scheme}:demo@localhost:{gateway.endpoint.ports.tls}{suffix}")
        assert call.request_uri.scheme == scheme
        assert call.headers["via"][0].startswith("SIP/2.0/TLS")
        await assert_both_ways(peer)
        await call.hangup()
        await peer.wait_over()
        back = await gateway.endpoint.dial(f"{scheme}:peer@localhost:{peer.tls_port}{suffix}")
        invite = (await peer.wait_for("incoming"))["message"]
        assert f"Contact: <{scheme}:" in invite
        await peer.wait_up()
        await assert_both_ways(peer)
        await back.hangup()
        await peer.wait_over()


@asynccontextmanager
async def tls_server(context: ssl.SSLContext) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A TLS server that says nothing: its port, and what it was sent."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            got.append(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], got


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("name", "not for the name that was called"),
        ("null", "not for the name that was called"),
        ("authority", "no authority that we trust"),
        ("expired", "expired"),
    ],
)
async def test_bad_certificates_of_servers(
    authority: Authority, own: Certificate, tmp_path_factory: pytest.TempPathFactory, kind: str, told: str
) -> None:
    """A server that is not who we called ends the call in words, and never sees the INVITE."""
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "stranger")
    shown = {
        "name": lambda: authority.certificate("other.example.com"),
        "null": lambda: authority.certificate("other.example.com", "localhost\0.other.example.com"),
        "authority": lambda: stranger.certificate("localhost"),
        "expired": lambda: authority.certificate("localhost", expired=True),
    }[kind]()
    async with (
        gateway_with(tls_settings(authority, own)) as gateway,
        tls_server(shown.served()) as (port, got),
    ):
        for uri in (f"sips:peer@localhost:{port}", f"sip:peer@localhost:{port};transport=tls"):
            call = await gateway.endpoint.dial(uri)
            ended = await asyncio.wait_for(call.wait_ended(), SOON_S)
            assert told in ended.certificate
            assert f"127.0.0.1:{port}" in ended.certificate
            assert not ended.by_peer
        assert got == []


async def test_unchecked_when_told_so(authority: Authority, own: Certificate) -> None:
    """With verify_peer off, any certificate will do."""
    shown = authority.certificate("other.example.com")
    settings = SipSettings(port=0, tls=Tls(0, own.file, own.key, authority.file, verify_peer=False))
    async with (
        gateway_with(settings) as gateway,
        tls_server(shown.served()) as (port, got),
    ):
        call = await gateway.endpoint.dial(f"sips:peer@localhost:{port}")
        await until(lambda: b"".join(got).startswith(b"INVITE sips:peer@localhost"))
        assert call.ended is None
        await call.hangup()
        assert (await call.wait_ended()).certificate == ""


async def test_system_authorities_by_default(own: Certificate) -> None:
    """Without ca_file this machine's authorities count: a test's certificate is not among them."""
    async with (
        gateway_with(SipSettings(port=0, tls=Tls(0, own.file, own.key))) as gateway,
        tls_server(own.served()) as (port, got),
    ):
        call = await gateway.endpoint.dial(f"sips:peer@localhost:{port}")
        ended = await asyncio.wait_for(call.wait_ended(), SOON_S)
        assert "no authority that we trust" in ended.certificate
        assert got == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "spoken"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
async def test_versions_of_tls(authority: Authority, own: Certificate, version: ssl.TLSVersion, spoken: bool) -> None:
    """TLS 1.2 and 1.3 are spoken, either way; what is older is not (RFC 8996)."""
    client = ssl.create_default_context(cafile=authority.file)
    server = own.served()
    for context in (client, server):
        # Else OpenSSL itself would refuse what is old, and nothing would have been tested.
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    async with gateway_with(tls_settings(authority, own)) as gateway, tls_server(server) as (port, got):
        assert await connects(client, gateway.endpoint.ports.tls) is spoken
        call = await gateway.endpoint.dial(f"sips:peer@localhost:{port}", timeout_s=SOON_S)
        if spoken:
            await until(lambda: bool(got))
            await call.hangup()
        await call.wait_ended()
        assert bool(got) is spoken


async def connects(context: ssl.SSLContext, port: int | None) -> bool:
    """Whether a TLS client of this kind gets an answer to OPTIONS."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    except (ssl.SSLError, ConnectionError):
        return False
    writer.write(
        b"OPTIONS sip:demo@localhost SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bK1;rport\r\n"
        b"From: <sip:a@localhost>;tag=1\r\nTo: <sip:demo@localhost>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
        b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    answer = await asyncio.wait_for(reader.read(100), SOON_S)
    writer.close()
    return answer.startswith(b"SIP/2.0 200")


@pytest.mark.parametrize("srtp", ["optional", "required"])
@pytest.mark.parametrize("keys", ["sdes", "dtls"])
async def test_peer_that_insists(srtp: Srtp, keys: Keys) -> None:
    """A peer that has no call without encryption gets one, by either exchange of keys."""
    async with (
        gateway_with(SipSettings(port=0, srtp=srtp)) as gateway,
        MeasuredPeer(**SMALL, srtp=2, keys=keys) as peer,
    ):
        call = await answered(gateway, peer, gateway.uri)
        await assert_both_ways(peer)
        await call.hangup()
        await peer.wait_over()
        if (srtp, keys) == ("required", "sdes"):
            # Our offers have SDES keys; where encryption is optional they do not insist (RFC 8643), as this peer does.
            back = await gateway.endpoint.dial(f"{peer.uri};transport=udp")
            assert " RTP/SAVP " in (await peer.wait_for("incoming"))["message"]
            await peer.wait_up()
            await assert_both_ways(peer)
            await back.hangup()
            await peer.wait_over()


async def test_off_means_off() -> None:
    """A peer that insists is refused with 488 where encryption is off, and our offers have no keys in them."""
    async with gateway_with(SipSettings(port=0, srtp="off")) as gateway:
        async with MeasuredPeer(**SMALL, srtp=2) as peer:
            await peer.call(gateway.uri)
            assert (await peer.wait_over())["code"] == 488
        async with MeasuredPeer(**SMALL, srtp=1) as peer:
            call = await gateway.endpoint.dial(f"{peer.uri};transport=udp")
            offer = (await peer.wait_for("incoming"))["message"]
            assert "a=crypto" not in offer
            assert "a=fingerprint" not in offer
            await call.hangup()


async def test_plain_peer() -> None:
    """A peer without encryption is served when it is optional, which is the default, in both directions."""
    async with gateway_with(SipSettings(port=0)) as gateway, MeasuredPeer(**SMALL) as peer:
        call = await answered(gateway, peer, gateway.uri)
        await assert_both_ways(peer)
        await call.hangup()
        await peer.wait_over()
        back = await gateway.endpoint.dial(f"{peer.uri};transport=udp")
        await peer.wait_up()
        await assert_both_ways(peer)
        await back.hangup()
        await peer.wait_over()


async def test_plain_peer_where_encryption_is_required() -> None:
    """It is refused with 488 that says why, and one that we call is not spoken to in clear."""
    async with gateway_with(SipSettings(port=0, srtp="required")) as gateway:
        async with RawCaller(gateway.endpoint.ports.udp) as caller:
            caller.request("INVITE", sdp(AUDIO))
            code, text = await caller.response()
            assert code == 488
            assert "Warning: 399" in text
            assert "SRTP" in text
        assert gateway.incoming.empty()
        async with MeasuredPeer(**SMALL) as peer:
            call = await gateway.endpoint.dial(f"{peer.uri};transport=udp")
            ended = await asyncio.wait_for(call.wait_ended(), SOON_S)
            assert (ended.code, ended.answered) == (488, False)


KEY = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
SDES = AUDIO.replace("RTP/AVP", "RTP/SAVP")
DTLS = AUDIO.replace("RTP/AVP", "UDP/TLS/RTP/SAVP")
PRINT = "a=fingerprint:sha-256 " + ":".join(["AA"] * 32) + "\n"


@pytest.mark.parametrize("srtp", ["optional", "required", "off"])
@pytest.mark.parametrize(
    "offer",
    [
        SDES,
        SDES + f"a=crypto:1 F8_128_HMAC_SHA1_80 {KEY}\n",
        SDES + f"a=crypto:1 NULL_CIPHER_HMAC_SHA1_80 {KEY}\n",
        SDES + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\n",
        SDES + f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY.partition(':')[2]}\n",
        SDES + "a=crypto:1\n",
        DTLS,
        DTLS + "a=setup:actpass\n",
        DTLS + "a=setup:holdconn\n" + PRINT,
    ],
    ids=["no-keys", "suite", "null", "short", "no-method", "empty", "no-print", "setup-alone", "held"],
)
async def test_keys_of_no_use(srtp: Srtp, offer: str) -> None:
    """An INVITE, or a re-INVITE, whose media we cannot have is refused with 488 and a reason, not 406 or 480."""
    async with gateway_with(SipSettings(port=0, srtp=srtp)) as gateway:
        for video in (), (VIDEO,):
            async with RawCaller(gateway.endpoint.ports.udp) as caller:
                if srtp == "off" and video:
                    continue  # Its picture is not encrypted, and taken alone.
                caller.request("INVITE", sdp(offer, *video))
                code, text = await caller.response()
                assert code == 488
                assert re.search(r'(?m)^Warning: 399 jibri-sip ".+"\r$', text)
                caller.request("ACK")
        # It costs nothing but the call: the next one is taken.
        first = DTLS + "a=setup:actpass\n" + PRINT if srtp == "required" else AUDIO
        async with RawCaller(gateway.endpoint.ports.udp) as caller:
            caller.request("INVITE", sdp(first))
            # The others may have been announced before they were refused.
            while (call := await gateway.take()).facts.sip_call_id != caller.call_id:
                assert (await asyncio.wait_for(call.wait_ended(), SOON_S)).code == 488
            await call.answer()
            assert (await caller.response())[0] == 200
            caller.request("ACK")
            caller.request("INVITE", sdp(offer))
            assert (await caller.response())[0] == 488
            caller.request("ACK")
            assert call.ended is None
            await call.hangup()


async def test_one_of_several_keys() -> None:
    """What is not known is passed over for what is."""
    offer = SDES + f"a=crypto:1 F8_128_HMAC_SHA1_80 {KEY}\na=crypto:2 AES_CM_128_HMAC_SHA1_80 {KEY}\n"
    async with gateway_with(SipSettings(port=0)) as gateway, RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("INVITE", sdp(offer))
        call = await gateway.take()
        await call.answer()
        code, text = await caller.response()
        assert code == 200
        assert "a=crypto:2 AES_CM_128_HMAC_SHA1_80" in text
        caller.request("ACK")
        await call.hangup()


SUITE = "AES_CM_128_HMAC_SHA1_80"
NUMBERED = f"{KEY}|2^31|1:4"


@pytest.mark.parametrize(
    ("offer", "code", "kept"),
    [
        (f"{SDES}a=crypto:1 {SUITE} {NUMBERED}\na=crypto:2 {SUITE} {KEY}|2^31\n", 200, 2),
        (f"{SDES}a=crypto:1 {SUITE} {KEY}|1:1\n", 488, 0),
        (f"{AUDIO}a=crypto:1 {SUITE} {NUMBERED};{NUMBERED}\n", 200, 0),
    ],
    ids=["another", "none", "optional"],
)
async def test_keys_with_a_number(offer: str, code: int, kept: int) -> None:
    """They are passed over: a number in each packet (MKI) is what we could not read past."""
    async with gateway_with(SipSettings(port=0)) as gateway, RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("INVITE", sdp(offer))
        if code == 200:
            await (await gateway.take()).answer()
        answered_code, text = await caller.response()
        assert answered_code == code
        assert re.findall(r"a=crypto:(\d)", text) == [str(kept)] * (kept > 0)
        caller.request("ACK")


async def test_keys_of_srtp_in_offers() -> None:
    """Ours has SDES keys, none of them for a suite that is weak (RFC 4568 section 6.2)."""
    async with gateway_with(SipSettings(port=0)) as gateway, MeasuredPeer(**SMALL, srtp=1) as peer:
        call = await gateway.endpoint.dial(f"{peer.uri};transport=udp")
        offer: dict[str, Any] = await peer.wait_for("incoming")
        assert "AES_CM_128_HMAC_SHA1_80" in offer["message"]
        assert "HMAC_SHA1_32" not in offer["message"]
        await call.hangup()
        await peer.wait_over()


async def test_no_keys_in_the_log() -> None:
    """With all that PJSIP can log, none of the keys of a call is in it, as offered or in use."""
    with structlog.testing.capture_logs() as lines:
        async with gateway_with(SipSettings(port=0, trace=5)) as gateway, MeasuredPeer(**SMALL, srtp=1) as peer:
            call = await gateway.endpoint.dial(f"{peer.uri};transport=udp")
            offer = (await peer.wait_for("incoming"))["message"]
            await peer.wait_up()
            await assert_both_ways(peer)
            await call.hangup()
            await peer.wait_over()
    log = "\n".join(str(line.get("text")) for line in lines)
    keys = re.findall(r"inline:(\S+)", offer)
    assert len(keys) >= 2
    assert "a=crypto:[redacted]" in log
    assert "key=[redacted]" in log
    assert not [key for key in keys if key in log]
    assert not re.search(r"inline:|key=(?!\[redacted])\S", log)


@pytest.mark.parametrize("offered_by", ["peer", "us"])
async def test_nothing_unencrypted_before_the_keys(tmp_path: Path, offered_by: str) -> None:
    """An offer or answer that comes when RTCP has its keys and RTP not, waits for them: no packet goes out until then.

    Nor does one in the clear come in.
    """
    network = LossyNetwork(tmp_path / "network")
    network.mute_handshake(off=True)
    async with (
        gateway_with(SipSettings(port=0, srtp="required")) as gateway,
        MeasuredPeer(**SMALL, srtp=2, keys="dtls", network=network) as peer,
    ):
        call = await answered(gateway, peer, gateway.uri)
        await asyncio.sleep(1)
        if offered_by == "peer":
            await peer.resume()
        else:
            assert await call.set_video(video=True) == 200
        await asyncio.sleep(1)
        assert (network.counts("in"), network.counts("out")) == ((0, 0), (0, 0))
        network.mute_handshake(off=False)
        await assert_both_ways(peer)
        await call.hangup()
