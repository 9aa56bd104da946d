"""What the rooms below report, as the gateway's errors."""

from typing import get_args

import pytest

from browser.errors import (
    BrowserError,
    ChromeGone,
    ChromeNotStarted,
    JoinFailed,
    JoinKind,
    PageHung,
    PageLoadFailed,
)
from jibri_sip import errors
from jibri_sip.session.translate import from_browser, from_device
from virtual_devices.errors import DeviceError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PageLoadFailed("meet.example.org", "ERR_CERT_COMMON_NAME_INVALID"), errors.MeetingCertificateRefused),
        (PageLoadFailed("meet.example.org", "ERR_SSL_PROTOCOL_ERROR"), errors.MeetingCertificateRefused),
        (PageLoadFailed("meet.example.org", "ERR_NAME_NOT_RESOLVED"), errors.MeetingUnreachable),
        (PageLoadFailed("meet.example.org", "HTTP 502"), errors.MeetingUnreachable),
        (PageLoadFailed("meet.example.org", "HTTP 404"), errors.MeetingPageFailed),
        (PageLoadFailed("meet.example.org", "no meeting page there"), errors.MeetingPageFailed),
        (JoinFailed("password-required", "locked"), errors.RoomLocked),
        (JoinFailed("password-wrong", "locked"), errors.RoomPasswordWrong),
        (JoinFailed("lobby-denied", "no"), errors.LobbyDenied),
        (JoinFailed("lobby-timeout", "nobody"), errors.LobbyTimeout),
        (JoinFailed("authentication-required", "login"), errors.LoginRequired),
        (JoinFailed("room-invalid", "?"), errors.RoomInvalid),
        (JoinFailed("timeout", "late"), errors.JoinTimeout),
        (JoinFailed("kicked", "out"), errors.Kicked),
        (ChromeGone("dead"), errors.BrowserLost),
        (PageHung("hung"), errors.BrowserHung),
        (BrowserError("odd"), errors.InternalError),
    ],
)
def test_each_has_its_own(error: BrowserError, expected: type[errors.GatewayError]) -> None:
    """A failure of the page becomes the error that tells a SIP peer and an operator what it is."""
    assert type(from_browser(error)) is expected


@pytest.mark.parametrize("kind", get_args(JoinKind))
def test_no_join_kind_is_a_mistake_of_ours(kind: JoinKind) -> None:
    """Whatever a meeting refuses for, the gateway has a name for it that is not `internal-error`."""
    assert type(from_browser(JoinFailed(kind, "why"))) is not errors.InternalError


def test_remedies_are_kept() -> None:
    """What the room below says to do reaches the operator."""
    chrome = from_browser(ChromeNotStarted("chromium-missing", "chromium was not found", "install chromium"))
    device = from_device(DeviceError("audio", "pulseaudio is not installed", "install pulseaudio"))
    assert (chrome.remedy, device.remedy) == ("install chromium", "install pulseaudio")
    assert isinstance(chrome, errors.BoxError)
    assert isinstance(device, errors.BoxError)
