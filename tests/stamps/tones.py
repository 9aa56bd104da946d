"""Pure tones: making them, and telling how loud one is in a piece of sound (Goertzel's algorithm)."""

import array
import math
from collections.abc import Iterable
from typing import TypeAlias

AMPLITUDE = 0.3
_FULL_SCALE = 32768

Samples: TypeAlias = "array.array[int]"


def tone(hz: float, seconds: float, rate: int = 48000, amplitude: float = AMPLITUDE) -> Samples:
    """A sine tone of `hz`, mono, signed 16-bit samples at `rate` per second; full scale is amplitude 1.0."""
    peak = amplitude * (_FULL_SCALE - 1)
    step = 2 * math.pi * hz / rate
    return array.array("h", (round(peak * math.sin(step * n)) for n in range(int(seconds * rate))))


def level(samples: Samples, hz: float, rate: int = 48000) -> float:
    """Amplitude of the tone `hz` in mono s16 samples, 0.0 to 1.0 of full scale; 0.0 of no samples at all.

    Two tones are told apart when they are more than `rate / len(samples)` Hz away from each other: use 4096 samples or
    more at 48 kHz for tones 50 Hz apart.
    """
    if not samples:
        return 0.0
    coefficient = 2 * math.cos(2 * math.pi * hz / rate)
    last = before = 0.0
    for sample in samples:
        last, before = sample + coefficient * last - before, last
    power = last * last + before * before - coefficient * last * before
    return 2 * math.sqrt(max(power, 0.0)) / len(samples) / _FULL_SCALE


def levels(samples: Samples, tones_hz: Iterable[float], rate: int = 48000) -> dict[float, float]:
    """`level` of each of `tones_hz`."""
    return {hz: level(samples, hz, rate) for hz in tones_hz}
