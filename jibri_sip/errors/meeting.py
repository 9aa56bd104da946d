"""What can go wrong with the meeting: its server, its room, the way in."""
# ruff: noqa: N818  (the name says what is wrong: PortInUse, RoomLocked; the module says that it is an error)

from jibri_sip.errors.base import GatewayError, Party


class MeetingUnreachable(GatewayError):
    """The meeting's page or its server does not answer."""

    key = "meeting-unreachable"
    summary = "The meeting server cannot be reached"
    remedy = "Check meeting.base_url, name resolution and the network; `curl` it from this machine."
    by = Party.MEETING
    sip_code = 502
    http_status = 502
    retryable = True


class MeetingCertificateRefused(GatewayError):
    """TLS to the meeting's server fails: wrong name, expired, unknown authority."""

    key = "meeting-certificate-refused"
    summary = "The meeting server's certificate is not valid"
    remedy = "Use the name that the certificate holds in meeting.base_url, or have the certificate mended."
    by = Party.MEETING
    sip_code = 502
    http_status = 502


class MeetingPageFailed(GatewayError):
    """The server answers, but not with a Jitsi Meet page that works."""

    key = "meeting-page-failed"
    summary = "The meeting page does not work"
    remedy = "Open meeting.base_url in a browser: it must be a Jitsi Meet deployment."
    by = Party.MEETING
    sip_code = 502
    http_status = 502
    retryable = True


class JoinFailed(GatewayError):
    """The meeting refused us for a reason that has no name here."""

    key = "join-failed"
    summary = "The meeting could not be joined"
    remedy = "See the log for what the meeting said."
    by = Party.MEETING
    sip_code = 502
    http_status = 502
    retryable = True


class JoinTimeout(GatewayError):
    """The meeting did not let us in within `limits.join_timeout_s`."""

    key = "join-timeout"
    summary = "The meeting could not be joined in time"
    remedy = "See whether the meeting server is overloaded, or raise limits.join_timeout_s."
    by = Party.MEETING
    sip_code = 504
    http_status = 504
    retryable = True


class RoomInvalid(GatewayError):
    """What was dialled cannot be the name of a room."""

    key = "room-invalid"
    summary = "This is not a room name"
    remedy = "Dial a name of up to 200 letters, digits, spaces, dots, hyphens and underscores."
    sip_code = 404
    http_status = 400


class RoomNotAllowed(GatewayError):
    """The room is not among those that may be entered."""

    key = "room-not-allowed"
    summary = "This room may not be entered"
    remedy = "Allow it by meeting.rooms."
    sip_code = 403
    http_status = 403


class RoomLocked(GatewayError):
    """The room asks for a password and we have none."""

    key = "room-locked"
    summary = "The room is locked by a password"
    remedy = "Give the password with the call, in the dial plan's rule, or in meeting.password_file."
    by = Party.MEETING
    sip_code = 403
    http_status = 403


class RoomPasswordWrong(GatewayError):
    """The room does not take our password."""

    key = "room-password-wrong"
    summary = "The room's password is wrong"
    remedy = "Give the password that the room has now."
    by = Party.MEETING
    sip_code = 403
    http_status = 403


class LoginRequired(GatewayError):
    """The deployment lets only people in who log in, or show a token."""

    key = "login-required"
    summary = "The meeting asks for a login"
    remedy = "Give a token by meeting.jwt_file, or an account by meeting.xmpp_login."
    by = Party.MEETING
    sip_code = 403
    http_status = 403


class LobbyDenied(GatewayError):
    """A moderator did not let us in."""

    key = "lobby-denied"
    summary = "A moderator refused entry"
    remedy = "Ask the moderator to let the room system in."
    by = Party.MEETING
    sip_code = 603
    http_status = 403


class LobbyTimeout(GatewayError):
    """Nobody let us in within `limits.lobby_timeout_s`."""

    key = "lobby-timeout"
    summary = "Nobody opened the lobby"
    remedy = "Ask a moderator to let the room system in, or raise limits.lobby_timeout_s."
    by = Party.MEETING
    sip_code = 480
    http_status = 504
    retryable = True


class MeetingLost(GatewayError):
    """The page lost the conference and did not get it back."""

    key = "meeting-lost"
    summary = "The connection to the meeting was lost"
    remedy = "See the meeting server's log and the network between."
    by = Party.MEETING
    sip_code = 502
    http_status = 502
    retryable = True


class IceFailed(GatewayError):
    """No media path to the meeting's bridge."""

    key = "ice-failed"
    summary = "No media path to the meeting"
    remedy = (
        "Let this machine reach the video bridge by UDP (port 10000 by default), or give the deployment a TURN server."
    )
    by = Party.MEETING
    sip_code = 502
    http_status = 502
    retryable = True
