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
        # That were told once so far. They may be several: one way can be behind the other by more than a press.
        self._told_once: list[_Press] = []

    def is_new(self, key: str, method: int, now: float) -> bool:
        """Whether this is a press, and not the second word of one.

        Args:
            key: `0`-`9`, `*`, `#`, `A`-`D`.
            method: the way it came by.
            now: seconds of any steady clock.
        """
        self._told_once = [press for press in self._told_once if now - press.at < _ECHO_S]
        for press in self._told_once:
            if press.key == key and press.method != method:
                self._told_once.remove(press)
                return False
        self._told_once.append(_Press(key, method, now))
        return True
