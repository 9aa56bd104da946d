"""How our messages go out: small, and by TCP where they are too large for UDP (RFC 3261 section 18.1.1)."""

from importlib import import_module
from typing import Any

from jibri_sip.sip.door import DoorError

_NOT_OFFERED = ("SUBSCRIBE", "NOTIFY", "MESSAGE")
"""Methods that PJSIP would say it has, though their requests get nothing here."""
_OF_TRANSFERS = ("REFER", "replaces", "norefersub")


def speak_briefly(*, transfers: bool) -> None:
    """Write short names of header fields, and no word of what we do not do; on the PJSIP thread, after `libInit`.

    Args:
        transfers: whether we do what REFER and Replaces ask for.
    """
    native: Any = import_module("jibri_sip.sip.door._door")
    for name in _NOT_OFFERED if transfers else (*_NOT_OFFERED, *_OF_TRANSFERS):
        native.lib.door_withdraw(name.encode())
    native.lib.door_write_compact()


def limit_connections(listener: int, connect_s: float, answer_s: float, next_s: float) -> None:
    """Have requests go another way where nothing comes of a connection in time.

    Args:
        listener: PJSUA's number of the TCP transport.
        connect_s: time for a connection to come about, in seconds, for a request that goes by TCP for its size and
            falls back to UDP.
        answer_s: time for such a request to be answered by anything, in seconds from its beginning; on slow lines two
            round trips and 200 ms from the connection.
        next_s: time for a connection to come about where there is a next server to go to, in seconds.

    A peer that let one of the first two pass is not tried again by TCP for ten minutes.

    Raises:
        DoorError: there is no such transport.
    """
    native: Any = import_module("jibri_sip.sip.door._door")
    times = (round(seconds * 1000) for seconds in (connect_s, answer_s, next_s))
    status = native.lib.door_limit_connections(listener, *times)
    if status != 0:
        raise DoorError(f"PJSIP's status {status}")
