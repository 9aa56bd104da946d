"""What the doctor found."""

from dataclasses import dataclass
from enum import StrEnum

from jibri_sip.config.model import Settings
from jibri_sip.session.facts import StatusFacts


class Standing(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Calls work, but not all of it, or not for long."""
    WRONG = "wrong"
    """Calls do not work, or not to this deployment."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: which check looked.
        standing: how bad it is.
        message: what was found; a sentence without a full stop.
        remedy: what to do about it; empty where nothing is to be done.
    """

    check: str
    standing: Standing
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Patient:
    """What is examined.

    Attributes:
        settings: of the gateway.
        running: how a gateway with these settings stands that runs now; None where none does. What it holds (ports,
            devices, a browser) is not to be tried a second time.
        start: whether programs may be started to see that they work; never beside a running gateway, nor as root.
    """

    settings: Settings
    running: StatusFacts | None
    start: bool


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, Standing.OK, message)


def warning(check: str, message: str, remedy: str) -> Finding:
    """Something will be missed."""
    return Finding(check, Standing.WARNING, message, remedy)


def wrong(check: str, message: str, remedy: str) -> Finding:
    """Calls will not work."""
    return Finding(check, Standing.WRONG, message, remedy)
