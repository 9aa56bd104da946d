"""Keys that the peer presses, each counted once, though some phones tell each by telephone-event and by INFO."""

from dataclasses import dataclass

_ECHO_S = 1.0
"""Within this time the same key by the other way is the same press."""


@dataclass(frozen=True)
class _Press:
    key: str
    method: int
    at: float


class Presses:
    """The presses of one call."""

    def __init__(self) -> None:
        self._last: _Press | None = None

    def is_new(self, key: str, method: int, now: float) -> bool:
        """Whether this is a press, and not the second word of one.

        Args:
            key: `0`-`9`, `*`, `#`, `A`-`D`.
            method: the way it came by.
            now: seconds of any steady clock.
        """
        last, self._last = self._last, None
        if last is not None and last.key == key and last.method != method and now - last.at < _ECHO_S:
            return False
        self._last = _Press(key, method, now)
        return True
