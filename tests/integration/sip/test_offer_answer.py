"""What the endpoint answers to what room systems, SBCs and softphones offer (RFC 3264, RFC 6184)."""

import asyncio

import pytest

from tests.integration.sip.conftest import Gateway
from tests.integration.sip.raw_calls import up
from tests.peer.raw import AUDIO, VIDEO
from tests.peer.raw_peer import RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLIDES = VIDEO.strip() + "\na=content:slides\na=label:12"
REFUSED_VIDEO = "m=video 0 RTP/AVP 31"
BFCP = """
m=application 30006 UDP/BFCP *
a=floorctrl:c-only
a=confid:1
a=userid:2
a=floorid:1 mstrm:12
a=setup:actpass
a=connection:new
"""
FAR_END_CAMERA = """
m=application 30008 RTP/AVP 107
a=rtpmap:107 H224/4800
"""
CHAT = """
m=message 30010 TCP/MSRP *
a=accept-types:text/plain
"""
PLAIN_VIDEO = "m=video 30002 RTP/AVP 97\na=rtpmap:97 H264/90000"


@pytest.mark.parametrize(
    ("offer", "live"),
    [
        ((VIDEO, AUDIO), ["video", "audio"]),
        ((AUDIO, REFUSED_VIDEO), ["audio", ""]),
        ((AUDIO, REFUSED_VIDEO, VIDEO), ["audio", "", "video"]),
        ((AUDIO, VIDEO, SLIDES), ["audio", "video", ""]),
        ((AUDIO, SLIDES, VIDEO), ["audio", "", "video"]),
        ((AUDIO, SLIDES), ["audio", ""]),
        (
            (AUDIO, VIDEO, BFCP, SLIDES, FAR_END_CAMERA, BFCP.replace("UDP", "TCP/TLS"), CHAT),
            ["audio", "video", "", "", "", "", ""],
        ),
        ((AUDIO, AUDIO, VIDEO), ["audio", "", "video"]),
        ((VIDEO,), ["video"]),
        ((AUDIO, VIDEO.replace("H264", "VP8")), ["audio", ""]),
        ((AUDIO.replace(" 0 101", " 18"), VIDEO), ["", "video"]),
    ],
    ids=[
        "video first",
        "refused video",
        "video after a refused one",
        "slides",
        "slides first",
        "slides alone",
        "a room system's",
        "two microphones",
        "no sound",
        "unknown video codec",
        "unknown audio codec",
    ],
)
async def test_each_line_has_its_answer(gateway: Gateway, offer: tuple[str, ...], live: list[str]) -> None:
    """As many lines as were offered, in their order; of each medium one is live, the main one, the others at port 0."""
    async with up(gateway, lambda _: offer) as session:
        assert [section.kind if section.port else "" for section in session.answer] == live
        offered = [section.strip().splitlines()[0].split() for section in offer]
        assert [section.profile for section in session.answer] == [line[2] for line in offered]
        # RFC 3264 section 6: a refused line keeps its formats, one at least.
        assert all(section.formats for section in session.answer)


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ("profile-level-id=42e01f;packetization-mode=0", "profile-level-id=42e01f;packetization-mode=0"),
        ("profile-level-id=42801f", "profile-level-id=42801f;packetization-mode=0"),
        ("profile-level-id=4d0028;packetization-mode=1", "profile-level-id=4d0028;packetization-mode=1"),
        (
            "profile-level-id=640028;packetization-mode=1;max-mbps=245000;max-fs=9000;max-br=6000;max-smbps=245000",
            "profile-level-id=640028;packetization-mode=1",
        ),
        ("PROFILE-LEVEL-ID=42E01F; packetization-mode=1 ; ", "profile-level-id=42e01f;packetization-mode=1"),
        # By the book, nothing said means level 1 (RFC 6184 section 8.1).
        ("packetization-mode=1", "profile-level-id=42000a;packetization-mode=1"),
        ("profile-level-id=42e01f;packetization-mode=2", None),
        ("profile-level-id=42e01f;packetization-mode=9", None),
        ("profile-level-id=7a0028;packetization-mode=1", None),
        ("profile-level-id=nonsense;packetization-mode=1", None),
    ],
)
async def test_h264_format(gateway: Gateway, offered: str, answered: str | None) -> None:
    """Profile and mode are mirrored; interleaved mode, 4:2:2 and nonsense are refused, and the sound goes on."""
    offer = f"{PLAIN_VIDEO}\na=fmtp:97 {offered}"
    async with up(gateway, lambda _: (AUDIO, offer)) as session:
        audio, video = session.answer
        assert audio.port
        assert (video.port > 0) == (answered is not None)
        if answered is not None:
            assert (video.attribute("fmtp:97") or "").startswith(answered)


@pytest.mark.parametrize(
    ("offered", "level", "allowed"),
    [
        ("42e00c;packetization-mode=1", "0c", "0"),
        ("42e00c;packetization-mode=1;level-asymmetry-allowed=0", "0c", "0"),
        ("42e00c;packetization-mode=1;level-asymmetry-allowed=1", "1f", "1"),
        ("640028;packetization-mode=1;level-asymmetry-allowed=1", "28", "1"),
        ("640034;packetization-mode=1;level-asymmetry-allowed=1", "28", "1"),
    ],
)
async def test_level_asymmetry(gateway: Gateway, offered: str, level: str, allowed: str) -> None:
    """Where the peer allows it we receive 720p although it cannot, else the lower level holds both ways."""
    offer = f"{PLAIN_VIDEO}\na=fmtp:97 profile-level-id={offered}"
    async with up(gateway, lambda _: (AUDIO, offer)) as session:
        answer = session.answer[1].attribute("fmtp:97")
        assert answer == f"profile-level-id={offered[:4]}{level};packetization-mode=1;level-asymmetry-allowed={allowed}"
        await asyncio.sleep(0.05)
        stats = (await session.call.stats()).video
        assert stats is not None
        # What we send keeps to the peer's own level: 396 macroblocks at level 1.2.
        assert (stats.sent_width * stats.sent_height <= 352 * 288) == ("42e00c" in offered)


@pytest.mark.parametrize(
    "sprop",
    ["Z0LAHtoCgPRA,aM48gA==", "Z0LAH9oF//B,aM4/8A==", "!!!,%%", "Z" * 2000, "", "," * 300, "Z0LAHtoCgPRA," * 90],
)
async def test_sprop_parameter_sets_cost_nothing(gateway: Gateway, sprop: str) -> None:
    """Whatever stands in sprop-parameter-sets, there is picture: the sets come in the stream as well."""
    offer = f"{PLAIN_VIDEO}\na=fmtp:97 profile-level-id=42e01f;sprop-parameter-sets={sprop};packetization-mode=1"
    async with up(gateway, lambda _: (AUDIO, offer)) as session:
        assert session.answer[1].port


async def test_several_formats_in_a_line(gateway: Gateway) -> None:
    """Of many codecs, and many kinds of H.264, the first that we have is answered, with its number, and only that."""
    audio = """
m=audio 30000 RTP/AVP 115 103 18 118 9 8 0 101
a=rtpmap:115 G7221/32000
a=fmtp:115 bitrate=48000
a=rtpmap:103 MP4A-LATM/90000
a=fmtp:103 profile-level-id=24;object=23;bitrate=64000
a=rtpmap:118 opus/48000/2
a=rtpmap:101 telephone-event/8000
"""
    video = """
m=video 30002 RTP/AVP 34 96 109 110 111
a=rtpmap:34 H263/90000
a=rtpmap:96 H263-1998/90000
a=rtpmap:109 H264/90000
a=fmtp:109 profile-level-id=42801f;packetization-mode=2
a=rtpmap:110 H264/90000
a=fmtp:110 profile-level-id=640028;packetization-mode=1;max-mbps=245000
a=rtpmap:111 H264/90000
a=fmtp:111 profile-level-id=42801f;packetization-mode=0
"""
    async with up(gateway, lambda _: (audio, video)) as session:
        assert session.answer[0].formats == ("118", "101")
        assert session.answer[1].formats == ("110",)


@pytest.mark.parametrize(
    ("codec", "events", "answered"),
    [
        ("96", ("101 8000", "102 48000"), ("96", "102")),
        ("9", ("101 48000", "102 8000"), ("9", "102")),
        ("96", ("101 8000",), ("96", "101")),
        ("0", (), ("0",)),
    ],
)
async def test_telephone_events_have_the_clock_of_the_codec(
    gateway: Gateway, codec: str, events: tuple[str, ...], answered: tuple[str, ...]
) -> None:
    """Of telephone-event at 8000 and 48000 Hz the one with the codec's clock is answered (RFC 4733 section 2.1)."""
    numbers = [event.split()[0] for event in events]
    lines = [f"m=audio 30000 RTP/AVP {codec} {' '.join(numbers)}".strip(), "a=rtpmap:96 opus/48000/2"]
    lines += [f"a=rtpmap:{number} telephone-event/{clock}" for number, clock in map(str.split, events)]
    async with up(gateway, lambda _: ["\n".join(lines)]) as session:
        assert session.answer[0].formats == answered


@pytest.mark.parametrize(
    ("profile", "key"), [("RTP/AVPF", False), ("RTP/SAVP", True), ("RTP/SAVPF", True), ("RTP/AVP", True)]
)
async def test_profiles_are_mirrored(gateway: Gateway, profile: str, key: bool) -> None:
    """AVPF, SAVP and SAVPF (RFC 4585, RFC 3711, RFC 5124) are answered as such, and keys beside plain AVP too."""
    crypto = ["a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"] if key else []

    def media(peer: RawPeer) -> list[str]:
        sound, picture = peer.audio(*crypto), peer.video(*crypto, "a=rtcp-fb:* nack pli")
        return [text.replace("RTP/AVP", profile) for text in (sound, picture)]

    async with up(gateway, media) as session:
        assert [section.profile for section in session.answer] == [profile, profile]
        assert all(section.port for section in session.answer)
        assert "a=rtcp-fb:* nack pli" in session.answer[1].lines
        assert all(("a=crypto:1" in "\n".join(section.lines)) == key for section in session.answer)


async def test_offer_of_a_linphone(gateway: Gateway) -> None:
    """ICE, AVPF, feedback and events of kinds that we have not: what is common is agreed on, without ICE."""
    ice = [
        "a=ice-ufrag:9b3f",
        "a=ice-pwd:4d1c6d2c8a9b3f4d1c6d2c8a",
        "a=candidate:1 1 UDP 2130706303 127.0.0.1 7078 typ host",
        "a=candidate:1 2 UDP 2130706302 127.0.0.1 7079 typ host",
    ]
    feedback = [
        f"a=rtcp-fb:{kind}" for kind in ("* trr-int 5000", "96 nack pli", "96 nack sli", "96 ack rpsi", "96 ccm fir")
    ]
    audio = """
m=audio 30000 RTP/AVPF 96 97 0 99 100 101
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:97 speex/16000
a=rtpmap:99 telephone-event/48000
a=rtpmap:100 telephone-event/16000
a=rtpmap:101 telephone-event/8000
a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics
"""
    video = (
        "m=video 30002 RTP/AVPF 97 96\na=rtpmap:97 VP8/90000\na=rtpmap:96 H264/90000\na=fmtp:96 profile-level-id=42801F"
    )

    def media(peer: RawPeer) -> list[str]:
        return [peer.audio(*ice, base=audio), peer.video(*ice, *feedback, base=video)]

    async with up(gateway, media) as session:
        sound, picture = session.answer
        assert (sound.profile, sound.formats) == ("RTP/AVPF", ("96", "99"))
        assert (picture.profile, picture.formats) == ("RTP/AVPF", ("96",))
        assert "ice-ufrag" not in session.response
        await session.peer.picture.receive(3)


async def test_feedback_on_plain_avp(gateway: Gateway) -> None:
    """Room systems write rtcp-fb though they offer RTP/AVP: it counts, and the profile stays."""
    feedback = [f"a=rtcp-fb:97 {kind}" for kind in ("nack", "nack pli", "ccm fir", "ccm tmmbr")]
    async with up(gateway, lambda peer: (peer.audio(), peer.video(*feedback))) as session:
        assert session.answer[1].profile == "RTP/AVP"
        assert "nack pli" in "\n".join(session.answer[1].lines)


@pytest.mark.parametrize("offered", [True, False])
async def test_rtcp_mux_where_it_is_offered(gateway: Gateway, offered: bool) -> None:
    """RTCP goes by RTP's port where the peer wants that (RFC 5761), and by its own elsewhere."""
    more = ["a=rtcp-mux"] if offered else []
    async with up(gateway, lambda peer: (peer.audio(*more), peer.video(*more))) as session:
        assert [section.attribute("rtcp-mux") is not None for section in session.answer] == [offered] * 2
        # The first report leaves after a second, at random within half of one.
        for _ in range(150 if offered else 12):
            await asyncio.sleep(0.1)
            if session.peer.picture.reports:
                break
        assert bool(session.peer.picture.reports) == offered


async def test_bandwidth_lines(gateway: Gateway) -> None:
    """Whatever b= lines there are, known and unknown (RFC 8866 section 5.8), the call comes about."""
    lines = "b=AS:512\nb=TIAS:500000\nb=RR:0\nb=RS:600\nb=CT:2000\nb=X-YZ:128\n"
    offer = PLAIN_VIDEO.replace("\n", f"\n{lines}", 1) + "\na=fmtp:97 profile-level-id=42e01f;packetization-mode=1"
    async with up(gateway, lambda _: (AUDIO, offer)) as session:
        assert all(section.port for section in session.answer)


async def test_picture_that_no_encoder_has(gateway: Gateway) -> None:
    """One bit a second costs the picture and not the call, whose sound goes on and is counted."""
    offer = VIDEO.replace("AVP 97\n", "AVP 97\nb=TIAS:1\n")
    async with up(gateway, lambda peer: (peer.audio(), peer.video(base=offer))) as session:
        await session.peer.sound.receive(3)
        stats = await session.call.stats()
        assert stats.audio is not None
        assert stats.video is None
