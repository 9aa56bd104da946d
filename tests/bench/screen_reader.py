"""Our screen source alone, at its pace: `python -m tests.bench.screen_reader DISPLAY COOKIE_FILE SECONDS`.

Reads it 30 times a second, and prints now and then how many pictures it has fetched: `frame=N`, as FFmpeg does.
"""

import sys
import time
from pathlib import Path

from virtual_devices.canvas import Canvas
from virtual_devices.native._devices import ffi, lib
from virtual_devices.native.binding import NativeScreen

_FPS = 30


def main() -> None:
    """Read, and say so."""
    name, cookie_file, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    canvas = Canvas()
    screen = NativeScreen(name, cookie_file.read_bytes(), canvas)
    screen.show(None)
    picture = bytearray(canvas.picture_bytes)
    target = ffi.from_buffer("uint8_t[]", picture)
    began = time.monotonic()
    for number in range(int(seconds * _FPS)):
        time.sleep(max(0.0, began + number / _FPS - time.monotonic()))
        lib.screen_read(screen.handle, target)
        if number % (_FPS // 2) == 0:
            print(f"frame={screen.stats().grabbed}", flush=True)


if __name__ == "__main__":
    main()
