"""One call as PJSIP sees it. Everything here runs on the PJSIP thread, and dies there."""

import contextlib
import functools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pjsua2 as pj
import structlog

from jibri_sip.errors import GatewayError
from jibri_sip.sip import codecs, message, native, slim, sources, transport
from jibri_sip.sip.certificates import Stack
from jibri_sip.sip.door import Ice, media_sockets
from jibri_sip.sip.events import Answered, CallEvent, Dtmf, Ended, Held, MediaUp, Resumed, Ringing
from jibri_sip.sip.keys import Presses
from jibri_sip.sip.origin import origin
from jibri_sip.sip.steering import SentSound, Steering
from jibri_sip.sip.thread import PjsipThread

if TYPE_CHECKING:
    from jibri_sip.sip.transfer import Transfers

log = structlog.get_logger(__name__)

P = TypeVar("P")
_KINDS = (pj.PJMEDIA_TYPE_AUDIO, pj.PJMEDIA_TYPE_VIDEO)
_TRYING, _RINGING, _SESSION_PROGRESS = 100, 180, 183
_OK = _FINAL = 200
_NOT_ACCEPTABLE_HERE = 488
_SERVER_ERROR = 500
_LET_MEDIA_IN = "The peer's media comes from an address that it did not tell; sip.network.media_from can let it in."
_OFFERS_VIDEO = re.compile(r"^m=video [1-9]", re.MULTILINE)


@dataclass(frozen=True)
class Wiring:
    """What a leg is connected to: device numbers of PJMEDIA, and where its events go.

    Attributes:
        endpoint: PJSIP.
        thread: its thread.
        screen: capture device.
        sound: whether there is a sound device.
        dscp_video: DSCP mark of video packets.
        bitrate: the most that the picture may have, bit/s.
        media_from: whose media is taken.
        rtp_ports: first and last port of media.
        relays: addresses of STUN and TURN servers.
        dispatchers: proxies that only pass on what others send.
        encrypted_only: whether there are no calls without SRTP.
        transfers: lets peers hand their calls on; None for no such thing.
    """

    endpoint: Stack
    thread: PjsipThread
    screen: int
    sound: bool
    dscp_video: int
    bitrate: int
    media_from: sources.MediaFrom
    rtp_ports: tuple[int, int]
    relays: frozenset[sources.Network]
    dispatchers: tuple[sources.Network, ...]
    encrypted_only: bool
    transfers: "Transfers | None"


def guarded(callback: Callable[["Leg", P], None]) -> Callable[["Leg", P], None]:
    """Log what a callback raises, and end its call: PJSIP would swallow it, and the peer would never know."""

    @functools.wraps(callback)
    def guard(leg: "Leg", param: P) -> None:
        try:
            callback(leg, param)
        except Exception:
            log.exception("call_callback_failed", callback=callback.__name__)
            leg.abandon()

    return guard


class Leg(pj.Call):
    """A call of PJSIP's; tells what happens by `emit`, and `Ended` exactly once, as its last word.

    Attributes:
        is_heard: whether the peer's side sent anything in answer.
    """

    def __init__(self, account: pj.Account, call_id: int, wiring: Wiring) -> None:
        super().__init__(account, call_id)
        self.account = account
        self.is_heard = False
        self._wiring = wiring
        self._emit: Callable[[CallEvent], None] = _nowhere
        self._video = False
        self._up = False
        self._agreed = False
        self._offers_early = self._offered = self._pracked = self._answer_at_prack = False
        self._offering = contextlib.ExitStack()
        self._over = False
        self._held = False
        self._echo = False
        self._ours = False
        self._reason = ""
        self._rang: tuple[int, str] | None = None
        self.steering = Steering(wiring.bitrate)
        self._signalled_from: set[str] = set()
        self._on_reply: Callable[[int], None] | None = None
        self._presses = Presses()

    def listen(self, emit: Callable[[CallEvent], None], *, video: bool) -> None:
        """Say where events go, and whether this call has video; before anything else is done with it."""
        self._emit = emit
        self._video = video

    def offer_next(self, ask: Callable[[], None] = lambda: None) -> None:
        """Have the description that is made next, for what `ask` does, name what an offer of ours names.

        With STUN, ICE or a relay it is made later than it is asked for: once the addresses are known.
        """
        self._offering.enter_context(codecs.offering(self._wiring.endpoint))
        try:
            ask()
        except pj.Error:
            self._offering.close()
            raise

    def expect_prack(self) -> None:
        """Say that the INVITE has `Require: 100rel` (RFC 3262); before its first answer.

        If it has no offer, ours goes with the first response then, and the answer comes in PRACK. Where a peer could do
        that but does not insist, the offer goes with the 200: it costs no time, as media is sent from the 200 on either
        way, and there are many, PJSIP's own callers among them, that acknowledge such an offer without answering it.
        """
        self._offers_early = not self.getInfo().remOfferer

    def param(self, code: int = 0, reason: str = "") -> pj.CallOpParam:
        """Parameters for any operation, always with the media that we want.

        An answer without them falls back to the library's, which has text (RFC 4103) in it, and an offer that goes
        with the answer to an INVITE without SDP is fixed by the first answer, 180 included.
        """
        param = pj.CallOpParam(True)
        param.statusCode = code
        param.reason = reason
        param.opt.audioCount = 1
        param.opt.videoCount = 1 if self._video else 0
        param.opt.textCount = 0
        return param

    def respond(self, code: int) -> None:
        """Answer the INVITE, provisionally or for good."""
        if code == _OK and self._offers_early and not self._pracked:
            # PJSIP would keep the 200 until PRACK comes, but with the offer in it, whether that is answered or not.
            self._answer_at_prack = True
            if self._offered:
                return
            code = _RINGING
        if code == _RINGING and self._offers_early:
            # The first reliable response has to have the offer (RFC 3261 section 13.2.1); PJSIP puts none into a 180.
            code, self._offered = _SESSION_PROGRESS, True
        if self.getInfo().remOfferer:
            self.answer(self.param(code))
            return
        self.offer_next(lambda: self.answer(self.param(code)))

    def _answer_now(self) -> None:
        if self.isActive():
            self.respond(_OK)

    def end(self, code: int, reason: str) -> None:
        """Refuse, cancel or hang up, whichever fits. The peer reads why in Reason (RFC 3326)."""
        if self._over or not self.isActive():
            return
        self._ours, self._reason = True, reason
        param = self.param(code, reason)
        if self.getInfo().state in (pj.PJSIP_INV_STATE_CONNECTING, pj.PJSIP_INV_STATE_CONFIRMED):
            # A BYE. PJSIP would add a Reason of its own, with the text's quotes in it as they are.
            param.reason = ""
        if code and not param.reason:
            header = pj.SipHeader()
            text = reason.replace("\\", "").replace('"', "'")
            header.hName, header.hValue = "Reason", f'SIP;cause={code};text="{text}"'
            param.txOption.headers.append(header)
        self.hangup(param)

    def abandon(self) -> None:
        """End the call from within a callback, as soon as that is over."""
        self._wiring.thread.post(lambda: self.end(_SERVER_ERROR, "Gateway error"))

    def start_echo(self) -> None:
        """Send the peer back what it sends: its sound from now on, its picture instead of the screen."""
        self._echo = True
        self._connect()

    def feedback(self) -> native.Feedback | None:
        """What RTCP says of the picture."""
        return native.feedback(self.getId())

    def offer_video(self, on_reply: Callable[[int], None], *, video: bool) -> None:
        """Add the picture to a call that is up, or take it out, by re-INVITE.

        Args:
            on_reply: called once, with the status of the final response.
            video: whether the call is to have a picture.
        """
        self._video = video
        self.offer_next(lambda: self.reinvite(self.param()))
        self._on_reply = on_reply

    def send_keyframe(self) -> None:
        """Send a whole picture next. PJSIP grants two a second; more are left out without a word."""
        for media in self._active(pj.PJMEDIA_TYPE_VIDEO):
            if media.dir & pj.PJMEDIA_DIR_ENCODING:
                self._operate(pj.PJSUA_CALL_VID_STRM_SEND_KEYFRAME, media.index)

    def request_keyframe(self) -> None:
        """Ask the peer for a whole picture by INFO (RFC 5168); PJMEDIA itself asks by RTCP when it misses one."""
        param = pj.CallSendRequestParam()
        param.method = "INFO"
        param.txOption.contentType = "application/media_control+xml"
        param.txOption.msgBody = message.PICTURE_FAST_UPDATE
        self.sendRequest(param)

    def steer(self, now: float) -> None:
        """Fit what is sent to what the peer reports of it; once a second, `now` in seconds of any steady clock."""
        if not self._up or self._over:
            return
        sent = [self.getStreamStat(media.index).rtcp.txStat for media in self._active(pj.PJMEDIA_TYPE_AUDIO)[:1]]
        sound = SentSound(sent[0].pkt, sent[0].loss) if sent else None
        if self.steering.step(self.getId(), sound, now):
            self.send_keyframe()

    def send_dtmf(self, digits: str) -> None:
        """Press keys, by RFC 4733 where the peer can, else by INFO."""
        param = pj.CallSendDtmfParam()
        param.digits = digits
        param.method = pj.PJSUA_DTMF_METHOD_RFC2833
        try:
            self.sendDtmf(param)
        except pj.Error:
            param.method = pj.PJSUA_DTMF_METHOD_SIP_INFO
            self.sendDtmf(param)

    def look_for_media(self) -> None:
        """End a call without any: our offer was not answered. PJSIP would wait for the answer for ever."""
        if not self._agreed:
            log.warning("offer_not_answered")
            self.end(_NOT_ACCEPTABLE_HERE, "No answer to our offer of media")
            return
        self._tell_strangers()

    def _tell_strangers(self) -> None:
        """Log it where all that came for a stream was dropped because of where it came from."""
        for media in (*self._active(pj.PJMEDIA_TYPE_AUDIO), *self._active(pj.PJMEDIA_TYPE_VIDEO)):
            count = sources.dropped(media_sockets(self.getId(), media.index)[0])
            if count and media.dir & pj.PJMEDIA_DIR_DECODING and not self.getStreamStat(media.index).rtcp.rxStat.pkt:
                allowed = sorted(map(str, self._media_from(media) or ()))
                log.warning("media_from_elsewhere", dropped=count, allowed=allowed, remedy=_LET_MEDIA_IN)

    # What PJSIP calls ----------------------------------------------------------------------------

    @guarded
    def onCallState(self, prm: pj.OnCallStateParam) -> None:  # noqa: N802  (PJSIP's name)
        """The INVITE dialog went on."""
        self._signalled_from |= _came_from(prm.e, self._wiring.dispatchers)
        info = self.getInfo()
        if info.state in (pj.PJSIP_INV_STATE_EARLY, pj.PJSIP_INV_STATE_CALLING):
            self._ringing(info)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self._up = True
            self._offering.close()
            self._emit(Answered())
            self._connect()
            self._tell_media()
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED and not self._over:
            self._over = True
            self._offering.close()
            by_peer = not self._ours and _is_of_peer(prm.e)
            reason = info.lastReason if by_peer else self._reason or info.lastReason
            certificate = self._wiring.endpoint.certificate_refused(info.lastReason)
            self._emit(Ended(info.lastStatusCode, reason, by_peer, answered=self._up, certificate=certificate))

    @guarded
    def onCallTsxState(self, prm: pj.OnCallTsxStateParam) -> None:  # noqa: N802
        """A transaction of the dialog went on; Trying shows here alone, and the answer to our re-INVITE."""
        self.is_heard = self.is_heard or bool(_came_from(prm.e, ()))
        transaction = prm.e.body.tsxState.tsx
        ours = transaction.role == pj.PJSIP_ROLE_UAC and transaction.method == "INVITE"
        if ours and transaction.statusCode >= _FINAL and self._on_reply is not None:
            on_reply, self._on_reply = self._on_reply, None
            on_reply(transaction.statusCode)
        if transaction.method == "PRACK" and transaction.role == pj.PJSIP_ROLE_UAS and not self._pracked:
            self._pracked = True
            if self._answer_at_prack:
                self._wiring.thread.post(self._answer_now)

    @guarded
    def onCallMediaState(self, _prm: pj.OnCallMediaStateParam) -> None:  # noqa: N802
        """An offer was answered, at first or in a re-INVITE: streams are new."""
        self._agreed = True
        self._connect()
        if self._up:
            self._tell_media()

    @guarded
    def onCallTxOffer(self, prm: pj.OnCallTxOfferParam) -> None:  # noqa: N802
        """A re-INVITE without an offer asks for one: of all that we can do (RFC 3261 14.2, RFC 6337 5.2.5)."""
        prm.opt.audioCount = prm.opt.videoCount = 1
        prm.opt.textCount = 0
        self.offer_next()

    @guarded
    def onCallSdpCreated(self, prm: pj.OnCallSdpCreatedParam) -> None:  # noqa: N802
        """An offer or answer of ours is about to go."""
        self._offering.close()
        offer = not prm.remSdp.wholeSdp
        # Taken where it is offered, but not worth its bytes in an offer of ours.
        text = prm.sdp.wholeSdp.replace("a=rtcp-mux\r\n", "") if offer else prm.sdp.wholeSdp
        prm.sdp.wholeSdp = slim.slimmed(text, one_key=offer and not self._wiring.encrypted_only)

    @guarded
    def onCallRxOffer(self, prm: pj.OnCallRxOfferParam) -> None:  # noqa: N802
        """re-INVITE or UPDATE with an offer: a picture that the peer adds is taken, though the call began without."""
        if _OFFERS_VIDEO.search(prm.offer.wholeSdp):
            self._video = True
            prm.opt.videoCount = 1

    @guarded
    def onDtmfDigit(self, prm: pj.OnDtmfDigitParam) -> None:  # noqa: N802
        """The peer pressed a key."""
        if self._presses.is_new(prm.digit, prm.method, time.monotonic()):
            self._emit(Dtmf(prm.digit))

    @guarded
    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:  # noqa: N802
        """REFER (RFC 3515): PJSIP would dial whatever the peer names, at our cost."""
        prm.statusCode = pj.PJSIP_SC_DECLINE
        if self._wiring.transfers is None:
            log.info("transfer_refused")
            return
        try:
            prm.newCall = leg = self._wiring.transfers.refer(self, prm.dstUri, self._emit)
        except GatewayError as error:
            log.warning("transfer_refused", error=error.key, detail=str(error))
            prm.statusCode = error.sip_code
            return
        prm.opt.audioCount, prm.opt.videoCount, prm.opt.textCount = 1, 1, 0
        leg.offer_next()
        prm.statusCode = pj.PJSIP_SC_ACCEPTED

    @guarded
    def onCallReplaceRequest(self, prm: pj.OnCallReplaceRequestParam) -> None:  # noqa: N802
        """INVITE with Replaces (RFC 3891): somebody wants to take over the call."""
        if self._wiring.transfers is None or not self._up:
            log.info("replacement_refused")
            prm.statusCode = pj.PJSIP_SC_DECLINE
            return
        prm.newCall = self._wiring.transfers.replace(self, prm.rdata.wholeMsg, self._emit)
        prm.opt.audioCount, prm.opt.videoCount, prm.opt.textCount = 1, 1, 0

    # The media -----------------------------------------------------------------------------------

    def _ringing(self, info: pj.CallInfo) -> None:
        now = (info.lastStatusCode, info.lastReason)
        if info.role == pj.PJSIP_ROLE_UAC and info.lastStatusCode > _TRYING and now != self._rang:
            self._rang = now
            self._emit(Ringing(*now))

    def _active(self, kind: int) -> list["_Media"]:
        info = self.getInfo()  # Held: its vectors die with it.
        return [
            _Media(media.index, media.dir, media.status, media.videoIncomingWindowId)
            for media in info.media
            if media.type == kind and media.status not in (pj.PJSUA_CALL_MEDIA_NONE, pj.PJSUA_CALL_MEDIA_ERROR)
        ]

    def _connect(self) -> None:
        for media in self._active(pj.PJMEDIA_TYPE_AUDIO)[:1]:
            self._keep_strangers_out(media)
            self._connect_audio(media)
        # Pictures go out once the call is up: a keyframe that comes before the peer is ready is lost on it.
        for media in self._active(pj.PJMEDIA_TYPE_VIDEO)[:1]:
            transport.mark_media(self._keep_strangers_out(media), self._wiring.dscp_video)
            if self._up and media.dir & pj.PJMEDIA_DIR_ENCODING:
                self._connect_video(media)
        # The peer's limits hold from the first picture on.
        with contextlib.suppress(pj.Error):
            self.steer(time.monotonic())

    def _keep_strangers_out(self, media: "_Media") -> tuple[int, ...]:
        """Returns the stream's own sockets."""
        fds, ice = media_sockets(self.getId(), media.index)
        allowed = self._media_from(media)
        if ice is Ice.IDLE:
            # It checks nothing for a peer that does not do its part.
            every = [self._media_from(one) or frozenset() for kind in _KINDS for one in self._active(kind)]
            several = allowed and allowed.union(self._wiring.relays, *every)
            sources.restrict(transport.sockets_between(*self._wiring.rtp_ports), several)
        elif ice is Ice.NONE:
            sources.restrict(fds, allowed)
        return fds

    def _media_from(self, media: "_Media") -> frozenset[sources.Network] | None:
        info = self.getStreamInfo(media.index)
        told = {_host(info.remoteRtpAddress), _host(info.remoteRtcpAddress)}
        return sources.networks(told | self._signalled_from, self._wiring.media_from)

    def _connect_audio(self, media: "_Media") -> None:
        if not self._up:
            return
        stream = self.getAudioMedia(media.index)
        if self._echo:
            stream.startTransmit(stream)
        if not self._wiring.sound:
            return
        devices = self._wiring.endpoint.audDevManager()
        if self._echo:
            devices.getCaptureDevMedia().stopTransmit(stream)
        else:
            devices.getCaptureDevMedia().startTransmit(stream)
        if media.status == pj.PJSUA_CALL_MEDIA_REMOTE_HOLD:
            # The peer's music on hold is not for the meeting.
            stream.stopTransmit(devices.getPlaybackDevMedia())
        else:
            stream.startTransmit(devices.getPlaybackDevMedia())

    def _connect_video(self, media: "_Media") -> None:
        self._operate(pj.PJSUA_CALL_VID_STRM_START_TRANSMIT, media.index)
        if self._echo and media.dir & pj.PJMEDIA_DIR_DECODING:
            encoder = self.getEncodingVideoMedia(media.index)
            # Two sources would share the picture.
            pj.VideoPreview(self._wiring.screen).getVideoMedia().stopTransmit(encoder)
            decoder = self.getDecodingVideoMedia(media.index)
            # Sinks of different rates would share the pictures: here the encoder gets all, nobody watches the camera.
            window = pj.VideoWindow(media.window)
            decoder.stopTransmit(window.getVideoMedia())
            decoder.startTransmit(encoder, pj.VideoMediaTransmitParam())

    def _operate(self, operation: int, index: int) -> None:
        param = pj.CallVidSetStreamParam()
        param.medIdx = index
        try:
            self.vidSetStream(operation, param)
        except pj.Error as error:
            if operation != pj.PJSUA_CALL_VID_STRM_SEND_KEYFRAME:
                raise
            log.debug("keyframe_not_sent", reason=error.reason)

    def _tell_media(self) -> None:
        audio = self._active(pj.PJMEDIA_TYPE_AUDIO)
        video = self._active(pj.PJMEDIA_TYPE_VIDEO)
        held = bool(audio) and all(media.status == pj.PJSUA_CALL_MEDIA_REMOTE_HOLD for media in audio)
        if held != self._held:
            self._held = held
            self._emit(Held() if held else Resumed())
        seen = any(media.dir & pj.PJMEDIA_DIR_DECODING for media in video)
        self._emit(MediaUp(any(media.dir for media in audio), any(media.dir for media in video), seen))


@dataclass(frozen=True)
class _Media:
    index: int
    dir: int
    status: int
    window: int


def _nowhere(_event: CallEvent) -> None:
    """Where events go before anybody listens."""


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _came_from(event: Any, dispatchers: tuple[sources.Network, ...]) -> set[str]:
    """Where the message of an event came from, if it is one that came."""
    if event.type == pj.PJSIP_EVENT_RX_MSG:
        rdata = event.body.rxMsg.rdata
    elif event.type == pj.PJSIP_EVENT_TSX_STATE and event.body.tsxState.type == pj.PJSIP_EVENT_RX_MSG:
        rdata = event.body.tsxState.src.rdata
    else:
        return set()
    source = _host(rdata.srcAddress).strip("[]")
    return {source, origin(rdata.wholeMsg, source, dispatchers)}


def _is_of_peer(event: Any) -> bool:
    """Whether a message of the peer's ended the call: no timer, not the network, no answer to a BYE of PJSIP's."""
    if event.type != pj.PJSIP_EVENT_TSX_STATE:
        return False
    state = event.body.tsxState
    if state.tsx.method == "BYE" and state.tsx.role == pj.PJSIP_ROLE_UAC:
        return False
    return state.type not in (pj.PJSIP_EVENT_TIMER, pj.PJSIP_EVENT_TRANSPORT_ERROR)
