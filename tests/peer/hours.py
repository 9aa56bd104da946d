"""Hours of PJMEDIA's picture clock in no time (native/hours.c, by LD_PRELOAD): what idle nights do, in a test."""

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path

LIBRARY = Path(__file__).parent / "native" / "hours.so"
_AHEAD = struct.Struct("@Q")
_CLOCK_HZ = 90_000


class Hours:
    """The picture clock of one program; `environment` puts it there.

    Args:
        control: a file of its own, which is made.
    """

    def __init__(self, control: Path) -> None:
        control.write_bytes(_AHEAD.pack(0))
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(LIBRARY), "HOURS_CONTROL": str(control.absolute())}
        with control.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def let_pass(self, hours: float) -> None:
        """Have the clock be so many hours further, at once."""
        (ahead,) = _AHEAD.unpack(self._memory)
        self._memory[:] = _AHEAD.pack(ahead + round(hours * 3600 * _CLOCK_HZ))
