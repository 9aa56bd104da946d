"""The sound device: what PJMEDIA hears of the meeting and says to it."""

import asyncio
import time

from virtual_devices.audio import MEETING_SOURCE, SIP_SINK, AudioServer
from virtual_devices.native.binding import NativeSound, SoundStats
from virtual_devices.patience import PATIENCE

FRAGMENT_MS = round(5 * min(PATIENCE, 4))
"""What PulseAudio hands over at a time: smaller is sooner, but a machine that wants patience is kept busy by it."""


class SoundDevice:
    """Both directions of sound, behind PJMEDIA's audio device "meeting-sound" (48 kHz, mono).

    PJMEDIA's clock runs whether this is started or not; without it, silence goes both ways.
    """

    def __init__(self, audio: AudioServer) -> None:
        self._audio = audio
        self._native: NativeSound | None = None

    async def start(self) -> None:
        """Connects to the daemon, which must have been started.

        Raises:
            DeviceError: it does not answer.
        """
        self._native = await asyncio.to_thread(NativeSound, self._audio.server, MEETING_SOURCE, SIP_SINK, FRAGMENT_MS)
        self._native.attach()

    async def close(self) -> None:
        """Leaves the daemon. Idempotent."""
        native, self._native = self._native, None
        if native:
            await asyncio.to_thread(native.close)

    def silent_s(self) -> float:
        """Seconds since the daemon last delivered, which it does all the time, sound or silence; 0 before the start."""
        delivered_ns = self.stats().last_capture_ns if self._native else 0
        return (time.monotonic_ns() - delivered_ns) / 1e9 if delivered_ns else 0.0

    def stats(self) -> SoundStats:
        """Counters; `lost` is how the loss of the daemon shows here.

        Raises:
            ValueError: not started, or closed.
        """
        if self._native is None:
            raise ValueError("the sound device is not started")
        return self._native.stats()
