"""What can go wrong with a call: who calls, who is called, and what becomes of the media."""
# ruff: noqa: N818  (the name says what is wrong: PortInUse, RoomLocked; the module says that it is an error)

from jibri_sip.errors.base import GatewayError, Party


class Busy(GatewayError):
    """The slot carries another call."""

    key = "busy"
    summary = "The gateway is busy with another call"
    remedy = "Use another instance, or try again when the call is over."
    sip_code = 486
    http_status = 409
    retryable = True


class CallerRefused(GatewayError):
    """A rule of the dial plan refuses this call."""

    key = "caller-refused"
    summary = "The dial plan refuses this call"
    remedy = "Look for the rule in dial_in.rules."
    sip_code = 403
    http_status = 403


class AddressUnknown(GatewayError):
    """A rule of the dial plan says that nothing is behind this address."""

    key = "address-unknown"
    summary = "Nothing is behind this address"
    remedy = "Look for the rule in dial_in.rules."
    sip_code = 404
    http_status = 404


class DialInOff(GatewayError):
    """Calls from outside are not taken at all."""

    key = "dial-in-off"
    summary = "Dialling in is switched off"
    remedy = 'Set dial_in.mode to "open".'
    sip_code = 403
    http_status = 403


class NotPrepared(GatewayError):
    """Calls are taken only when one was prepared, and none was."""

    key = "not-prepared"
    summary = "No call is expected"
    remedy = 'Prepare it through the API, or set dial_in.mode to "open".'
    sip_code = 480
    http_status = 409
    retryable = True


class DestinationInvalid(GatewayError):
    """What is to be called is not a SIP address that we would call."""

    key = "destination-invalid"
    summary = "This is not a SIP address that can be called"
    remedy = "Give `sip:user@host`, perhaps with `:port` and `;transport=tcp`."
    sip_code = 416
    http_status = 400


class DestinationNotAllowed(GatewayError):
    """No rule allows to call this address."""

    key = "destination-not-allowed"
    summary = "This address may not be called"
    remedy = 'Allow it by dial_out.allow, as in allow = ["*@rooms.example.com"].'
    sip_code = 403
    http_status = 403


class PeerBusy(GatewayError):
    """The called party is busy (486, 600)."""

    key = "peer-busy"
    summary = "The called party is busy"
    remedy = "Call again later."
    by = Party.PEER
    sip_code = 486
    http_status = 409
    retryable = True


class PeerDeclined(GatewayError):
    """The called party does not want the call (403, 603)."""

    key = "peer-declined"
    summary = "The called party declined"
    remedy = "Ask the called party, or look at the far system's rules."
    by = Party.PEER
    sip_code = 603
    http_status = 403


class PeerNotFound(GatewayError):
    """Nobody is known by this address (404, 410, 484, 604)."""

    key = "peer-not-found"
    summary = "The called party is not known"
    remedy = "Check the address."
    by = Party.PEER
    sip_code = 404
    http_status = 404


class PeerUnreachable(GatewayError):
    """Nothing answers there, or nobody is there now (408, 480, 503, no route, no name)."""

    key = "peer-unreachable"
    summary = "The called party cannot be reached"
    remedy = "Check the address, the network and that the far system is on."
    by = Party.PEER
    sip_code = 480
    http_status = 504
    retryable = True


class PeerNoAnswer(GatewayError):
    """It rang, but nobody took the call within `limits.ring_timeout_s`."""

    key = "peer-no-answer"
    summary = "The called party did not answer"
    remedy = "Call again later, or raise limits.ring_timeout_s."
    by = Party.PEER
    sip_code = 480
    http_status = 504
    retryable = True


class PeerWantsLogin(GatewayError):
    """The far side asks us for credentials (401, 407)."""

    key = "peer-wants-login"
    summary = "The far side asks for a login"
    remedy = "Let the far side trust this gateway's address."
    by = Party.PEER
    sip_code = 403
    http_status = 502


class PeerCertificateRefused(GatewayError):
    """The TLS certificate of the server that was called is another's, out of date, or of an unknown authority."""

    key = "peer-certificate-refused"
    summary = "The far side's TLS certificate was refused"
    remedy = (
        "Call by the name that is in the certificate; have an expired one renewed; name the far side's authority in "
        "sip.tls.ca_file."
    )
    by = Party.PEER
    sip_code = 502
    http_status = 502


class MediaIncompatible(GatewayError):
    """The two sides have no codec or no transport in common (406, 415, 488, 606)."""

    key = "media-incompatible"
    summary = "No audio or video codec in common"
    remedy = "Allow Opus, G.722 or G.711, and H.264, at the far side; compare sip.srtp with what it wants."
    by = Party.PEER
    sip_code = 488
    http_status = 502


class PeerFailed(GatewayError):
    """The far side answered with an error that has no better name here."""

    key = "peer-failed"
    summary = "The far side failed"
    remedy = "See the far system's log."
    by = Party.PEER
    sip_code = 502
    http_status = 502
    retryable = True


class NoMedia(GatewayError):
    """Neither RTP nor RTCP, or nothing at all from a meeting where somebody speaks, for `limits.no_media_timeout_s`."""

    key = "no-media"
    summary = "No media arrives"
    remedy = (
        "Check sip.public_address, sip.rtp_port_first and the firewalls between; see whether the peer was switched off."
    )
    sip_code = 408
    http_status = 504
    retryable = True


class BrowserHung(GatewayError):
    """The page has not answered for `limits.browser_timeout_s`."""

    key = "browser-hung"
    summary = "The browser does not answer"
    remedy = "Look for too little CPU or memory on this machine."
    sip_code = 500
    retryable = True


class PictureFrozen(GatewayError):
    """The meeting's video moves, but the display does not, for `limits.frozen_timeout_s`."""

    key = "picture-frozen"
    summary = "The picture is frozen"
    remedy = "Look for too little CPU on this machine."
    sip_code = 500
    retryable = True


class Expired(GatewayError):
    """A single-use instance has had its session."""

    key = "expired"
    summary = "This instance was for a single session and has had it"
    remedy = "Start it anew, or set jibri.single_use = false."
    sip_code = 503
    http_status = 503
    retryable = True


class CallNotCome(GatewayError):
    """A call was awaited, and nobody called in time."""

    key = "call-not-come"
    summary = "The call that was awaited did not come"
    remedy = "See whether the provider routes calls to this instance, and how long it takes."
    sip_code = 480
    http_status = 504
    retryable = True


class RegistrationFailed(GatewayError):
    """The provider of the session's SIP account did not register us, so no call can come."""

    key = "registration-failed"
    summary = "The SIP account was not registered"
    remedy = "See user, password and proxy of the account, and whether the provider can be reached."
    sip_code = 480
    http_status = 502
    retryable = True


class ControlLost(GatewayError):
    """The XMPP connection over which the session was ordered is gone; jicofo starts a new session elsewhere."""

    key = "control-lost"
    summary = "The connection to who ordered the session was lost"
    remedy = "See whether the XMPP server runs and can be reached."
    sip_code = 503
    http_status = 503
    retryable = True


class SessionUnknown(GatewayError):
    """No session has this id, now or lately."""

    key = "session-unknown"
    summary = "There is no such session"
    remedy = "`jibri-sip status` tells the present one."
    sip_code = 481
    http_status = 404


_BY_RESPONSE: dict[int, type[GatewayError]] = {
    400: PeerFailed, 401: PeerWantsLogin, 403: PeerDeclined, 404: PeerNotFound, 406: MediaIncompatible,
    407: PeerWantsLogin, 408: PeerUnreachable, 410: PeerNotFound, 415: MediaIncompatible, 416: PeerNotFound,
    480: PeerUnreachable, 484: PeerNotFound, 486: PeerBusy, 487: PeerNoAnswer, 488: MediaIncompatible,
    502: PeerUnreachable, 503: PeerUnreachable, 504: PeerUnreachable, 600: PeerBusy, 603: PeerDeclined,
    604: PeerNotFound, 606: MediaIncompatible,
}  # fmt: skip


def from_sip_response(code: int, reason: str) -> GatewayError:
    """The error that the far side's final response (RFC 3261 section 21) to our INVITE means."""
    return _BY_RESPONSE.get(code, PeerFailed)(f"{code} {reason}".strip())
