"""What can become of a key: taken over as one of our settings, not needed, or without a counterpart."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from jibri_sip.config.jibri_conf.leaves import Path, Value

Convert: TypeAlias = Callable[[Value], Any]
"""From what was written to what our setting holds. Raises ValueError with what it should have been, or Otherwise."""
Kind: TypeAlias = Literal["taken-over", "not-needed", "no-counterpart", "unknown"]


@dataclass(frozen=True)
class TakenOver:
    """The key becomes a setting.

    Attributes:
        setting: Its dotted name, with `[]` where the key has it.
        convert: How the value becomes ours.
        note: What is to be known about it; a clause without a full stop.
        secret: Whether the value goes into a file of its own.
    """

    setting: str
    convert: Convert
    note: str = ""
    secret: bool = False


@dataclass(frozen=True)
class NotNeeded:
    """Nothing has to be set, and this is why."""

    because: str


@dataclass(frozen=True)
class NoCounterpart:
    """We cannot do what it says, and this is what to do instead, or why not."""

    because: str


Fate: TypeAlias = TakenOver | NotNeeded | NoCounterpart


class Otherwise(Exception):  # noqa: N818  (no error: the value decides the fate)
    """Raised by a converter where this value has another fate than the key usually has."""

    def __init__(self, fate: NotNeeded | NoCounterpart) -> None:
        self.fate = fate
        super().__init__(fate.because)


@dataclass(frozen=True)
class Verdict:
    """What became of one key. Never holds its value.

    Attributes:
        file: The file that was imported, not one it includes.
        key: As the operator wrote it.
        kind: Which of the four.
        setting: Our setting, when taken over; else empty.
        because: Why, or what is to be known.
    """

    file: str
    key: str
    kind: Kind
    setting: str
    because: str

    @property
    def text(self) -> str:
        """One line, without the key."""
        words = {
            "taken-over": f"taken over as {self.setting}",
            "not-needed": "not needed",
            "no-counterpart": "has no counterpart",
            "unknown": "unknown",
        }[self.kind]
        return f"{words}: {self.because}" if self.because else words


@dataclass(frozen=True)
class Setting:
    """One of our settings with its value.

    Attributes:
        path: `("xmpp", 0, "control_login", "port")`.
        value: What it is set to.
        origin: The key it comes from, or why it is set.
        secret: Whether the value goes into a file of its own.
    """

    path: Path
    value: Any
    origin: str
    secret: bool = False
