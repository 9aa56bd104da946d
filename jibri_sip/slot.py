"""The slot: everything that one call needs, started before the call comes.

Display, sound, camera and Chrome are acquired in this order (the first three side by side) and
released in reverse. Between two calls only Chrome is renewed: the devices hold nothing of a guest (a
sink that nobody plays to, a camera that shows our own card), its profile does.
"""

import asyncio
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import ParamSpec, TypeVar

from browser.chrome import Chrome, remove_leftovers
from browser.errors import BrowserError, PageHung
from browser.page import MeetingPage
from jibri_sip import errors, log
from jibri_sip.config.model import Settings
from jibri_sip.errors import GatewayError
from jibri_sip.session.facts import SlotLook, View
from virtual_devices import cards, processes
from virtual_devices.audio import MEETING_SOURCE, MICROPHONE, AudioServer
from virtual_devices.camera import Camera, open_camera
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.errors import DeviceError
from virtual_devices.patience import PATIENCE
from virtual_devices.screen import ScreenSource
from virtual_devices.sound import SoundDevice

_log = log.logger("slot")

PROFILE_BYTES = 32 << 20
"""What Chrome may write during a call; without it, Chrome hangs or dies in ways that nobody understands."""
HUNG_S = 5.0 * PATIENCE
"""What has not answered for so long will not."""

P = ParamSpec("P")
T = TypeVar("T")


class Slot:
    """One call's worth of devices and a warm Chrome.

    Args:
        settings: the gateway's settings.
        runtime_dir: a directory of this instance alone; made here with mode 0700, emptied on close.
        on_lost: called once, in the event loop, when a device dies; the slot must then be closed and
            another one started.

    Attributes:
        canvas: size and rate of both pictures.
        screen: what the SIP peer is shown.
        camera: what the meeting is shown.
        page: Chrome's one page.
    """

    def __init__(self, settings: Settings, runtime_dir: Path, on_lost: Callable[[GatewayError], None]) -> None:
        self.canvas = Canvas(settings.video.width, settings.video.height, settings.video.fps)
        self._display = Display(runtime_dir, self.canvas, _debug("display_says"))
        self._audio = AudioServer(runtime_dir, _debug("audio_says"))
        self.camera: Camera = open_camera(
            settings.camera.backend, runtime_dir, self.canvas, settings.camera.label, _debug("camera_says")
        )
        self.screen = ScreenSource(self._display, self.canvas)
        self._sound = SoundDevice(self._audio)
        self.page: MeetingPage
        self._chrome: Chrome | None = None
        self._was_late = False
        self._runtime_dir = runtime_dir
        self._profile_root = runtime_dir / "chrome"
        self._on_lost: Callable[[GatewayError], None] | None = on_lost
        self._stack = AsyncExitStack()
        # Selenium blocks; one thread for the whole life, since Chrome dies with the thread that started it.
        self._browser_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="browser")

    async def start(self) -> None:
        """Acquire all; whatever was acquired is released again when something fails.

        Raises:
            DeviceError: a device could not be had; its text says what to do.
            DiskFull: there is no room for Chrome's profile.
            BrowserError: Chrome did not start.
        """
        try:
            await self._acquire()
        except BaseException as error:
            await self.close()
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None

    async def _acquire(self) -> None:
        await processes.reap(self._runtime_dir)
        await asyncio.to_thread(remove_leftovers, self._profile_root)
        self._runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stack.push_async_callback(processes.reap, self._runtime_dir)
        daemons: tuple[tuple[Display | AudioServer | Camera, type[GatewayError]], ...] = (
            (self._display, errors.DisplayLost),
            (self._audio, errors.AudioLost),
            (self.camera, errors.CameraLost),
        )
        for device, loss in daemons:
            device.on_lost = partial(self._lose, loss)
            self._stack.push_async_callback(device.close)
        async with asyncio.TaskGroup() as group:
            for device, _ in daemons:
                group.create_task(device.start())
        self._stack.push_async_callback(self.screen.close)
        await self.screen.start()
        self._stack.push_async_callback(self._sound.close)
        await self._sound.start()
        self._stack.push_async_callback(self._close_chrome)
        await self._start_chrome()

    async def _start_chrome(self) -> None:
        free = shutil.disk_usage(self._runtime_dir).free
        if free < PROFILE_BYTES:
            raise errors.DiskFull(
                f"{free >> 20} MiB are left at {self._runtime_dir}, a call takes {PROFILE_BYTES >> 20}"
            )
        mark = {processes.INSTANCE_VARIABLE: str(self._runtime_dir)}
        env = {**mark, **self._display.env, **self._audio.env, **self.camera.env}
        self._chrome = Chrome(
            self._profile_root,
            env,
            self.camera.chrome_flags,
            (self.canvas.width, self.canvas.height),
            log=_debug("chrome_says"),
        )
        await self.browse(self._chrome.start)
        self.page = self._chrome.page()
        self._was_late = False
        await asyncio.to_thread(self._check_display)

    def _check_display(self) -> None:
        """See that Chrome's window covers the canvas and nothing lies over it: the peer is shown what is there.

        Raises:
            DeviceError: it is not so.
        """
        with self._display.watch() as watch:
            windows = [(window.x, window.y, window.width, window.height) for window in watch.windows()]
        if windows != [(0, 0, self.canvas.width, self.canvas.height)]:
            problem = f"it shows windows {windows} instead of one of the canvas' size"
            raise DeviceError("display", problem, "see whether this Chromium still heeds --kiosk and --window-size")

    async def _close_chrome(self) -> None:
        if self._chrome is not None:
            await self.browse(self._chrome.close)

    async def renew(self) -> None:
        """Replace Chrome by one with a fresh profile.

        Raises:
            BrowserError: Chrome did not start.
            DeviceError: its window is not where it belongs.
        """
        await self._close_chrome()
        await self._start_chrome()

    async def browse(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call of the browser room in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._browser_thread, partial(function, *args, **kwargs))

    def chrome_alive(self) -> bool:
        """Whether Chrome and its driver run."""
        return self._chrome is not None and self._chrome.alive()

    async def check(self, *, idle: bool) -> None:
        """See that everything works, not only lives. A daemon that hangs is killed: its loss is told as any other's.

        Args:
            idle: whether to look at the page too; in a session, the session does.

        Raises:
            BrowserLost: Chrome or its driver is gone, or did not answer this time and the time before.
        """
        if self._sound.silent_s() > HUNG_S:
            _log.error("device_hung", device="pulseaudio")
            self._audio.kill()
        if not await self._display.answers(HUNG_S):
            _log.error("device_hung", device="Xvfb")
            self._display.kill()
        if not idle:
            return
        if not self.chrome_alive():
            raise errors.BrowserLost
        try:
            await self.browse(self.page.state)
        except PageHung as error:
            # Once is no more than a moment in which the machine had no time for it.
            if self._was_late:
                raise errors.BrowserLost(str(error)) from error
            self._was_late = True
        except BrowserError as error:
            raise errors.BrowserLost(str(error)) from error
        else:
            self._was_late = False

    async def look(self) -> SlotLook:
        """What passes through it now; takes half a second.

        Raises:
            DeviceError: a device does not answer.
        """
        to_sip, to_meet, clients, windows = await asyncio.gather(
            self._audio.peak(MEETING_SOURCE),
            self._audio.peak(MICROPHONE),
            self._audio.clients(),
            asyncio.to_thread(self._windows),
        )
        return SlotLook(to_sip_peak=to_sip, to_meet_peak=to_meet, sound_clients=clients, windows=windows)

    def _windows(self) -> list[str]:
        with self._display.watch() as watch:
            return [f"{window.name} {window.width}x{window.height}+{window.x}+{window.y}" for window in watch.windows()]

    async def picture(self, view: View) -> bytes:
        """A PNG of the canvas' size.

        Raises:
            DeviceError: the display does not answer.
        """
        return await asyncio.to_thread(self._picture, view)

    def _picture(self, view: View) -> bytes:
        if view == "display":
            with self._display.watch() as watch:
                image = watch.still()
        else:
            # Nothing was handed to the encoder yet: the peer would be shown the card.
            try:
                shown = self.screen.still() if view == "to_sip" else self.camera.still()
            except ValueError:
                # Closed a moment ago: the slot is being made anew.
                raise errors.NotReady from None
            image = cards.to_image(shown or cards.welcome(self.canvas), self.canvas.width, self.canvas.height)
        png = BytesIO()
        image.save(png, "PNG")
        return png.getvalue()

    def _lose(self, loss: type[GatewayError], reason: str) -> None:
        tell, self._on_lost = self._on_lost, None
        if tell is not None:
            tell(loss(reason))

    async def close(self) -> None:
        """Release all, in reverse; safe to call twice and after a half start."""
        self._on_lost = None
        await self._stack.aclose()
        self._browser_thread.shutdown(wait=False)


def _debug(event: str) -> Callable[[str], None]:
    """Where the lines of a child go that are of interest only when something is wrong."""
    return lambda line: _log.debug(event, line=line)
