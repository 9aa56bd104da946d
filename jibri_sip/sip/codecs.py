"""The codecs that are offered and accepted: H.264 by OpenH264; Opus, G.722, G.711."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pjsua2 as pj

from jibri_sip.sip.settings import Picture

VIDEO = "H264"

PROFILE_OFFERED = "42e01f"
"""Constrained baseline, level 3.1 (720p30): what every video endpoint can send (RFC 6184 section 8.1)."""
PROFILE_ACCEPTED = "640028"
"""High, level 4.0. With this, PJSIP takes and mirrors whatever profile up to it is offered; OpenH264 decodes them."""

_TOP_PRIORITY = 255
_PEAK = 1.3
"""How far a frame's bits may pass the average rate."""
_BRIDGE_HZ = 60
"""Clock of PJMEDIA's video bridge. It looks for the peer's next picture as often as the decoder's rate says: looking no
oftener than pictures come, a picture waits for half an interval, and one that once came late delays all after it, for
nothing ever catches up."""
_LARGEST = (1920, 1088)
"""Pixels of a picture that is shown, or as many in another shape: 1080p in whole macroblocks, as far as level 4.0 goes.
PJMEDIA makes its room for a call's pictures by it, so that nothing grows when the peer's do."""
_HEADERS = 40 + 8 + 12 + 16
"""Bytes of each packet that are no picture: IPv6, UDP, RTP, and the tag of SRTP (RFC 7714; others' are shorter)."""
_PJMEDIA_KEEPS = 12 + 20
"""What PJMEDIA itself takes off its `enc_mtu` (RTP header, PJMEDIA_STREAM_RESV_PAYLOAD_LEN)."""


def choose(endpoint: pj.Endpoint, audio: Sequence[str], picture: Picture) -> None:
    """Enable these audio codecs (the best first), H.264 and no others, and set the size and rate of the picture."""
    for codec in endpoint.codecEnum2():
        rank = next((n for n, name in enumerate(audio) if codec.codecId.startswith(f"{name}/")), None)
        endpoint.codecSetPriority(codec.codecId, 0 if rank is None else _TOP_PRIORITY - rank)
        if codec.codecId.startswith("opus/"):
            _set_mono(endpoint, codec.codecId)
    for codec in endpoint.videoCodecEnum2():
        wanted = codec.codecId.startswith(VIDEO)
        endpoint.videoCodecSetPriority(codec.codecId, _TOP_PRIORITY if wanted else 0)
        if wanted:
            _set_picture(endpoint, codec.codecId, picture)
    _accept(endpoint)


def _accept(endpoint: pj.Endpoint) -> None:
    # A level for each direction, where the peer asks for that (RFC 6184 section 8.2.2); else the answer says 0.
    _set_profile(endpoint, PROFILE_ACCEPTED, ("level-asymmetry-allowed", "1"))


def _set_mono(endpoint: pj.Endpoint, codec: str) -> None:
    """Say that one channel is what we want and send (RFC 7587 section 6.1).

    A peer's two PJMEDIA would add, twice as loud and clipped; libopus, asked for one, takes their mean.
    """
    param = endpoint.codecGetParam(codec)
    for name in ("stereo", "sprop-stereo"):
        param.setting.decFmtp.append(_parameter(name, "0"))
    endpoint.codecSetParam(codec, param)


def _parameter(name: str, value: str) -> pj.CodecFmtp:
    parameter = pj.CodecFmtp()
    parameter.name, parameter.val = name, value
    return parameter


def _set_picture(endpoint: pj.Endpoint, codec: str, picture: Picture) -> None:
    param = endpoint.getVideoCodecParam(codec)
    for fmt, (width, height) in ((param.encFmt, (picture.width, picture.height)), (param.decFmt, _LARGEST)):
        fmt.width, fmt.height = width, height
        fmt.fpsNum, fmt.fpsDenum = picture.fps, 1
        fmt.avgBps, fmt.maxBps = picture.bitrate, int(picture.bitrate * _PEAK)
    param.encMtu = picture.mtu - _HEADERS + _PJMEDIA_KEEPS
    param.decFmt.fpsNum = _BRIDGE_HZ
    endpoint.setVideoCodecParam(codec, param)


@contextmanager
def offering(endpoint: pj.Endpoint) -> Iterator[None]:
    """While an offer is made: name the H.264 that everybody can send, else the most that is taken."""
    _set_profile(endpoint, PROFILE_OFFERED)
    try:
        yield
    finally:
        _accept(endpoint)


def _set_profile(endpoint: pj.Endpoint, profile_level_id: str, *more: tuple[str, str]) -> None:
    for codec in endpoint.videoCodecEnum2():
        if not codec.codecId.startswith(VIDEO):
            continue
        param = endpoint.getVideoCodecParam(codec.codecId)
        parameters = pj.CodecFmtpVector()
        for name, value in (("profile-level-id", profile_level_id), ("packetization-mode", "1"), *more):
            parameters.append(_parameter(name, value))
        param.decFmtp = parameters
        endpoint.setVideoCodecParam(codec.codecId, param)
