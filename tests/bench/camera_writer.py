"""Our camera sink alone, at its pace: `python -m tests.bench.camera_writer FILM`, FILM being raw I420, 1280x720.

Prints a JSON object with the environment and the flags with which a browser finds the camera; writes the film over and
over, 30 pictures a second, until its input ends; prints how many of them a reader took.
"""

import asyncio
import itertools
import json
import sys
import tempfile
from pathlib import Path

from virtual_devices.camera.pipewire import PipeWireCamera
from virtual_devices.canvas import Canvas

_FPS = 30


async def _write(film: Path, runtime_dir: Path) -> None:
    canvas = Canvas()
    raw = await asyncio.to_thread(film.read_bytes)
    size = canvas.picture_bytes
    pictures = itertools.cycle([raw[start : start + size] for start in range(0, len(raw), size)])
    camera = PipeWireCamera(runtime_dir, canvas, "Bench")
    await camera.start()
    try:
        camera.show(None)
        print(json.dumps({"env": camera.env, "flags": camera.chrome_flags}), flush=True)
        loop = asyncio.get_running_loop()
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        began = loop.time()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, began + number / _FPS - loop.time()))
            camera.native.write(next(pictures), canvas.width, canvas.height)
            if ended.done():
                break
        print(camera.stats().sent, flush=True)
    finally:
        await camera.close()


def main() -> None:
    """Write until the input ends."""
    with tempfile.TemporaryDirectory(prefix="cam") as directory:
        asyncio.run(_write(Path(sys.argv[1]), Path(directory)))


if __name__ == "__main__":
    main()
