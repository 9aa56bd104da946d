"""RTP feedback of pictures: lost packets asked for and sent again, keyframes and limits that the peer asks for.

RFC 4585 and RFC 5104. All of it happens in C (adapter.c); this is how it is put in place and read.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Feedback:
    """What went on in a call's picture since its stream began; counts are RTP packets where nothing else is said.

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
