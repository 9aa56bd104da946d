"""Accounts: how calls are set up and what their media looks like; they take the calls that come in.

One account is always there, for whoever calls this machine's address. A session that was ordered with an account at a
SIP provider has one of its own for as long as it lasts.
"""

from collections.abc import Callable

import pjsua2 as pj
import structlog

from jibri_sip.config.network import NetworkSettings
from jibri_sip.dial_plan import SipAccount
from jibri_sip.sip import message
from jibri_sip.sip.addresses import EVERY_ADDRESS, told_address, with_port
from jibri_sip.sip.reception import MIN_SESSION_EXPIRES_S
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
_PACED_BPS = 20_000_000
"""Rate at which the packets of one frame leave. PJMEDIA's default, three times the average, would hold a keyframe, and
the decoder with it, for 70 ms."""
_REGISTERED_S = 300
"""Validity of a registration. Short: should we die, the provider shall not send calls here for long."""
_AFTER_A_BLIP_S = 2
_LONGEST_PAUSE_S = 300
_RETRIED = frozenset({408, 480, 500, 502, 503, 504})
"""What PJSIP itself tries again after, as it does after 6xx; for the rest it gives up (pjsua_acc.c)."""
_GLOBAL = 600
_STUN_PORT = 3478


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
    config.callConfig.timerMinSESec = MIN_SESSION_EXPIRES_S
    config.callConfig.timerSessExpiresSec = settings.session_expires_s
    config.natConfig.contactRewriteUse = 0
    config.natConfig.viaRewriteUse = False
    config.natConfig.sdpNatRewriteUse = False
    _configure_nat(config.natConfig, settings.network)
    _configure_video(config.videoConfig, screen, camera)
    _configure_media(config.mediaConfig, settings)
    return config


def provider_config(
    settings: SipSettings, identity: str, login: SipAccount, screen: int, camera: int
) -> pj.AccountConfig:
    """The configuration of a session's own account, which registers at the provider if it has a password.

    Args:
        settings: the endpoint's.
        identity: From where the account has no user.
        login: the account.
        screen: number of the capture device.
        camera: number of the render device.

    Raises:
        ValueError: user, contact or proxy is no SIP address.
    """
    config = account_config(settings, f"<sip:{login.user}>" if login.user else identity, screen, camera)
    if login.password is not None:
        _configure_registration(config, login, login.password.get_secret_value())
    if login.proxy:
        message.SipUri.parse(login.proxy)
        proxies = pj.StringVector()
        proxies.append(login.proxy)
        config.sipConfig.proxies = proxies
    if login.contact:
        message.check_header("Contact", login.contact)
        message.SipUri.parse(message.split_address(login.contact)[1])
        config.sipConfig.contactForced = login.contact
    # The registrar sees which address we come from (RFC 3581); behind a router it is the one to be called at.
    config.natConfig.contactRewriteUse = int(not login.contact and not settings.public_address)
    return config


def _configure_registration(config: pj.AccountConfig, login: SipAccount, password: str) -> None:
    """RFC 3261 section 10."""
    own = message.SipUri.parse(f"sip:{login.user}")
    if not own.user:
        raise ValueError("the account has no user part")
    registrar = login.registrar or f"sip:{login.user.rpartition('@')[2]}"
    message.SipUri.parse(registrar)
    config.regConfig.registrarUri = registrar
    config.regConfig.timeoutSec = _REGISTERED_S
    _pause(config, _AFTER_A_BLIP_S)
    credentials = pj.AuthCredInfoVector()
    credentials.append(pj.AuthCredInfo("digest", "*", login.login or own.user, 0, password))
    config.sipConfig.authCreds = credentials


def _pause(config: pj.AccountConfig, seconds: int) -> None:
    """Say when PJSIP tries again: after a failure that may pass, and after the loss of its connection."""
    config.regConfig.firstRetryIntervalSec = config.regConfig.retryIntervalSec = seconds
    # A registrar that comes back is not to be met by all its accounts at once.
    config.regConfig.randomRetryIntervalSec = seconds // 2


def _configure_video(config: pj.AccountVideoConfig, screen: int, camera: int) -> None:
    config.defaultCaptureDevice = screen
    config.defaultRenderDevice = camera
    config.autoShowIncoming = True
    # We say when: after the answer.
    config.autoTransmitOutgoing = False
    config.rateControlMethod = pj.PJMEDIA_VID_STREAM_RC_SIMPLE_BLOCKING
    config.rateControlBandwidth = _PACED_BPS


def _configure_nat(config: pj.AccountNatConfig, network: NetworkSettings) -> None:
    # PJSIP takes up to a fifth off, in whole seconds: of one, all of it, and would send without a pause.
    config.udpKaIntervalSec = max(network.keep_alive_s, 2) if network.keep_alive_s else 0
    config.iceEnabled = network.ice
    if network.turn.server is not None:
        config.turnEnabled = True
        config.turnServer = with_port(network.turn.server, _STUN_PORT)
        config.turnConnType = pj.PJ_TURN_TP_TCP if network.turn.transport == "tcp" else pj.PJ_TURN_TP_UDP
        config.turnUserName = network.turn.user
        config.turnPassword = network.turn.secret.get_secret_value()


def _configure_media(config: pj.AccountMediaConfig, settings: SipSettings) -> None:
    config.transportConfig.boundAddress = "" if settings.host in EVERY_ADDRESS else settings.host
    config.transportConfig.publicAddress = told_address(settings)
    # Else each offer asks DNS for this machine's name, to see what it has, and PJSIP stands still until DNS answers.
    six = ":" in settings.host
    config.ipv6Use = pj.PJSUA_IPV6_ENABLED_USE_IPV6_ONLY if six else pj.PJSUA_IPV6_DISABLED
    config.transportConfig.port = settings.rtp_port_first
    config.transportConfig.portRange = max(settings.rtp_port_last - settings.rtp_port_first - 1, 0)
    config.transportConfig.qosParams = dscp(settings.dscp_audio)
    # Where the peer wants it too (RFC 5761); else RTCP has its own port.
    config.rtcpMuxEnabled = True
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
    """Hands incoming calls over. `on_invite` runs on the PJSIP thread and must keep a reference to the call.

    Attributes:
        uri: the account's address, for From.
        on_registered: told the outcome of each registration, on the PJSIP thread: the response's code and reason.
    """

    def __init__(
        self, uri: str, on_invite: Callable[["Account", int, pj.SipRxData], None], config: pj.AccountConfig
    ) -> None:
        super().__init__()
        self._config = config
        self.uri = uri
        self.on_registered: Callable[[int, str], None] = _unheard
        self._on_invite = on_invite

    def register_later(self, failures: int) -> float:
        """Have a registration that failed tried again; from within `on_registered`.

        Args:
            failures: how many there were in a row.

        Returns:
            After how many seconds, about. Where PJSIP has given up, `register` is for the caller to call then.
        """
        pause = min(_AFTER_A_BLIP_S << min(failures - 1, 16), _LONGEST_PAUSE_S)
        _pause(self._config, pause)
        self.modify(self._config)
        return pause

    def move(self, address: str) -> None:
        """Have media of our calls at another IP address."""
        self._config.mediaConfig.transportConfig.publicAddress = address
        self.modify(self._config)

    @staticmethod
    def is_given_up(code: int) -> bool:
        """Whether PJSIP registers no more after this answer unless it is told to."""
        return code not in _RETRIED and code < _GLOBAL

    def onRegState(self, prm: pj.OnRegStateParam) -> None:  # noqa: N802
        """The registrar answered, or did not."""
        try:
            log.debug("sip_registration", account=self.uri, code=prm.code, reason=prm.reason, expires_s=prm.expiration)
            self.on_registered(prm.code, prm.reason)
        except Exception:
            log.exception("registration_callback_failed")

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:  # noqa: N802  (PJSIP's name)
        """INVITE; PJSIP has answered 100."""
        try:
            self._on_invite(self, prm.callId, prm.rdata)
        except Exception:
            # Without a reference to it the call is refused by its destructor.
            log.exception("incoming_call_failed")


def _unheard(_code: int, _reason: str) -> None:
    """Where outcomes go that nobody asked for."""
