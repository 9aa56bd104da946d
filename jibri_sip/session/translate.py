"""What an error of the browser or of the devices means to a session: the rooms below know nothing of ours."""

from browser.errors import BrowserError, ChromeGone, ChromeNotStarted, JoinFailed, PageHung, PageLoadFailed
from jibri_sip import errors
from virtual_devices.errors import DeviceError

_JOIN: dict[str, type[errors.GatewayError]] = {
    "authentication-required": errors.LoginRequired,
    "connection": errors.MeetingUnreachable,
    "ended": errors.MeetingEnded,
    "kicked": errors.Kicked,
    "left": errors.MeetingLost,
    "lobby-denied": errors.LobbyDenied,
    "lobby-timeout": errors.LobbyTimeout,
    "not-allowed": errors.LoginRequired,
    "password-required": errors.RoomLocked,
    "password-wrong": errors.RoomPasswordWrong,
    "room-invalid": errors.RoomInvalid,
    "timeout": errors.JoinTimeout,
}


def from_browser(error: BrowserError) -> errors.GatewayError:
    """The gateway's error for one of the browser."""
    match error:
        case JoinFailed():
            found: errors.GatewayError = _JOIN.get(error.kind, errors.JoinFailed)(str(error))
        case PageLoadFailed():
            found = _page_error(error.reason)(str(error))
        case ChromeGone():
            found = errors.BrowserLost(str(error))
        case PageHung():
            found = errors.BrowserHung(str(error))
        case ChromeNotStarted():
            found = errors.BrowserFailed(str(error), remedy=error.remedy)
        case _:
            found = errors.InternalError(str(error))
    return found


def _page_error(reason: str) -> type[errors.GatewayError]:
    if "CERT" in reason or "SSL" in reason:
        return errors.MeetingCertificateRefused
    if reason.startswith(("ERR_", "HTTP 5")):
        return errors.MeetingUnreachable
    return errors.MeetingPageFailed


def from_device(error: DeviceError) -> errors.GatewayError:
    """The gateway's error for a device that cannot be had."""
    return errors.DeviceFailed(str(error), remedy=error.remedy)
