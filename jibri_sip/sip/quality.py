"""How well a call goes: what PJMEDIA counts, with the peer's reports of what arrived there (RFC 3550 section 6.4)."""

from dataclasses import dataclass, replace

import pjsua2 as pj

from jibri_sip.sip import native
from jibri_sip.sip.rate import RateState


@dataclass(frozen=True)
class Flow:
    """One direction of one stream since it began.

    Attributes:
        packets: RTP packets sent or received.
        octets: payload bytes of them.
        lost: packets lost for good: counted by us when receiving, as the peer reported when sending.
        repaired: packets that the peer sent again, or we sent again, when asked to (generic NACK, RFC 4585).
        jitter_ms: interarrival jitter, mean.
        bitrate: payload bits per second since the stats before; 0 in the first.
    """

    packets: int
    octets: int
    lost: int
    jitter_ms: float
    bitrate: int
    repaired: int = 0


@dataclass(frozen=True)
class StreamStats:
    """A stream, both ways.

    Attributes:
        codec: name and clock rate: `opus/48000`.
        sent: towards the peer.
        received: from the peer.
        rtt_ms: round trip of the last report; None as long as there is none.
        buffer_ms: mean delay of the jitter buffer.
        expected: whether the peer is to send anything.
        width: width of the received picture in pixels; 0 for sound, and where no picture has come, or none is to come.
        height: its height.
        sent_width: width of the picture that is sent; 0 for sound.
        sent_height: its height.
        rate: how the bitrate of the picture that is sent stands; None for sound, and in the first second.
    """

    codec: str
    sent: Flow
    received: Flow
    rtt_ms: float | None
    buffer_ms: int
    expected: bool = True
    width: int = 0
    height: int = 0
    sent_width: int = 0
    sent_height: int = 0
    rate: RateState | None = None


@dataclass(frozen=True)
class CallStats:
    """The streams of a call; None where there is none."""

    audio: StreamStats | None = None
    video: StreamStats | None = None


@dataclass
class _Mark:
    at: float
    octets: int


class Gauge:
    """Reads the statistics of one call, again and again; lives on the PJSIP thread."""

    def __init__(self) -> None:
        self._marks: dict[tuple[int, str], _Mark] = {}

    def read(self, call: pj.Call, now: float, rate: RateState | None = None) -> CallStats:
        """The statistics.

        Args:
            call: of this one.
            now: seconds of any steady clock.
            rate: how the bitrate of its picture stands.
        """
        audio = video = None
        info = call.getInfo()  # Held: its vectors die with it.
        for media in info.media:
            if media.status in (pj.PJSUA_CALL_MEDIA_NONE, pj.PJSUA_CALL_MEDIA_ERROR):
                continue
            if media.type == pj.PJMEDIA_TYPE_AUDIO and audio is None:
                audio = self._stream(call, media.index, now, video=False)
            elif media.type == pj.PJMEDIA_TYPE_VIDEO and video is None:
                video = replace(self._stream(call, media.index, now, video=True), rate=rate)
        return CallStats(audio=audio, video=video)

    def _stream(self, call: pj.Call, index: int, now: float, *, video: bool) -> StreamStats:
        stat = call.getStreamStat(index)
        info = call.getStreamInfo(index)
        rtcp = stat.rtcp
        expected = bool(info.dir & pj.PJMEDIA_DIR_DECODING)
        width = height = sent_width = sent_height = 0
        if video:
            sent = info.vidCodecParam.encFmt
            sent_width, sent_height = sent.width, sent.height
            if expected:
                port = call.getDecodingVideoMedia(index).getPortInfo()
                width, height = port.format.width, port.format.height
        wire = native.feedback(call.getId()) if video else None
        return StreamStats(
            codec=f"{info.codecName}/{info.codecClockRate}",
            sent=self._flow(rtcp.txStat, (index, "sent"), now, wire.resent if wire else 0),
            received=self._flow(rtcp.rxStat, (index, "received"), now, wire.recovered if wire else 0),
            rtt_ms=rtcp.rttUsec.last / 1000 if rtcp.rttUsec.n else None,
            buffer_ms=stat.jbuf.avgDelayMsec,
            expected=expected,
            width=width,
            height=height,
            sent_width=sent_width,
            sent_height=sent_height,
        )

    def _flow(self, stat: pj.RtcpStreamStat, key: tuple[int, str], now: float, repaired: int) -> Flow:
        before = self._marks.get(key)
        self._marks[key] = _Mark(now, stat.bytes)
        bitrate = 0
        if before is not None and now > before.at and stat.bytes >= before.octets:
            bitrate = round((stat.bytes - before.octets) * 8 / (now - before.at))
        return Flow(
            packets=stat.pkt,
            octets=stat.bytes,
            lost=stat.loss,
            jitter_ms=stat.jitterUsec.mean / 1000,
            bitrate=bitrate,
            repaired=repaired,
        )
