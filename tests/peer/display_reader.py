"""Reads the stamps off an X display: `python -m tests.peer.display_reader WIDTH HEIGHT`, with DISPLAY and XAUTHORITY.

Prints one JSON line for each new stamp in the upper left WIDTH x HEIGHT pixels: `counter`, `seen_ms`, `latency_ms`.
Four rows of pixels tell a stamp, so that this costs next to nothing; a picture caught half-painted is read again.
"""

import json
import sys
import time

from Xlib import X
from Xlib.display import Display
from Xlib.xobject.drawable import Window

from tests.stamps import stamp

_POLL_S = 0.01
_BYTES_PER_PIXEL = 4
_THRESHOLD = (stamp.WHITE + stamp.BLACK) // 2


def read(root: Window, width: int, height: int) -> stamp.Stamp | None:
    """The stamp that the display shows now; None of none, or of a torn one."""
    bits = 0
    for row in range(stamp.ROWS):
        y = (2 * row + 1) * height // (4 * stamp.ROWS)
        line = root.get_image(0, y, width, 1, X.ZPixmap, 0xFFFFFFFF).data
        for column in range(stamp.COLUMNS):
            x = (2 * column + 1) * width // (2 * stamp.COLUMNS)
            bits = bits << 1 | (line[x * _BYTES_PER_PIXEL + 1] > _THRESHOLD)
    return stamp.decode(bits.to_bytes(8, "big"))


def main() -> None:
    """Print until killed."""
    width, height = int(sys.argv[1]), int(sys.argv[2])
    root = Display().screen().root
    last = -1
    while True:
        found = read(root, width, height)
        if found is not None and found.counter != last:
            last = found.counter
            now_ms = time.clock_gettime(time.CLOCK_REALTIME) * 1000
            print(json.dumps({"counter": last, "seen_ms": now_ms, "latency_ms": found.age_ms(now_ms)}), flush=True)
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main()
