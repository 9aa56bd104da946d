"""What a request gets that wants no call, or cannot have one: said at the door, before a session is begun for it."""

import re
from collections.abc import Callable

from jibri_sip.sip.guard import PASS, Verdict
from jibri_sip.sip.message import method_of

MIN_SESSION_EXPIRES_S = 90
"""Shortest interval of session timers (RFC 4028 section 5), seconds."""
_SESSION_EXPIRES = re.compile(r"(?im)^(?:session-expires|x)[ \t]*:[ \t]*(\d{1,10})")
_OK = 200
_TOO_SHORT = Verdict(422, (("Min-SE", str(MIN_SESSION_EXPIRES_S)),))


class Reception:
    """Stands behind the guard.

    Args:
        guard: says first whether the request comes in at all.
        busy_code: the answer to OPTIONS while no call would be taken: 503, 486, or 200 for no difference.

    Attributes:
        free: whether a call would be taken now; set by any thread.
    """

    def __init__(self, guard: Callable[[str, str], Verdict], busy_code: int) -> None:
        self.free = True
        self._guard = guard
        self._busy_code = busy_code

    def judge(self, address: str, text: str) -> Verdict:
        """What becomes of this request.

        Args:
            address: where it came from, without port.
            text: the whole message.
        """
        verdict = self._guard(address, text)
        if verdict != PASS:
            return verdict
        method = method_of(text)
        if method == "OPTIONS" and not self.free and self._busy_code != _OK:
            # Dispatchers ping with it, and send calls elsewhere then; the door adds Retry-After.
            return Verdict(self._busy_code)
        if method == "INVITE" and _interval_is_too_short(text):
            # PJSIP would say so too, but only once the gateway has taken the call, and is busy when it is made again.
            return _TOO_SHORT
        return PASS


def _interval_is_too_short(text: str) -> bool:
    match = _SESSION_EXPIRES.search(text.split("\r\n\r\n", 1)[0])
    return match is not None and int(match[1]) < MIN_SESSION_EXPIRES_S
