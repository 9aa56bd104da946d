"""The screen source: what the SIP peer is shown of the meeting."""

from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.native.binding import NativeScreen, ScreenStats


class ScreenSource:
    """The canvas of a display, behind PJMEDIA's capture device "meeting-screen".

    It starts with a black card; nothing of the screen is shown until `show(None)`.
    """

    def __init__(self, display: Display, canvas: Canvas) -> None:
        self._display = display
        self._canvas = canvas
        self._native: NativeScreen | None = None

    @property
    def native(self) -> NativeScreen:
        """The C object, for reading pictures in tests.

        Raises:
            ValueError: not started, or closed.
        """
        if self._native is None:
            raise ValueError("the screen source is not started")
        return self._native

    async def start(self) -> None:
        """Connects to the display, which must have been started. Takes some milliseconds.

        Raises:
            DeviceError: the display does not let us in.
        """
        self._native = NativeScreen(self._display.name, self._display.cookie, self._canvas)
        self._native.attach()

    async def close(self) -> None:
        """Leaves the display; the peer gets black from here on. Idempotent."""
        native, self._native = self._native, None
        if native:
            native.close()

    def show(self, card: bytes | None) -> None:
        """Shows the peer a card (I420, canvas size) instead of the screen, or with None the screen itself."""
        self.native.show(card)

    def still(self) -> bytes | None:
        """The picture last handed to the peer's encoder, I420, canvas size; None when there was none."""
        return self.native.still()

    def stats(self) -> ScreenStats:
        """Counters; `lost` is how the loss of the display shows here."""
        return self.native.stats()
