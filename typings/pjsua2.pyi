# What this project uses of pjsua2 (pjproject 2.17), as SWIG makes it. Vectors die with the object they came from.
# ruff: noqa: N801, N802, N815  (the names are PJSIP's)

from collections.abc import Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")

PJMEDIA_DIR_ENCODING: int
PJMEDIA_DIR_DECODING: int
PJMEDIA_SRTP_DISABLED: int
PJMEDIA_SRTP_KEYING_DTLS_SRTP: int
PJMEDIA_SRTP_KEYING_SDES: int
PJMEDIA_SRTP_MANDATORY: int
PJMEDIA_SRTP_OPTIONAL: int
PJMEDIA_TYPE_AUDIO: int
PJMEDIA_TYPE_VIDEO: int
PJMEDIA_VID_STREAM_RC_SIMPLE_BLOCKING: int
PJSIP_EVENT_RX_MSG: int
PJSIP_EVENT_TIMER: int
PJSIP_EVENT_TRANSPORT_ERROR: int
PJSIP_EVENT_TSX_STATE: int
PJSIP_INV_STATE_CALLING: int
PJSIP_INV_STATE_CONNECTING: int
PJSUA_100REL_OPTIONAL: int
PJSIP_INV_STATE_CONFIRMED: int
PJSIP_INV_STATE_DISCONNECTED: int
PJSIP_INV_STATE_EARLY: int
PJSIP_ROLE_UAC: int
PJSIP_ROLE_UAS: int
PJSIP_SC_ACCEPTED: int
PJSIP_SC_DECLINE: int
PJSIP_SC_NOT_ACCEPTABLE_HERE: int
PJSIP_SC_REQUEST_PENDING: int
PJSIP_SC_REQUEST_TIMEOUT: int
PJSIP_SC_SERVICE_UNAVAILABLE: int
PJSIP_TP_STATE_DISCONNECTED: int
PJSIP_TRANSPORT_IPV6: int
PJSIP_TRANSPORT_TCP: int
PJSIP_TRANSPORT_TLS: int
PJSIP_TRANSPORT_UDP: int
PJSUA_CALL_MEDIA_ACTIVE: int
PJSUA_CALL_MEDIA_ERROR: int
PJSUA_CALL_MEDIA_NONE: int
PJSUA_CALL_MEDIA_REMOTE_HOLD: int
PJSUA_CALL_NO_SDP_OFFER: int
PJSUA_CALL_UNHOLD: int
PJSUA_CALL_VID_STRM_SEND_KEYFRAME: int
PJSUA_CALL_VID_STRM_START_TRANSMIT: int
PJSUA_DESTROY_NO_NETWORK: int
PJSUA_DTMF_METHOD_RFC2833: int
PJSUA_DTMF_METHOD_SIP_INFO: int
PJSUA_IPV6_DISABLED: int
PJSUA_IPV6_ENABLED_USE_IPV6_ONLY: int
PJSUA_SIP_TIMER_OPTIONAL: int
PJ_LOG_HAS_SENDER: int
PJ_QOS_PARAM_HAS_DSCP: int
PJ_SSL_CERT_ECHAIN_TOO_LONG: int
PJ_SSL_CERT_EIDENTITY_NOT_MATCH: int
PJ_SSL_CERT_EISSUER_NOT_FOUND: int
PJ_SSL_CERT_EREVOKED: int
PJ_SSL_CERT_EUNTRUSTED: int
PJ_SSL_CERT_EVALIDITY_PERIOD: int
PJ_SSL_SOCK_PROTO_TLS1_2: int
PJ_SSL_SOCK_PROTO_TLS1_3: int
PJ_TURN_TP_TCP: int
PJ_TURN_TP_UDP: int

class Error(Exception):
    status: int
    reason: str

class _Vector(Generic[_T]):
    def __init__(self) -> None: ...
    def __iter__(self) -> Iterator[_T]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> _T: ...
    def append(self, item: _T) -> None: ...

# Configuration

class pj_qos_params:
    flags: int
    dscp_val: int

class TlsConfig:
    certFile: str
    privKeyFile: str
    CaListFile: str
    verifyServer: bool
    msecTimeout: int
    proto: int

class TransportConfig:
    port: int
    portRange: int
    boundAddress: str
    publicAddress: str
    qosParams: pj_qos_params
    tlsConfig: TlsConfig

class TransportInfo:
    localName: str

class LogEntry:
    level: int
    msg: str

class LogWriter:
    def __init__(self) -> None: ...
    def __disown__(self) -> LogWriter: ...
    def write(self, entry: LogEntry) -> None: ...

class LogConfig:
    level: int
    consoleLevel: int
    msgLogging: int
    decor: int
    filename: str
    writer: LogWriter

class UaConfig:
    threadCnt: int
    mainThreadOnly: bool
    userAgent: str
    stunServer: StringVector

class MediaConfig:
    clockRate: int
    sndClockRate: int
    audioFramePtime: int
    sndUseSwClock: bool
    ecTailLen: int
    noVad: bool

class EpConfig:
    uaConfig: UaConfig
    logConfig: LogConfig
    medConfig: MediaConfig

class StringVector(_Vector[str]): ...
class IntVector(_Vector[int]): ...

class SslCertInfo:
    subjectCn: str

class TlsInfo:
    remoteAddr: str
    remoteCertInfo: SslCertInfo
    verifyStatus: int
    def isEmpty(self) -> bool: ...

class OnSelectAccountParam:
    rdata: SipRxData
    accountIndex: int

class OnTransportStateParam:
    type: str
    state: int
    tlsInfo: TlsInfo

class AuthCredInfo:
    def __init__(self, scheme: str, realm: str, username: str, data_type: int, data: str) -> None: ...

class AuthCredInfoVector(_Vector[AuthCredInfo]): ...

class AccountRegConfig:
    registrarUri: str
    timeoutSec: int
    retryIntervalSec: int
    firstRetryIntervalSec: int
    randomRetryIntervalSec: int

class AccountSipConfig:
    authCreds: AuthCredInfoVector
    proxies: StringVector
    contactForced: str

class AccountCallConfig:
    prackUse: int
    timerUse: int
    timerMinSESec: int
    timerSessExpiresSec: int

class AccountNatConfig:
    contactRewriteUse: int
    viaRewriteUse: bool
    sdpNatRewriteUse: bool
    udpKaIntervalSec: int
    iceEnabled: bool
    turnEnabled: bool
    turnServer: str
    turnConnType: int
    turnUserName: str
    turnPassword: str

class AccountVideoConfig:
    autoShowIncoming: bool
    autoTransmitOutgoing: bool
    defaultCaptureDevice: int
    defaultRenderDevice: int
    rateControlMethod: int
    rateControlBandwidth: int

class SrtpCrypto:
    name: str

class SrtpCryptoVector(_Vector[SrtpCrypto]): ...

class SrtpOpt:
    cryptos: SrtpCryptoVector
    keyings: IntVector

class AccountMediaConfig:
    ipv6Use: int
    transportConfig: TransportConfig
    rtcpMuxEnabled: bool
    srtpUse: int
    srtpSecureSignaling: int
    srtpOpt: SrtpOpt

class AccountConfig:
    idUri: str
    regConfig: AccountRegConfig
    sipConfig: AccountSipConfig
    callConfig: AccountCallConfig
    natConfig: AccountNatConfig
    videoConfig: AccountVideoConfig
    mediaConfig: AccountMediaConfig

# Codecs

class CodecInfo:
    codecId: str
    priority: int

class CodecFmtp:
    name: str
    val: str

class CodecFmtpVector(_Vector[CodecFmtp]): ...

class CodecParamSetting:
    decFmtp: CodecFmtpVector

class CodecOpusConfig:
    packet_loss: int

class CodecParam:
    setting: CodecParamSetting

class MediaFormatVideo:
    width: int
    height: int
    fpsNum: int
    fpsDenum: int
    avgBps: int
    maxBps: int

class VidCodecParam:
    encFmt: MediaFormatVideo
    encMtu: int
    decFmt: MediaFormatVideo
    decFmtp: CodecFmtpVector

# Devices and media

class AudioMedia:
    def startTransmit(self, sink: AudioMedia) -> None: ...
    def stopTransmit(self, sink: AudioMedia) -> None: ...

class VidConfPortInfo:
    format: MediaFormatVideo

class VideoMediaTransmitParam: ...

class VideoMedia:
    def getPortInfo(self) -> VidConfPortInfo: ...
    def startTransmit(self, sink: VideoMedia, param: VideoMediaTransmitParam) -> None: ...
    def stopTransmit(self, sink: VideoMedia) -> None: ...

class AudDevManager:
    def lookupDev(self, driver: str, name: str) -> int: ...
    def setCaptureDev(self, number: int) -> None: ...
    def setPlaybackDev(self, number: int) -> None: ...
    def setNullDev(self) -> None: ...
    def getCaptureDevMedia(self) -> AudioMedia: ...
    def getPlaybackDevMedia(self) -> AudioMedia: ...

class VidDevManager:
    def lookupDev(self, driver: str, name: str) -> int: ...

class VideoPreviewOpParam:
    rendId: int
    show: bool

class VideoPreview:
    def __init__(self, device: int) -> None: ...
    def start(self, param: VideoPreviewOpParam) -> None: ...
    def stop(self) -> None: ...
    def getVideoMedia(self) -> VideoMedia: ...

# Messages and events

class SipRxData:
    wholeMsg: str
    srcAddress: str

class SipHeader:
    hName: str
    hValue: str

class _Headers(_Vector[SipHeader]): ...

class SipTxOption:
    localUri: str
    headers: _Headers
    contentType: str
    msgBody: str

class TsxStateEventSrc:
    rdata: SipRxData

class SipTransaction:
    role: int
    method: str
    statusCode: int

class TsxStateEvent:
    type: int
    tsx: SipTransaction
    src: TsxStateEventSrc

class RxMsgEvent:
    rdata: SipRxData

class SipEventBody:
    tsxState: TsxStateEvent
    rxMsg: RxMsgEvent

class SipEvent:
    type: int
    body: SipEventBody

class OnIncomingCallParam:
    callId: int
    rdata: SipRxData

class SdpSession:
    wholeSdp: str

class OnCallRxOfferParam:
    offer: SdpSession
    opt: CallSetting

class OnCallTsxStateParam:
    e: SipEvent

class OnCallStateParam:
    e: SipEvent

class OnCallMediaStateParam: ...

class OnCallSdpCreatedParam:
    sdp: SdpSession
    remSdp: SdpSession

class OnCallTxOfferParam:
    opt: CallSetting

class OnDtmfDigitParam:
    method: int
    digit: str

class OnCallTransferRequestParam:
    dstUri: str
    statusCode: int
    opt: CallSetting
    newCall: Call

class OnCallReplaceRequestParam:
    rdata: SipRxData
    statusCode: int
    opt: CallSetting
    newCall: Call

# Calls

class CallSetting:
    flag: int
    audioCount: int
    videoCount: int
    textCount: int

class CallOpParam:
    opt: CallSetting
    statusCode: int
    reason: str
    txOption: SipTxOption
    def __init__(self, use_default_call_setting: bool = ...) -> None: ...

class CallSendRequestParam:
    method: str
    txOption: SipTxOption

class CallSendDtmfParam:
    digits: str
    method: int

class CallVidSetStreamParam:
    medIdx: int

class CallMediaInfo:
    index: int
    type: int
    dir: int
    status: int
    videoIncomingWindowId: int

class VideoWindow:
    def __init__(self, window: int) -> None: ...
    def getVideoMedia(self) -> VideoMedia: ...

class _MediaInfos(_Vector[CallMediaInfo]): ...

class CallInfo:
    state: int
    stateText: str
    role: int
    lastStatusCode: int
    lastReason: str
    callIdString: str
    remoteUri: str
    remOfferer: bool
    remVideoCount: int
    media: _MediaInfos

class MathStat:
    n: int
    last: int
    mean: int

class RtcpStreamStat:
    pkt: int
    bytes: int
    loss: int
    jitterUsec: MathStat

class RtcpStat:
    rxStat: RtcpStreamStat
    txStat: RtcpStreamStat
    rttUsec: MathStat

class JbufState:
    avgDelayMsec: int

class StreamStat:
    rtcp: RtcpStat
    jbuf: JbufState

class StreamInfo:
    remoteRtpAddress: str
    remoteRtcpAddress: str
    codecName: str
    codecClockRate: int
    dir: int
    vidCodecParam: VidCodecParam

class Call:
    def __init__(self, account: Account, call_id: int = ...) -> None: ...
    def isActive(self) -> bool: ...
    def hasMedia(self) -> bool: ...
    def getInfo(self) -> CallInfo: ...
    def getAudioMedia(self, index: int) -> AudioMedia: ...
    def getDecodingVideoMedia(self, index: int) -> VideoMedia: ...
    def getEncodingVideoMedia(self, index: int) -> VideoMedia: ...
    def getStreamInfo(self, index: int) -> StreamInfo: ...
    def getStreamStat(self, index: int) -> StreamStat: ...
    def getId(self) -> int: ...
    def makeCall(self, uri: str, param: CallOpParam) -> None: ...
    def answer(self, param: CallOpParam) -> None: ...
    def hangup(self, param: CallOpParam) -> None: ...
    def setHold(self, param: CallOpParam) -> None: ...
    def reinvite(self, param: CallOpParam) -> None: ...
    def xfer(self, uri: str, param: CallOpParam) -> None: ...
    def xferReplaces(self, other: Call, param: CallOpParam) -> None: ...
    def vidSetStream(self, operation: int, param: CallVidSetStreamParam) -> None: ...
    def sendRequest(self, param: CallSendRequestParam) -> None: ...
    def sendDtmf(self, param: CallSendDtmfParam) -> None: ...
    def onCallState(self, prm: OnCallStateParam) -> None: ...
    def onCallMediaState(self, prm: OnCallMediaStateParam) -> None: ...
    def onCallTxOffer(self, prm: OnCallTxOfferParam) -> None: ...
    def onCallSdpCreated(self, prm: OnCallSdpCreatedParam) -> None: ...
    def onCallRxOffer(self, prm: OnCallRxOfferParam) -> None: ...
    def onCallTsxState(self, prm: OnCallTsxStateParam) -> None: ...
    def onDtmfDigit(self, prm: OnDtmfDigitParam) -> None: ...
    def onCallTransferRequest(self, prm: OnCallTransferRequestParam) -> None: ...
    def onCallReplaceRequest(self, prm: OnCallReplaceRequestParam) -> None: ...

class OnRegStateParam:
    status: int
    code: int
    reason: str
    expiration: int

class AccountInfo:
    uri: str

class Account:
    def __init__(self) -> None: ...
    def create(self, config: AccountConfig) -> None: ...
    def modify(self, config: AccountConfig) -> None: ...
    def setRegistration(self, renew: bool) -> None: ...
    def getId(self) -> int: ...
    def getInfo(self) -> AccountInfo: ...
    def setDefault(self) -> None: ...
    def shutdown(self) -> None: ...
    def onIncomingCall(self, prm: OnIncomingCallParam) -> None: ...
    def onRegState(self, prm: OnRegStateParam) -> None: ...

class Endpoint:
    def onSelectAccount(self, prm: OnSelectAccountParam) -> None: ...
    def onTransportState(self, prm: OnTransportStateParam) -> None: ...
    def libCreate(self) -> None: ...
    def libInit(self, config: EpConfig) -> None: ...
    def libStart(self) -> None: ...
    def libDestroy(self, flags: int = ...) -> None: ...
    def libHandleEvents(self, timeout_ms: int) -> int: ...
    def transportCreate(self, kind: int, config: TransportConfig) -> int: ...
    def transportGetInfo(self, transport: int) -> TransportInfo: ...
    def codecEnum2(self) -> list[CodecInfo]: ...
    def codecSetPriority(self, codec: str, priority: int) -> None: ...
    def videoCodecEnum2(self) -> list[CodecInfo]: ...
    def videoCodecSetPriority(self, codec: str, priority: int) -> None: ...
    def getVideoCodecParam(self, codec: str) -> VidCodecParam: ...
    def setVideoCodecParam(self, codec: str, param: VidCodecParam) -> None: ...
    def codecGetParam(self, codec: str) -> CodecParam: ...
    def codecSetParam(self, codec: str, param: CodecParam) -> None: ...
    def getCodecOpusConfig(self) -> CodecOpusConfig: ...
    def setCodecOpusConfig(self, config: CodecOpusConfig) -> None: ...
    def audDevManager(self) -> AudDevManager: ...
    def vidDevManager(self) -> VidDevManager: ...
    def utilVerifySipUri(self, uri: str) -> int: ...
