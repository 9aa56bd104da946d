"""The compiled devices, typed, with errors as exceptions.

The three owners (NativeScreen, NativeCamera, NativeSound) each hold one C object. `attach` puts it behind the PJMEDIA
device of this process in place of the one before; `close` takes it away again. Calls are refused after `close`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual_devices.canvas import Canvas
from virtual_devices.errors import DeviceError

try:
    from virtual_devices.native._devices import ffi, lib
except ImportError as error:
    raise ImportError(
        "the native devices are not built; run `make setup`, or `python -m virtual_devices.native.build PJPROJECT_DIR`"
    ) from error

if TYPE_CHECKING:
    from virtual_devices.native._devices import CData

ERROR_BYTES = 256


def _checked(device: str, remedy: str, call: Callable[[CData, int], CData]) -> CData:
    """Calls an open function with a place for its message; raises DeviceError with it when it returns NULL."""
    message = ffi.new("char[]", ERROR_BYTES)
    result = call(message, ERROR_BYTES)
    if result == ffi.NULL:
        raise DeviceError(device, ffi.string(message).decode(errors="replace"), remedy)
    return result


def _picture(i420: bytes, canvas: Canvas) -> CData:
    if len(i420) != canvas.picture_bytes:
        raise ValueError(f"{len(i420)} bytes are not an I420 picture of {canvas.width}x{canvas.height}")
    return ffi.from_buffer("uint8_t[]", i420)


class _Owner:
    """One C object; `handle` refuses when it is closed, and `held` keeps it from being closed meanwhile."""

    def __init__(self, handle: CData, close: Callable[[CData], None], attach: Callable[[CData], None]) -> None:
        self._handle: CData | None = handle
        self._close = close
        self._attach = attach
        self._attached = False
        self._in_use = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[CData]:
        """The handle, for use in another thread than that which closes it."""
        with self._in_use:
            yield self.handle

    @property
    def handle(self) -> CData:
        if self._handle is None:
            raise ValueError("the device is closed")
        return self._handle

    def attach(self) -> None:
        """Puts the object behind the PJMEDIA device of this process."""
        self._attach(self.handle)
        self._attached = True

    def close(self) -> None:
        """Takes the object away from PJMEDIA and frees it. Idempotent."""
        with self._in_use:
            handle, self._handle = self._handle, None
        if handle is None:
            return
        if self._attached:
            self._attach(ffi.NULL)
        self._close(handle)


@dataclass(frozen=True)
class ScreenStats:
    """Counters since the start; `last_grab_ns` is CLOCK_MONOTONIC, 0 for never.

    Attributes:
        frames: pictures handed on, of any kind.
        grabbed: of these, fetched from X.
        unchanged: of these, the last one again, because nothing had been painted.
        cards: of these, our own picture.
        errors: grabs that X refused or did not answer within 50 ms.
        last_grab_ns: when X last answered.
        lost: the X server is gone.
    """

    frames: int
    grabbed: int
    unchanged: int
    cards: int
    errors: int
    last_grab_ns: int
    lost: bool


class NativeScreen(_Owner):
    """screen.c: the upper left canvas of an X root window.

    Raises:
        DeviceError: no connection, or the server lacks MIT-SHM or DAMAGE.
    """

    def __init__(self, display: str, cookie: bytes, canvas: Canvas) -> None:
        self._canvas = canvas
        size = canvas.width, canvas.height
        super().__init__(
            _checked(
                "display",
                "",
                lambda *error: lib.screen_open(display.encode(), cookie, len(cookie), 0, 0, *size, *error),
            ),
            lib.screen_close,
            lib.devices_set_screen,
        )

    def show(self, card: bytes | None) -> None:
        """A card (I420, canvas size) instead of the screen; None for the screen itself."""
        lib.screen_show(self.handle, ffi.NULL if card is None else _picture(card, self._canvas))

    def read(self) -> tuple[bytes, bool]:
        """What the peer would be sent now, and whether that is the screen (not a card)."""
        picture = bytearray(self._canvas.picture_bytes)
        live = lib.screen_read(self.handle, ffi.from_buffer("uint8_t[]", picture))
        return bytes(picture), bool(live)

    def still(self) -> bytes | None:
        """The picture last handed to the peer, I420; None when there was none."""
        picture = bytearray(self._canvas.picture_bytes)
        with self.held() as handle:
            seen = lib.screen_still(handle, ffi.from_buffer("uint8_t[]", picture))
        return bytes(picture) if seen else None

    def stats(self) -> ScreenStats:
        """The counters now."""
        raw = ffi.new("struct screen_stats *")
        lib.screen_get_stats(self.handle, raw)
        return ScreenStats(
            raw.frames, raw.grabbed, raw.unchanged, raw.cards, raw.errors, raw.last_grab_ns, bool(raw.lost)
        )


@dataclass(frozen=True)
class CameraStats:
    """Counters since the start; `last_received_ns` is CLOCK_MONOTONIC, 0 for never.

    Attributes:
        received: pictures from the peer.
        sent: pictures of any kind that went out to the reader.
        repeated: of these, the peer's last one again.
        no_signal: of these, the "no signal" picture.
        cards: of these, our own picture.
        dropped: pictures of the peer that a newer one replaced before they went out.
        last_received_ns: when the peer's last picture came.
        peer_width: of the peer's picture as decoded, in pixels, 0 before the first.
        peer_height: likewise.
        watched: a reader has the camera open (always true with v4l2loopback, which does not tell).
        lost: the backend is gone.
    """

    received: int
    sent: int
    repeated: int
    no_signal: int
    cards: int
    dropped: int
    last_received_ns: int
    peer_width: int
    peer_height: int
    watched: bool
    lost: bool


class NativeCamera(_Owner):
    """camera.c with one of its backends. Made by `over_pipewire` or `over_v4l2`."""

    def __init__(self, handle: CData, canvas: Canvas) -> None:
        self._canvas = canvas
        super().__init__(handle, lib.camera_close, lib.devices_set_camera)

    @classmethod
    def over_pipewire(cls, socket: str, label: str, canvas: Canvas, no_signal: bytes) -> NativeCamera:
        """A camera on the PipeWire daemon that listens at `socket`.

        Raises:
            DeviceError: it does not answer.
        """
        size = canvas.width, canvas.height, canvas.fps
        card = _picture(no_signal, canvas)
        names = socket.encode(), label.encode()
        handle = _checked("camera", "", lambda *error: lib.camera_open_pipewire(*names, *size, card, *error))
        return cls(handle, canvas)

    @classmethod
    def over_v4l2(cls, device: str, canvas: Canvas, no_signal: bytes) -> NativeCamera:
        """A camera through a v4l2loopback device, e.g. "/dev/video0".

        Raises:
            DeviceError: it cannot be opened, or keeps another format.
        """
        size = canvas.width, canvas.height, canvas.fps
        card = _picture(no_signal, canvas)
        remedy = f"check that {device} is a v4l2loopback device of its own for each instance"
        handle = _checked("camera", remedy, lambda *error: lib.camera_open_v4l2(device.encode(), *size, card, *error))
        return cls(handle, canvas)

    def show(self, card: bytes | None) -> None:
        """A card (I420, canvas size) instead of the peer; None: the peer, from his next picture on."""
        lib.camera_show(self.handle, ffi.NULL if card is None else _picture(card, self._canvas))

    def write(self, i420: bytes, width: int, height: int) -> None:
        """A picture as the peer sends it, of any even size.

        Raises:
            ValueError: odd sizes, or not a picture of that size.
        """
        lib.camera_write(self.handle, _picture(i420, Canvas(width, height)), width, height)

    def still(self) -> bytes:
        """What the meeting is shown now, I420, canvas size."""
        picture = bytearray(self._canvas.picture_bytes)
        with self.held() as handle:
            lib.camera_still(handle, ffi.from_buffer("uint8_t[]", picture))
        return bytes(picture)

    def stats(self) -> CameraStats:
        """The counters now."""
        raw = ffi.new("struct camera_stats *")
        lib.camera_get_stats(self.handle, raw)
        return CameraStats(
            raw.received, raw.sent, raw.repeated, raw.no_signal, raw.cards, raw.dropped, raw.last_received_ns,
            raw.peer_width, raw.peer_height, bool(raw.watched), bool(raw.lost),
        )  # fmt: skip


@dataclass(frozen=True)
class SoundStats:
    """Counters of PJMEDIA's frames since the start; `last_capture_ns` is CLOCK_MONOTONIC, 0 for never.

    Attributes:
        captured: frames taken from the meeting.
        silent: ticks at which PulseAudio had nothing to give.
        overrun: captured pieces of 10 ms thrown away because they were too old.
        played: frames given to the browser's microphone.
        discarded: frames that PulseAudio had no room for, or was not there to take.
        underflows: times that PulseAudio ran dry.
        last_capture_ns: when PulseAudio last delivered.
        capture_latency_us: as PulseAudio last reported it.
        playback_latency_us: likewise.
        connected: both streams run.
        lost: the daemon is gone.
    """

    captured: int
    silent: int
    overrun: int
    played: int
    discarded: int
    underflows: int
    last_capture_ns: int
    capture_latency_us: int
    playback_latency_us: int
    connected: bool
    lost: bool


class NativeSound(_Owner):
    """sound.c: records one source of a PulseAudio server, in fragments of so many milliseconds, and plays to one sink.

    Raises:
        DeviceError: the server does not answer, or lacks the source or the sink.
    """

    def __init__(self, server: str, source: str, sink: str, fragment_ms: int) -> None:
        names = server.encode(), source.encode(), sink.encode()
        super().__init__(
            _checked("sound", "", lambda *error: lib.sound_open(*names, fragment_ms, *error)),
            lib.sound_close,
            lib.devices_set_sound,
        )

    def stats(self) -> SoundStats:
        """The counters now."""
        raw = ffi.new("struct sound_stats *")
        lib.sound_get_stats(self.handle, raw)
        return SoundStats(
            raw.captured, raw.silent, raw.overrun, raw.played, raw.discarded, raw.underflows, raw.last_capture_ns,
            raw.capture_latency_us, raw.playback_latency_us, bool(raw.connected), bool(raw.lost),
        )  # fmt: skip


def register(canvas: Canvas) -> None:
    """Registers the devices with this process' PJMEDIA.

    Raises:
        DeviceError: PJMEDIA refuses.
    """
    message = ffi.new("char[]", ERROR_BYTES)
    if lib.devices_register(canvas.width, canvas.height, canvas.fps, message, ERROR_BYTES) < 0:
        raise DeviceError("devices", f"PJMEDIA refuses them: {ffi.string(message).decode(errors='replace')}")
