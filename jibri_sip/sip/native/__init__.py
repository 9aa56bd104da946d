"""RTP feedback of pictures: lost packets asked for and sent again, keyframes and limits that the peer asks for.

RFC 4585 and RFC 5104. All of it happens in C (adapter.c); this is how it is put in place and read. Beside it, what
running encoders are told (control.c).
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Feedback:
    """What went on since a call has a picture; counts are RTP packets where nothing else is said.

    Attributes:
        nack: whether generic NACK was agreed on; without it nothing is asked for or sent again.
        tmmbr_bps: the most that the peer wants in bit/s, headers included (RFC 5104 section 4.2.1); None for no limit.
        tmmbr_overhead: bytes of IP, UDP and RTP headers that `tmmbr_bps` counts for each packet.
        reports: reception reports of the peer (RFC 3550 section 6.4).
        loss: share of packets lost on the way to the peer in the last report, 0 to 1; those that were lost and sent
            again in time are not in it.
        rtt_ms: round trip; None while unknown.
        keyframes_asked: full intra requests, each counted once however often it was repeated.
        plis: picture loss indications.
        sent: to the peer, without those sent again.
        asked: that the peer's NACKs named, each time.
        resent: that were sent again.
        received: from the peer.
        missed: found missing, or late.
        nacked: named in our NACKs, each time.
        recovered: that came after they had been asked for.
        given_up: that did not come in time.
    """

    nack: bool
    tmmbr_bps: int | None
    tmmbr_overhead: int
    reports: int
    loss: float
    rtt_ms: float | None
    keyframes_asked: int
    plis: int
    sent: int
    asked: int
    resent: int
    received: int
    missed: int
    nacked: int
    recovered: int
    given_up: int


@dataclass(frozen=True)
class SentPicture:
    """A call's picture towards the peer, as it was agreed on.

    Attributes:
        stream: a number that tells this stream from the one before.
        bps: bit/s that its encoder began with.
        max_bps: the most that the peer's level, fmtp and media-level bandwidth allow, in bit/s.
        session_bps: what it allows for all of the call, headers included; 0 for no limit.
        has_pli: whether it can ask for keyframes by RTCP.
    """

    stream: int
    bps: int
    max_bps: int
    session_bps: int
    has_pli: bool


def _native() -> Any:
    return import_module("jibri_sip.sip.native._wire")


def install() -> None:
    """Have each video stream of a new call watched; on the PJSIP thread, after `libInit`. It ends with PJSIP."""
    _native().lib.wire_install()


def feedback(call: int) -> Feedback | None:
    """What is known of a call's first video stream; None if it has none. On the PJSIP thread.

    Args:
        call: PJSUA's number of it.
    """
    native = _native()
    read = native.ffi.new("struct wire_feedback *")
    if native.lib.wire_feedback(call, read) != 0:
        return None
    return Feedback(
        nack=bool(read.nack),
        tmmbr_bps=None if read.tmmbr_bps < 0 else read.tmmbr_bps,
        tmmbr_overhead=read.tmmbr_overhead,
        reports=read.reports,
        loss=read.loss_256 / 256,
        rtt_ms=read.rtt_us / 1000 if read.rtt_us else None,
        keyframes_asked=read.firs,
        plis=read.plis,
        sent=read.sent,
        asked=read.asked,
        resent=read.resent,
        received=read.received,
        missed=read.missed,
        nacked=read.nacked,
        recovered=read.recovered,
        given_up=read.given_up,
    )


def sent_picture(call: int) -> SentPicture | None:
    """The picture that a call sends; None if it sends none. On the PJSIP thread."""
    native = _native()
    read = native.ffi.new("struct control_picture *")
    if native.lib.control_read_picture(call, read) != 0:
        return None
    return SentPicture(read.stream, read.bps, read.max_bps, read.session_bps, bool(read.has_pli))


def set_bitrate(call: int, bps: int, max_bps: int) -> int:
    """Set the bitrate of the picture that a call sends; returns PJSIP's status. On the PJSIP thread."""
    return int(_native().lib.control_set_bitrate(call, bps, max_bps))


def set_audio_loss(call: int, percent: int) -> bool:
    """Have Opus repeat as much of itself as mends this loss; False where it is not spoken, or the peer wants none."""
    return bool(_native().lib.control_set_audio_loss(call, percent) == 0)
