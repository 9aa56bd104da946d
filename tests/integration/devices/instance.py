"""All devices of one instance in a process of their own, for tests that kill it: `python -m … RUNTIME_DIR`."""

import asyncio
import sys
from pathlib import Path

from virtual_devices.audio import AudioServer
from virtual_devices.camera import open_camera
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.screen import ScreenSource
from virtual_devices.sound import SoundDevice


class Instance:
    """Everything that a warm slot has of this package."""

    def __init__(self, runtime_dir: Path) -> None:
        canvas = Canvas()
        self.display = Display(runtime_dir, canvas)
        self.audio = AudioServer(runtime_dir)
        self.camera = open_camera("pipewire", runtime_dir, canvas)
        self.screen = ScreenSource(self.display, canvas)
        self.sound = SoundDevice(self.audio)

    async def start(self) -> None:
        """Servers side by side, then what connects to them."""
        await asyncio.gather(self.display.start(), self.audio.start(), self.camera.start())
        await self.screen.start()
        await self.sound.start()

    async def close(self) -> None:
        """In reverse order."""
        for device in (self.sound, self.screen, self.camera, self.audio, self.display):
            await device.close()


async def _main() -> None:
    instance = Instance(Path(sys.argv[1]))
    await instance.start()
    print(instance.display.name, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
