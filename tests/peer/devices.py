"""The test devices in C, from Python: what was seen and heard."""

import array
from dataclasses import asdict
from typing import Literal

from PIL import Image

from tests.peer.native._peer import ffi, lib
from tests.peer.seen import Frame, Seen, add_up

DRIVER = "peer"
SOURCE, READER, VOID, TONE = "stamped-source", "stamp-reader", "void", "tone"

_BATCH = 8192
_STILL_BYTES = 1920 * 1088 * 3 // 2


def register(width: int = 1280, height: int = 720, fps: int = 30) -> None:
    """Make the devices known to PJMEDIA; after each `libInit`. Sizes in pixels, even.

    Raises:
        RuntimeError: PJMEDIA refuses.
    """
    status = lib.peer_register(width, height, fps)
    if status != 0:
        raise RuntimeError(f"PJMEDIA does not take the test devices: {status}")


Rhythm = Literal["steady", "bursts", "syllables"]
"""When a tone sounds: always, in the first 100 ms of each second of CLOCK_REALTIME, or in 160 of each 250 ms."""
_RHYTHMS: dict[Rhythm, int] = {"steady": 0, "bursts": 1, "syllables": 2}


def say(hz: float, amplitude: float = 0.3, *, rhythm: Rhythm = "steady") -> None:
    """Send a tone. Codecs for speech take a steady one for noise."""
    lib.peer_say(hz, amplitude, _RHYTHMS[rhythm])


def heard(hz: float, ms: int = 500) -> float:
    """Amplitude of a tone in the last `ms` of what was heard, 0 to 1."""
    return float(lib.peer_heard(hz, ms))


def loudest(hz: float, ms: int) -> tuple[float, int]:
    """Amplitude of a tone, 0 to 1, in the 50 ms of the last `ms` (at most 30 s) in which it was loudest; ms ago."""
    ago = ffi.new("unsigned *")
    return float(lib.peer_loudest(hz, ms, ago)), int(ago[0])


def peak(ms: int = 500) -> float:
    """Loudest sample of the last `ms`, 0 to 1."""
    return float(lib.peer_peak(ms))


def count_gaps(hz: float, least: float) -> None:
    """Watch a steady tone: a piece of 10 ms in which its amplitude is below `least` is a gap."""
    lib.peer_count_gaps(hz, least)


def gaps() -> float:
    """Share of pieces that were gaps since the last call, 0 to 1; 1 if nothing was heard."""
    return float(lib.peer_take_gaps())


def time_bursts(hz: float) -> None:
    """Begin to time the bursts of a tone."""
    lib.peer_time_bursts(hz)


def burst_delays_ms() -> list[float]:
    """Delays of the bursts heard since the last call."""
    delays = ffi.new("double[256]")
    return [float(delays[n]) for n in range(lib.peer_take_bursts(delays, 256))]


def pictures() -> list[Frame]:
    """Each picture that arrived since the last call, or since the last of `seen`."""
    frames = ffi.new("struct peer_frame[]", _BATCH)
    return [
        Frame(
            seen_ms=float(frame.seen_ms),
            latency_ms=float(frame.latency_ms) if frame.intact else None,
            width=frame.width,
            height=frame.height,
            error=frame.error if frame.intact else None,
            counter=frame.counter if frame.intact else None,
        )
        for frame in frames[0 : lib.peer_take_frames(frames, _BATCH)]
    ]


def seen() -> Seen:
    """What arrived since the last call, or since the last of `pictures`."""
    return add_up(pictures())


def sources(call: int) -> tuple[int, int]:
    """SSRCs of a call's picture: ours, and the other side's; on the PJSIP thread.

    Raises:
        ValueError: there is no picture.
    """
    ours, theirs = ffi.new("uint32_t *"), ffi.new("uint32_t *")
    if lib.peer_sources(call, ours, theirs) != 0:
        raise ValueError("no picture")
    return ours[0], theirs[0]


def send_rtcp(call: int, compound: bytes) -> None:
    """Send RTCP the way that the call's picture goes, encrypted or relayed; on the PJSIP thread.

    Raises:
        ValueError: there is no picture, or no way.
    """
    if lib.peer_send_rtcp(call, compound, len(compound)) != 0:
        raise ValueError("not sent")


def as_json(report: Seen) -> dict[str, object]:
    """The report as plain values."""
    return asdict(report)


def still(timeout_ms: int = 1000) -> Image.Image | None:
    """The next picture that arrives, in colour; None if none does."""
    buffer = array.array("B", bytes(_STILL_BYTES))
    width, height = ffi.new("unsigned *"), ffi.new("unsigned *")
    if lib.peer_still(ffi.from_buffer("uint8_t[]", buffer), _STILL_BYTES, timeout_ms, width, height) != 0:
        return None
    return _to_image(buffer.tobytes(), width[0], height[0])


def _to_image(i420: bytes, width: int, height: int) -> Image.Image:
    pixels = width * height
    luma = Image.frombytes("L", (width, height), i420[:pixels])
    half = (width // 2, height // 2)
    chroma = [
        Image.frombytes("L", half, i420[start : start + pixels // 4]).resize((width, height))
        for start in (pixels, pixels * 5 // 4)
    ]
    return Image.merge("YCbCr", (luma, *chroma)).convert("RGB")
