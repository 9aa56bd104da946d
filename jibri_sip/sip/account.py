"""The account: how calls are set up and what their media looks like; takes the calls that come in."""

from collections.abc import Callable

import pjsua2 as pj
import structlog

from jibri_sip.sip.settings import SipSettings
from jibri_sip.sip.transport import dscp

log = structlog.get_logger(__name__)

_SRTP = {
    "off": pj.PJMEDIA_SRTP_DISABLED,
    "optional": pj.PJMEDIA_SRTP_OPTIONAL,
    "required": pj.PJMEDIA_SRTP_MANDATORY,
}
_SRTP_SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80")
"""What everybody has (RFC 4568 section 6.2), and the longer key (RFC 6188). Each costs 100 bytes in each offer."""
_MIN_SESSION_EXPIRES_S = 90
_PACED_BPS = 20_000_000
"""Rate at which the packets of one frame leave. PJMEDIA's default, three times the average, would hold a keyframe, and
the decoder with it, for 70 ms."""
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  (compared with, not bound to)


def account_config(settings: SipSettings, identity: str, screen: int, camera: int) -> pj.AccountConfig:
    """The configuration of the only account.

    Args:
        settings: the endpoint's.
        identity: From of our calls where they name no other, `sip:user@host`.
        screen: number of the capture device.
        camera: number of the render device.
    """
    config = pj.AccountConfig()
    config.idUri = identity
    config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
    config.callConfig.timerMinSESec = _MIN_SESSION_EXPIRES_S
    config.callConfig.timerSessExpiresSec = settings.session_expires_s
    config.natConfig.contactRewriteUse = 0
    config.natConfig.viaRewriteUse = False
    config.natConfig.sdpNatRewriteUse = False
    _configure_video(config.videoConfig, screen, camera)
    _configure_media(config.mediaConfig, settings)
    return config


def _configure_video(config: pj.AccountVideoConfig, screen: int, camera: int) -> None:
    config.defaultCaptureDevice = screen
    config.defaultRenderDevice = camera
    config.autoShowIncoming = True
    # We say when: after the answer.
    config.autoTransmitOutgoing = False
    config.rateControlMethod = pj.PJMEDIA_VID_STREAM_RC_SIMPLE_BLOCKING
    config.rateControlBandwidth = _PACED_BPS


def _configure_media(config: pj.AccountMediaConfig, settings: SipSettings) -> None:
    config.transportConfig.boundAddress = "" if settings.host in _EVERY_ADDRESS else settings.host
    config.transportConfig.publicAddress = settings.public_address or ""
    config.transportConfig.port = settings.rtp_port_first
    config.transportConfig.portRange = max(settings.rtp_port_last - settings.rtp_port_first - 1, 0)
    config.transportConfig.qosParams = dscp(settings.dscp_audio)
    config.srtpUse = _SRTP[settings.srtp]
    # Whether keys may travel in clear SDP is the operator's choice of transport.
    config.srtpSecureSignaling = 0
    cryptos = pj.SrtpCryptoVector()
    for name in _SRTP_SUITES:
        crypto = pj.SrtpCrypto()
        crypto.name = name
        cryptos.append(crypto)
    config.srtpOpt.cryptos = cryptos


class Account(pj.Account):
    """Hands incoming calls over. `on_invite` runs on the PJSIP thread and must keep a reference to the call."""

    def __init__(self, on_invite: Callable[["Account", int, str], None]) -> None:
        super().__init__()
        self._on_invite = on_invite

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:  # noqa: N802  (PJSIP's name)
        """INVITE; PJSIP has answered 100."""
        try:
            self._on_invite(self, prm.callId, prm.rdata.wholeMsg)
        except Exception:
            # Without a reference to it the call is refused by its destructor.
            log.exception("incoming_call_failed")
