"""What every camera backend shares: the canvas object, cards, stills, the watch for its loss."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable

from virtual_devices import cards
from virtual_devices.canvas import Canvas
from virtual_devices.native.binding import CameraStats, NativeCamera

WATCH_INTERVAL_S = 0.25


class Camera(ABC):
    """A camera of fixed size that browsers can open, behind PJMEDIA's render device "sip-camera".

    It shows a card until `show(None)`, then the peer's pictures from the next one on, fitted to the canvas. When they
    stop, the last one is repeated after 150 ms and "no signal" is shown after 2 s. It is to be started before the
    browser, and kept for as long as the browser lives.

    Attributes:
        label: its name in the browser's list of cameras.
        on_lost: called once in the loop when the backend is gone without having been closed.
    """

    def __init__(self, canvas: Canvas, label: str) -> None:
        self.canvas = canvas
        self.label = label
        self.on_lost: Callable[[str], None] | None = None
        self._native: NativeCamera | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def env(self) -> dict[str, str]:
        """What the browser needs in its environment to find the camera."""
        return {}

    @property
    def chrome_flags(self) -> list[str]:
        """What the browser needs on its command line."""
        return []

    @property
    def native(self) -> NativeCamera:
        """The C object, for writing pictures in tests.

        Raises:
            ValueError: not started, or closed.
        """
        if self._native is None:
            raise ValueError("the camera is not started")
        return self._native

    async def start(self) -> None:
        """Starts what the backend needs; the camera can be opened on return.

        Raises:
            DeviceError: a program or device is missing, or does not answer.
        """
        try:
            await self._acquire()
            await self._open_in_thread()
        except BaseException:
            await self.close()
            raise
        self.native.attach()
        self._watch = asyncio.create_task(self._report_loss())

    async def _open_in_thread(self) -> None:
        opening = asyncio.create_task(asyncio.to_thread(self._open, cards.no_signal(self.canvas)))
        try:
            self._native = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread goes on, and what it opens has threads and descriptors of its own: it is to be closed, too.
            self._native = await opening
            raise

    async def close(self) -> None:
        """Releases everything in reverse order. Idempotent."""
        watch, self._watch = self._watch, None
        if watch:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
        native, self._native = self._native, None
        if native:
            await asyncio.to_thread(native.close)
        await self._release()

    def show(self, card: bytes | None) -> None:
        """Shows the meeting a card (I420, canvas size), or with None the peer, from his next picture on."""
        self.native.show(card)

    def still(self) -> bytes:
        """What the meeting is shown now, I420, canvas size."""
        return self.native.still()

    def stats(self) -> CameraStats:
        """Counters; `lost` is how the loss of the backend shows here."""
        return self.native.stats()

    @abstractmethod
    async def _acquire(self) -> None:
        """Starts what the C part connects to."""

    @abstractmethod
    def _open(self, no_signal: bytes) -> NativeCamera:
        """Opens the C part; called in a thread."""

    @abstractmethod
    async def _release(self) -> None:
        """Stops what `_acquire` started, as far as it came."""

    def _lose(self, reason: str) -> None:
        callback, self.on_lost = self.on_lost, None
        if callback:
            callback(reason)

    async def _report_loss(self) -> None:
        while not self.stats().lost:  # noqa: ASYNC110 - C has no event for us to wait for
            await asyncio.sleep(WATCH_INTERVAL_S)
        self._lose("the camera's backend is gone")
