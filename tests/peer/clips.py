"""What a foreign user agent shows and says: a stamped film and a tone as files, made once and cached.

The film's stamps count frames; their time is that of the film, not of day: it tells that pictures arrive, whole and in
order, not how late.
"""

import os
import subprocess
import sys
import wave
from pathlib import Path

from tests.stamps import stamp, tones

_FILM_S = 60
_TONE_S = 120
_RATE = 48000
_PAN = 256


def _cached(name: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = home / "jibri-sip" / "clips"
    directory.mkdir(parents=True, exist_ok=True)
    return directory / name


def film(width: int, height: int, fps: int) -> Path:
    """A minute of stamps over a moving picture, H.264 in MP4; sizes in pixels, even."""
    target = _cached(f"film-{width}x{height}-{fps}-{_FILM_S}s.mp4")
    if not target.exists():
        fresh = target.with_name(f"{os.getpid()}-{target.name}")
        encoder = subprocess.Popen(
            [
                *("ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray"),
                *("-s", f"{width}x{height}", "-r", str(fps), "-i", "-", "-pix_fmt", "yuv420p"),
                *("-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", str(fps), str(fresh)),
            ],
            stdin=subprocess.PIPE,
        )
        if encoder.stdin is None:
            raise RuntimeError("no pipe to ffmpeg")
        pattern = bytes((x // 7 * 31 + x * x // 97) % 160 + 40 for x in range(width + _PAN + height))
        for number in range(_FILM_S * fps):
            encoder.stdin.write(_draw(width, height, number, number * 1000 // fps + 1, pattern))
        encoder.stdin.close()
        if encoder.wait() != 0:
            raise RuntimeError("ffmpeg could not make the film")
        fresh.replace(target)
    return target


def _draw(width: int, height: int, number: int, at_ms: int, pattern: bytes) -> bytes:
    luma = bytearray(width * height)
    stamp.draw(luma, width, height, stamp.Stamp(number, at_ms))
    phase = number * 2 % (2 * _PAN)
    offset = phase if phase < _PAN else 2 * _PAN - 1 - phase
    for y in range(height // 2, height):
        start = offset + y - height // 2
        luma[y * width : (y + 1) * width] = pattern[start : start + width]
    return bytes(luma)


def tone(hz: float) -> Path:
    """Two minutes of a tone at amplitude 0.3: WAV, 48 kHz, 16 bits, both channels alike."""
    target = _cached(f"tone-{hz:g}.wav")
    if not target.exists():
        # A whole number of periods, so that the seconds join without a click.
        second = tones.tone(round(hz), 1.0, _RATE)
        stereo = b"".join(second[n : n + 1].tobytes() * 2 for n in range(len(second)))
        fresh = target.with_name(f"{os.getpid()}-{target.name}")
        with wave.open(str(fresh), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(_RATE)
            for _ in range(_TONE_S):
                file.writeframes(stereo)
        fresh.replace(target)
    return target


if sys.byteorder != "little":
    raise RuntimeError("WAV files are little-endian; so must the machine be")
