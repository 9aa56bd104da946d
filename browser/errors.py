"""What can go wrong with Chrome and with the page in it.

Each error has a `kind`, a stable key that policy may look at, and a message for people. None of them
holds a secret or a whole URL.
"""

from typing import Literal, get_args

StartKind = Literal[
    "root",
    "chromium-missing",
    "chromedriver-missing",
    "setpriv-missing",
    "version-mismatch",
    "sandbox-missing",
    "display-missing",
    "start-failed",
]
JoinKind = Literal[
    "aborted",
    "authentication-required",
    "connection",
    "ended",
    "kicked",
    "left",
    "lobby-denied",
    "lobby-timeout",
    "name-required",
    "not-allowed",
    "password-required",
    "password-wrong",
    "room-full",
    "room-invalid",
    "timeout",
]
JOIN_KINDS: frozenset[str] = frozenset(get_args(JoinKind))


class BrowserError(Exception):
    """Anything that Chrome or its page fails in."""

    kind: str = "browser"


class ChromeNotStarted(BrowserError):  # noqa: N818  # what happened is the name
    """Chrome could not be started; `problem` is why, `remedy` says what to do about it."""

    def __init__(self, kind: StartKind, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.kind = kind
        self.problem = message
        self.remedy = remedy


class ChromeGone(BrowserError):  # noqa: N818  # what happened is the name
    """Chrome, chromedriver or the page's process is dead; a new Chrome is needed."""

    kind = "chrome-gone"


class PageHung(BrowserError):  # noqa: N818  # what happened is the name
    """The page or Chrome does not answer in time; it may live, but cannot be relied on."""

    kind = "page-hung"


class PageLoadFailed(BrowserError):  # noqa: N818  # what happened is the name
    """The meeting's page did not load.

    Attributes:
        host: The host that was asked, without the rest of the URL.
        reason: Chrome's `ERR_…` code, `HTTP <status>`, or what was wrong with the page.
    """

    kind = "page-load-failed"

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"the meeting page of {host} did not load: {reason}")
        self.host = host
        self.reason = reason


class JoinFailed(BrowserError):  # noqa: N818  # what happened is the name
    """The page loaded, but the room was not entered."""

    def __init__(self, kind: JoinKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
