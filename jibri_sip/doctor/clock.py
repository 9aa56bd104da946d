"""The clock: tokens and certificates are judged by it."""

import ctypes
import email.utils

from jibri_sip.clock import utc_now
from jibri_sip.doctor import reach
from jibri_sip.doctor.finding import Finding, Patient, ok, warning, wrong

_CHECK = "clock"
SLIGHT_S = 10
GRAVE_S = 60
"""Tokens of a meeting are often valid for a minute only."""
_TIME_ERROR = 5
_TIMEX_BYTES = 512
_REMEDY = "Install a time service (systemd-timesyncd, chrony) and see that it reaches its servers."


async def examine(patient: Patient) -> list[Finding]:
    """Within seconds of the deployment's, and kept so."""
    url = patient.settings.meeting.base_url
    answer = await reach.answered(url)
    if isinstance(answer, reach.Barrier) or "Date" not in answer.headers:
        return [_kept("cannot be compared with the deployment's")]
    try:
        theirs = email.utils.parsedate_to_datetime(answer.headers["Date"])
    except ValueError:
        return [_kept("cannot be compared with the deployment's")]
    seconds = round((utc_now() - theirs).total_seconds())
    difference = f"{abs(seconds)} s {'before' if seconds > 0 else 'behind'} that of {url}"
    if abs(seconds) > GRAVE_S:
        return [wrong(_CHECK, difference, _REMEDY)]
    if abs(seconds) > SLIGHT_S:
        return [warning(_CHECK, difference, _REMEDY)]
    return [_kept(f"within {SLIGHT_S} s of the deployment's")]


def _kept(message: str) -> Finding:
    if synchronised():
        return ok(_CHECK, f"{message}, kept right by a time service")
    return warning(_CHECK, f"{message}, but no time service keeps it right", _REMEDY)


def synchronised() -> bool:
    """Whether the kernel knows of a service that keeps the clock right (adjtimex(2))."""
    libc = ctypes.CDLL(None)
    only_asked = ctypes.create_string_buffer(_TIMEX_BYTES)
    state: int = libc.adjtimex(only_asked)
    return 0 <= state < _TIME_ERROR
