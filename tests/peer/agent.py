"""The measured peer itself: a SIP user agent that speaks JSON lines on stdin and stdout.

Each command is an object with `id` and `do`, and is answered by one with the same `id` and `ok`; in between come
objects with `event`: `incoming`, `state`, `media`, `dtmf`. It ends with its standard input.
"""

import argparse
import ctypes
import gc
import json
import os
import secrets
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pjsua2 as pj

from jibri_sip.sip import native
from tests.peer import devices, wire
from tests.peer.ports import free_port
from tests.peer.raw import spelled_out

POLL_MS = 10
DISABLE_TCP_SWITCH = 4
"""Its place among the leading integers of pjsip_cfg_t.endpt."""
_MEDIA_PORTS = range(31_000, 32_000, 2)
"""Where a peer's ports for media begin: at PJSIP's own it would hear what a gateway still sends to the peer before.

Raw callers name ports from 30000 on that nobody has; what is sent there is for nobody.
"""
_KEYINGS = {"sdes": pj.PJMEDIA_SRTP_KEYING_SDES, "dtls": pj.PJMEDIA_SRTP_KEYING_DTLS_SRTP}
Json = dict[str, Any]


def tell(message: Json) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class PeerCall(pj.Call):
    """A call that connects whatever media there is."""

    def __init__(self, agent: "Agent", account: pj.Account, call_id: int = -1) -> None:
        super().__init__(account, call_id)
        self.agent = agent

    def onCallState(self, prm: pj.OnCallStateParam) -> None:  # noqa: ARG002, N802
        """Tell the state, and forget the call when it is over."""
        info = self.getInfo()
        tell(
            {
                "event": "state",
                "state": info.stateText,
                "code": info.lastStatusCode,
                "reason": info.lastReason,
                "at_ms": now_ms(),
            }
        )
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.agent.finished.append(self)

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:  # noqa: ARG002, N802
        """Connect the sound; PJSIP connects the picture."""
        info = self.getInfo()
        for media in info.media:
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                stream = self.getAudioMedia(media.index)
                sound = self.agent.endpoint.audDevManager()
                sound.getCaptureDevMedia().startTransmit(stream)
                stream.startTransmit(sound.getPlaybackDevMedia())
        tell({"event": "media", "media": [{"type": m.type, "dir": m.dir, "status": m.status} for m in info.media]})

    def onCallSdpCreated(self, prm: pj.OnCallSdpCreatedParam) -> None:  # noqa: N802
        """Say no word of forward error correction, where that is wanted."""
        if self.agent.options.fec == 0:
            prm.sdp.wholeSdp = prm.sdp.wholeSdp.replace("useinbandfec=1", "useinbandfec=0")

    def onCallReplaceRequest(self, prm: pj.OnCallReplaceRequestParam) -> None:  # noqa: N802
        """Somebody else takes this call over (RFC 3891)."""
        # Kept until it is over: this is a callback of its own.
        self.agent.second = self
        prm.newCall = self.agent.call = PeerCall(self.agent, self.agent.account)
        prm.opt.audioCount, prm.opt.videoCount, prm.opt.textCount = 1, int(self.agent.video), 0

    def onDtmfDigit(self, prm: pj.OnDtmfDigitParam) -> None:  # noqa: N802
        """Tell the key."""
        tell({"event": "dtmf", "digit": prm.digit})


class PeerAccount(pj.Account):
    """Answers as the agent was told to."""

    agent: "Agent"

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:  # noqa: N802
        """Answer at once, ring for a while, or refuse."""
        call = PeerCall(self.agent, self, prm.callId)
        self.agent.call = call
        tell({"event": "incoming", "message": spelled_out(prm.rdata.wholeMsg), "at_ms": now_ms()})
        if self.agent.ring_s > 0:
            call.answer(self.agent.param(180))
        self.agent.answer_at = time.monotonic() + self.agent.ring_s


def now_ms() -> float:
    """CLOCK_REALTIME in ms, as the stamps use it."""
    return time.clock_gettime(time.CLOCK_REALTIME) * 1000


class Agent:
    """PJSIP, one account, one call at a time."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.call: PeerCall | None = None
        self.second: PeerCall | None = None
        self.finished: list[PeerCall] = []
        self.answer_code: int = 200
        self.ring_s = 0.0
        self.answer_at: float | None = None
        self.video = bool(options.video)
        self.running = True
        self.endpoint = pj.Endpoint()
        self.account = PeerAccount()
        self.account.agent = self
        self.commands: dict[str, Callable[[Json], Json]] = {
            "call": self._call,
            "answer-with": self._answer_with,
            "hangup": self._hangup,
            "report": self._report,
            "still": self._still,
            "say": self._say,
            "loudest": self._loudest,
            "time-bursts": self._time_bursts,
            "count-gaps": self._count_gaps,
            "gaps": self._gaps,
            "dtmf": self._dtmf,
            "hold": self._hold,
            "resume": self._resume,
            "refer": self._refer,
            "consult": self._consult,
            "connect": self._connect,
            "keyframe": self._keyframe,
            "fir": self._fir,
            "tmmbr": self._tmmbr,
        }

    def start(self) -> None:
        """Set PJSIP up, and say where it listens."""
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.userAgent = "measured-peer"
        config.logConfig.level = 5 if self.options.log else 0
        config.logConfig.consoleLevel = 0
        config.logConfig.filename = self.options.log or ""
        config.medConfig.clockRate = config.medConfig.sndClockRate = 48000
        config.medConfig.audioFramePtime = 10
        config.medConfig.ecTailLen = 0
        config.medConfig.noVad = True
        # Standard output is ours.
        ctypes.CDLL("libpj.so.2").pj_log_set_level(0)
        self.endpoint.libCreate()
        self.endpoint.libInit(config)
        # Its INVITE is too large for UDP (RFC 3261 section 18.1.1), but the tests of UDP are meant so.
        (ctypes.c_int * 13).in_dll(ctypes.CDLL("libpjsip.so.2"), "pjsip_sip_cfg_var")[DISABLE_TCP_SWITCH] = 1
        if self.options.nack:
            native.install()
        devices.register(self.options.width, self.options.height, self.options.fps)
        devices.say(self.options.tone_hz)
        transport = pj.TransportConfig()
        transport.boundAddress = self.options.host
        transport.port = port = self.options.port or free_port()
        self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_TCP, transport)
        tls_port = self._listen_on_tls() if self.options.tls_certificate else 0
        self.endpoint.libStart()
        self._set_codecs()
        self._create_account(port)
        tell({"event": "ready", "port": port, "tls_port": tls_port})

    def _listen_on_tls(self) -> int:
        transport = pj.TransportConfig()
        transport.boundAddress = self.options.host
        transport.port = free_port()
        transport.tlsConfig.certFile = self.options.tls_certificate
        transport.tlsConfig.privKeyFile = self.options.tls_key
        transport.tlsConfig.CaListFile = self.options.tls_authorities
        transport.tlsConfig.verifyServer = True
        self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_TLS, transport)
        return transport.port

    def _set_codecs(self) -> None:
        for codec in self.endpoint.videoCodecEnum2():
            param = self.endpoint.getVideoCodecParam(codec.codecId)
            for fmt in (param.encFmt, param.decFmt):
                fmt.width, fmt.height = self.options.width, self.options.height
                fmt.fpsNum, fmt.fpsDenum = self.options.fps, 1
                fmt.avgBps, fmt.maxBps = self.options.bitrate, self.options.bitrate * 2
            level = pj.CodecFmtp()
            level.name, level.val = "profile-level-id", f"42e0{self.options.level}"
            mode = pj.CodecFmtp()
            mode.name, mode.val = "packetization-mode", "1"
            parameters = pj.CodecFmtpVector()
            parameters.append(level)
            parameters.append(mode)
            param.decFmtp = parameters
            self.endpoint.setVideoCodecParam(codec.codecId, param)
        if self.options.expects_loss:
            opus = self.endpoint.getCodecOpusConfig()
            opus.packet_loss = self.options.expects_loss
            self.endpoint.setCodecOpusConfig(opus)
        for audio in self.endpoint.codecEnum2():
            if self.options.codec:
                priority = 255 if audio.codecId.startswith(self.options.codec) else 0
            else:
                priority = 255 if audio.codecId.startswith("opus") else 128
            self.endpoint.codecSetPriority(audio.codecId, priority)

    def _create_account(self, port: int) -> None:
        video = self.endpoint.vidDevManager()
        sound = self.endpoint.audDevManager().lookupDev(devices.DRIVER, devices.TONE)
        self.endpoint.audDevManager().setCaptureDev(sound)
        self.endpoint.audDevManager().setPlaybackDev(sound)
        source = video.lookupDev(devices.DRIVER, devices.SOURCE)
        preview = pj.VideoPreviewOpParam()
        preview.rendId = video.lookupDev(devices.DRIVER, devices.VOID)
        preview.show = False
        pj.VideoPreview(source).start(preview)
        config = pj.AccountConfig()
        scheme = "sips" if self.options.sips else "sip"
        config.idUri = f'"{self.options.name}" <{scheme}:{self.options.user}@{self.options.host}:{port}>'
        config.videoConfig.autoShowIncoming = True
        config.videoConfig.autoTransmitOutgoing = True
        config.videoConfig.defaultCaptureDevice = source
        config.videoConfig.defaultRenderDevice = video.lookupDev(devices.DRIVER, devices.READER)
        config.mediaConfig.transportConfig.boundAddress = self.options.host
        config.mediaConfig.transportConfig.port = secrets.choice(_MEDIA_PORTS)
        config.natConfig.iceEnabled = self.options.ice
        config.mediaConfig.srtpUse = self.options.srtp
        config.mediaConfig.srtpSecureSignaling = 0
        if self.options.keys:
            keyings = pj.IntVector()
            keyings.append(_KEYINGS[self.options.keys])
            config.mediaConfig.srtpOpt.keyings = keyings
        self.account.create(config)

    def param(self, code: int = 0) -> pj.CallOpParam:
        """What we want of a call."""
        param = pj.CallOpParam(True)
        param.statusCode = code
        param.opt.audioCount = 1
        param.opt.videoCount = 1 if self.video else 0
        param.opt.textCount = 0
        return param

    # Commands ------------------------------------------------------------------------------------

    def _call(self, command: Json) -> Json:
        self.video = bool(command.get("video", True))
        param = self.param()
        if command.get("delayed_offer"):
            param.opt.flag |= pj.PJSUA_CALL_NO_SDP_OFFER
        for name, value in command.get("headers", {}).items():
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            param.txOption.headers.append(header)
        self.call = PeerCall(self, self.account)
        self.call.makeCall(command["uri"], param)
        return {"call_id": self.call.getInfo().callIdString, "at_ms": now_ms()}

    def _answer_with(self, command: Json) -> Json:
        self.answer_code = int(command["code"])
        self.ring_s = float(command.get("after_s", 0.0))
        self.video = bool(command.get("video", True))
        return {}

    def _live(self) -> PeerCall:
        if self.call is None:
            raise ValueError("no call")
        return self.call

    def _hangup(self, command: Json) -> Json:
        self._live().hangup(self.param(int(command.get("code", 0))))
        return {}

    def _report(self, command: Json) -> Json:
        tones = command.get("tones", [])
        return {
            "video": devices.as_json(devices.seen()),
            "tones": {str(hz): devices.heard(float(hz)) for hz in tones},
            "peak": devices.peak(),
            "burst_delays_ms": devices.burst_delays_ms(),
            "streams": self._streams(),
        }

    def _streams(self) -> list[Json]:
        if self.call is None or not self.call.hasMedia():
            return []
        info = self.call.getInfo()
        streams = []
        for media in info.media:
            if media.status == pj.PJSUA_CALL_MEDIA_NONE:
                continue
            stream = self.call.getStreamInfo(media.index)
            stat = self.call.getStreamStat(media.index)
            rtcp = stat.rtcp
            streams.append(
                {
                    "codec": stream.codecName,
                    "sent": rtcp.txStat.pkt,
                    "received": rtcp.rxStat.pkt,
                    "lost": rtcp.rxStat.loss,
                    "sent_octets": rtcp.txStat.bytes,
                    "received_octets": rtcp.rxStat.bytes,
                    "buffered_ms": stat.jbuf.avgDelayMsec,
                }
            )
        return streams

    def _still(self, command: Json) -> Json:
        image = devices.still(int(command.get("timeout_ms", 5000)))
        if image is None:
            raise ValueError("no picture came")
        image.save(Path(command["path"]))
        return {"width": image.width, "height": image.height}

    def _say(self, command: Json) -> Json:
        devices.say(float(command["hz"]), float(command.get("amplitude", 0.3)), rhythm=command.get("rhythm", "steady"))
        return {}

    def _loudest(self, command: Json) -> Json:
        amplitude, ms_ago = devices.loudest(float(command["hz"]), int(command["ms"]))
        return {"amplitude": amplitude, "ms_ago": ms_ago}

    def _time_bursts(self, command: Json) -> Json:
        devices.time_bursts(float(command["hz"]))
        return {}

    def _count_gaps(self, command: Json) -> Json:
        devices.count_gaps(float(command["hz"]), float(command["least"]))
        return {}

    def _gaps(self, _command: Json) -> Json:
        return {"share": devices.gaps()}

    def _dtmf(self, command: Json) -> Json:
        param = pj.CallSendDtmfParam()
        param.digits = command["digits"]
        param.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if command.get("info") else pj.PJSUA_DTMF_METHOD_RFC2833
        self._live().sendDtmf(param)
        return {}

    def _hold(self, _command: Json) -> Json:
        self._live().setHold(self.param())
        return {}

    def _resume(self, _command: Json) -> Json:
        param = self.param()
        param.opt.flag |= pj.PJSUA_CALL_UNHOLD
        self._live().reinvite(param)
        return {}

    def _refer(self, command: Json) -> Json:
        self._live().xfer(command["uri"], pj.CallOpParam(True))
        return {}

    def _consult(self, command: Json) -> Json:
        self.second = PeerCall(self, self.account)
        self.second.makeCall(command["uri"], self.param())
        return {}

    def _connect(self, _command: Json) -> Json:
        if self.second is None:
            raise ValueError("no second call")
        self._live().xferReplaces(self.second, pj.CallOpParam(True))
        return {}

    def _keyframe(self, _command: Json) -> Json:
        param = pj.CallVidSetStreamParam()
        param.medIdx = -1
        self._live().vidSetStream(pj.PJSUA_CALL_VID_STRM_SEND_KEYFRAME, param)
        return {}

    def _fir(self, command: Json) -> Json:
        call = self._live().getId()
        ours, theirs = devices.sources(call)
        devices.send_rtcp(call, wire.fir(theirs, int(command["number"]), ours))
        return {}

    def _tmmbr(self, command: Json) -> Json:
        call = self._live().getId()
        ours, theirs = devices.sources(call)
        devices.send_rtcp(call, wire.tmmbr(theirs, 3, int(command["bps"]) >> 3, int(command["overhead"]), ours))
        return {}

    # The loop ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until standard input ends."""
        pending = b""
        while self.running:
            self.endpoint.libHandleEvents(POLL_MS)
            if self.answer_at is not None and time.monotonic() >= self.answer_at:
                self.answer_at = None
                if self.call is not None and self.call not in self.finished:
                    self.call.answer(self.param(self.answer_code))
            while self.finished:
                call = self.finished.pop()
                if call is self.call:
                    self.call = None
                if call is self.second:
                    self.second = None
                del call
            if select.select([0], [], [], 0)[0]:
                data = os.read(0, 65536)
                self.running = bool(data)
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._serve(json.loads(line))

    def _serve(self, command: Json) -> None:
        reply: Json = {"id": command["id"], "ok": True}
        try:
            reply |= self.commands[command["do"]](command)
        except pj.Error as error:
            reply |= {"ok": False, "error": error.reason}
        except (ValueError, KeyError, OSError) as error:
            reply |= {"ok": False, "error": str(error)}
        tell(reply)

    def stop(self) -> None:
        """Hang up and free everything, in the order that PJSIP wants."""
        self.finished.clear()
        self.call = self.second = None
        self.account.shutdown()
        del self.account
        gc.collect()
        self.endpoint.libDestroy()


def main() -> None:
    """Run as `python -m tests.peer`."""
    parser = argparse.ArgumentParser(prog="python -m tests.peer", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", default="peer")
    parser.add_argument("--name", default="Measured Peer")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--bitrate", type=int, default=1_500_000)
    parser.add_argument("--tone-hz", type=float, default=660)
    parser.add_argument("--codec", default="", help="the only audio codec, by the start of its name")
    parser.add_argument("--fec", type=int, default=1, choices=(0, 1), help="0: ask for no FEC of Opus")
    parser.add_argument("--expects-loss", type=int, default=0, help="percent that Opus is to bear; 0: PJSIP's default")
    parser.add_argument("--level", default="1f", help="the H.264 level it says, in hex")
    parser.add_argument("--no-video", dest="video", action="store_false", help="answer without video")
    parser.add_argument("--srtp", type=int, default=0, choices=(0, 1, 2), help="never, optional, required")
    parser.add_argument("--keys", choices=("", "sdes", "dtls"), default="", help="the only way to agree on SRTP keys")
    parser.add_argument("--nack", action="store_true", help="ask for lost packets, and send them again")
    parser.add_argument("--tls-certificate", default="", help="PEM file; listens on TLS then")
    parser.add_argument("--ice", action="store_true", help="find ways for media by ICE")
    parser.add_argument("--sips", action="store_true", help="be of that scheme (RFC 5630)")
    parser.add_argument("--tls-key", default="", help="PEM file")
    parser.add_argument("--tls-authorities", default="", help="PEM file that servers are checked against")
    parser.add_argument("--log", help="file for PJSIP's log")
    agent = Agent(parser.parse_args())
    agent.start()
    try:
        agent.run()
    finally:
        agent.stop()
