"""PCMU (G.711 mu-law), as far as tone bursts need it."""

import array

from tests.stamps import tones

RATE = 8000
PACKET = 160  # samples: 20 ms
SILENCE = b"\xff" * PACKET
_BIAS = 0x84
_CLIP = 32635


def _encode(sample: int) -> int:
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> (exponent + 3) & 0x0F
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | mantissa) & 0xFF


def _decode(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS << (code >> 4 & 7)) - _BIAS
    return -magnitude if code & 0x80 else magnitude


_SAMPLES = [_decode(code) for code in range(256)]


def tone(hz: float, seconds: float) -> list[bytes]:
    """The packets of a tone."""
    coded = bytes(_encode(sample) for sample in tones.tone(hz, seconds, RATE))
    return [coded[start : start + PACKET] for start in range(0, len(coded), PACKET)]


def level(payload: bytes, hz: float) -> float:
    """Amplitude of a tone in a packet, 0 to 1."""
    return tones.level(array.array("h", (_SAMPLES[code] for code in payload)), hz, RATE)
