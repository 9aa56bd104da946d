"""Session descriptions lose what they need not say, and nothing else."""

from jibri_sip.sip.slim import slimmed

_HEAD = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=pjmedia", "b=AS:2165", "t=0 0", "a=X-nat:0"]
_AUDIO = [
    "m=audio 4000 RTP/AVP 96 0",
    "c=IN IP4 192.0.2.1",
    "a=rtcp:4001 IN IP4 192.0.2.1",
    "a=sendrecv",
    "a=rtpmap:96 opus/48000/2",
    "a=fmtp:96 useinbandfec=1;stereo=0;sprop-stereo=0",
    "a=rtpmap:0 PCMU/8000",
    "a=ssrc:1 cname:abc",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:A",
    "a=crypto:2 AES_256_CM_HMAC_SHA1_80 inline:B",
]


def lines(*rows: str) -> str:
    """A session description."""
    return "".join(f"{row}\r\n" for row in rows)


def test_needless_lines() -> None:
    """One address for all, no RTCP port that goes without saying, no names of numbers that everybody knows."""
    assert slimmed(lines(*_HEAD, *_AUDIO), one_key=True) == lines(
        "v=0",
        "o=- 1 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "b=AS:2165",
        "t=0 0",
        "m=audio 4000 RTP/AVP 96 0",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1;stereo=0;sprop-stereo=0",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:A",
    )


def test_what_says_something_stays() -> None:
    """Other directions, RTCP elsewhere, addresses that differ, all keys where they are wanted."""
    audio = [line.replace("sendrecv", "inactive").replace("rtcp:4001", "rtcp:5000") for line in _AUDIO]
    video = ["m=video 4002 RTP/AVP 97", "c=IN IP4 192.0.2.2", "a=rtpmap:97 H264/90000", "a=rtcp-fb:* nack pli"]
    text = slimmed(lines(*_HEAD, *audio, *video), one_key=False)
    for line in (*video, "c=IN IP4 192.0.2.1", "a=inactive", "a=rtcp:5000 IN IP4 192.0.2.1", audio[-1]):
        assert line in text


def test_a_session_without_addresses_of_media() -> None:
    """A session description that has its address at the top already is not given a second one."""
    whole = lines(*_HEAD[:2], "s=-", "c=IN IP4 192.0.2.1", "t=0 0", "m=audio 4000 RTP/AVP 0")
    assert slimmed(whole, one_key=True) == whole
