"""How sessions end that end as they should."""

from jibri_sip.errors.base import CallEnded, Party


class PeerHungUp(CallEnded):
    """The SIP peer sent BYE."""

    key = "peer-hung-up"
    summary = "The peer hung up"
    by = Party.PEER


class Cancelled(CallEnded):
    """The caller gave up before the answer (CANCEL)."""

    key = "cancelled"
    summary = "The caller gave up"
    by = Party.PEER
    sip_code = 487


class Kicked(CallEnded):
    """A moderator removed us from the meeting."""

    key = "kicked"
    summary = "A moderator removed the room system"
    by = Party.MEETING
    sip_code = 603


class MeetingEnded(CallEnded):
    """The meeting was ended for all."""

    key = "meeting-ended"
    summary = "The meeting has ended"
    by = Party.MEETING


class AloneTooLong(CallEnded):
    """Nobody else was in the meeting for `limits.alone_timeout_s`."""

    key = "alone-too-long"
    summary = "Nobody else was in the meeting"


class AllMuted(CallEnded):
    """Everybody else in the meeting was muted for `limits.all_muted_timeout_s`."""

    key = "all-muted"
    summary = "Everybody else in the meeting was muted"


class MaxDuration(CallEnded):
    """The call was as long as `limits.max_duration_s` allows."""

    key = "max-duration"
    summary = "The call reached its maximum duration"


class OperatorHungUp(CallEnded):
    """Somebody ended the session through the API or the command."""

    key = "operator-hung-up"
    summary = "The operator ended the call"
    by = Party.OPERATOR


class ShuttingDown(CallEnded):
    """The gateway stops, and its call with it."""

    key = "shutting-down"
    summary = "The gateway is shutting down"
    by = Party.OPERATOR
    sip_code = 503
    http_status = 503
    retryable = True


class UsageTimeout(CallEnded):
    """The session was as long as the environment that ordered it allows (`usage_timeout_s`)."""

    key = "usage-timeout"
    summary = "The session reached the longest time that its orderer allows"


class OrdererStopped(CallEnded):
    """Who ordered the session ended it: jicofo, or the component sidecar."""

    key = "orderer-stopped"
    summary = "The session was ended by who ordered it"
    by = Party.OPERATOR
