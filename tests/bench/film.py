"""A stamped film, encoded before it is needed: a far end that plays it costs next to nothing.

Its stamps count pictures; when each was sent, the player knows.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction

import av
from av.video.frame import VideoFrame

from tests.stamps import stamp

_PAN = 256
_KEY_INTERVAL_S = 2
_CHROMA = (118, 140)


def texture(width: int, height: int) -> bytes:
    """A line from which every line of the moving half is cut; soft, with some grain."""
    return bytes((x // 7 * 31 + x * x // 97) % 160 + 40 for x in range(width + _PAN + height))


def luma(width: int, height: int, number: int, pattern: bytes) -> bytes:
    """The luma plane of picture `number`: the stamp over a moving half."""
    plane = bytearray(width * height)
    stamp.draw(plane, width, height, stamp.Stamp(number, number + 1))
    phase = number * 2 % (2 * _PAN)
    offset = phase if phase < _PAN else 2 * _PAN - 1 - phase
    for y in range(height // 2, height):
        start = offset + y - height // 2
        plane[y * width : (y + 1) * width] = pattern[start : start + width]
    return bytes(plane)


def i420(width: int, height: int, number: int, pattern: bytes) -> bytes:
    """Picture `number`, I420, width x height."""
    chroma = width * height // 4
    return luma(width, height, number, pattern) + b"".join(bytes([value]) * chroma for value in _CHROMA)


def encode(  # noqa: PLR0917  (what an encoder must be told)
    width: int, height: int, fps: int, seconds: int, bitrate: int, options: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """One H.264 access unit (constrained baseline, Annex B) for each picture; `bitrate` in bit/s, `options` of x264."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, fps), Fraction(fps, 1)
    encoder.bit_rate = bitrate
    encoder.gop_size = fps * _KEY_INTERVAL_S
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", **(options or {})}
    pattern = texture(width, height)
    for number in range(fps * seconds):
        frame = VideoFrame(width, height, "yuv420p")
        frame.planes[0].update(luma(width, height, number, pattern))
        for plane, value in zip(frame.planes[1:], _CHROMA, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts = number
        yield from (bytes(packet) for packet in encoder.encode(frame))
