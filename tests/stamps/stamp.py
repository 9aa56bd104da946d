"""Frame stamps: a frame counter and the time of sending, drawn as black and white blocks.

The stamp fills the upper half of a picture: 16 columns by 4 rows of equal blocks, row by row, most significant bit
first, white is 1. The 64 bits are a 16-bit frame counter, 40 bits of epoch milliseconds (CLOCK_REALTIME modulo 2^40)
and an 8-bit checksum, the sum of the seven bytes before it modulo 256. Blocks this large survive scaling and low
bitrates. The lower half is free for a moving picture. `stamp.js` and `stamp.h` speak the same format.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

COLUMNS = 16
ROWS = 4
WHITE = 235
BLACK = 16
_THRESHOLD = (WHITE + BLACK) // 2
_TIME_MODULUS = 1 << 40
_COUNTER_MODULUS = 1 << 16

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels: the active picture within a letterboxed one."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Stamp:
    """What one frame says of itself.

    Attributes:
        counter: frame number modulo 2^16.
        sent_ms: CLOCK_REALTIME at drawing, milliseconds modulo 2^40.
    """

    counter: int
    sent_ms: int

    def age_ms(self, now_ms: float) -> float:
        """Time since the frame was drawn, in ms, for a reader whose CLOCK_REALTIME reads `now_ms`.

        Negative, never huge, when the reader's clock is behind the sender's.
        """
        half = _TIME_MODULUS / 2
        return (now_ms - self.sent_ms + half) % _TIME_MODULUS - half


def encode(stamp: Stamp) -> bytes:
    """The stamp's 8 bytes, checksum last; counter and time are reduced to their ranges."""
    head = (stamp.counter % _COUNTER_MODULUS).to_bytes(2, "big") + (stamp.sent_ms % _TIME_MODULUS).to_bytes(5, "big")
    return head + bytes([sum(head) % 256])


def decode(code: bytes) -> Stamp | None:
    """The stamp of 8 bytes, or None if the checksum is wrong.

    An all-black picture has a valid checksum; a stamp of time 0 is therefore no stamp.
    """
    if sum(code[:7]) % 256 != code[7] or code[2:7] == bytes(5):
        return None
    return Stamp(counter=int.from_bytes(code[:2], "big"), sent_ms=int.from_bytes(code[2:7], "big"))


def draw(luma: bytearray | memoryview, width: int, height: int, stamp: Stamp) -> None:
    """Draw the stamp into the upper half of a luma plane of `width` x `height` bytes without padding."""
    bits = int.from_bytes(encode(stamp), "big")
    half = height // 2
    for row in range(ROWS):
        line = bytearray()
        for column in range(COLUMNS):
            bit = bits >> (63 - row * COLUMNS - column) & 1
            line += bytes([WHITE if bit else BLACK]) * ((column + 1) * width // COLUMNS - column * width // COLUMNS)
        for y in range(row * half // ROWS, (row + 1) * half // ROWS):
            luma[y * width : (y + 1) * width] = line


def _read_bits(luma: Buffer, stride: int, box: Box) -> bytes:
    bits = 0
    for row in range(ROWS):
        y = box.y + (2 * row + 1) * box.height // (4 * ROWS)
        for column in range(COLUMNS):
            x = box.x + (2 * column + 1) * box.width // (2 * COLUMNS)
            # Four pixels around the middle of the block outvote a damaged one.
            total = sum(luma[(y + dy) * stride + x + dx] for dy in (-1, 1) for dx in (-1, 1))
            bits = bits << 1 | (total > 4 * _THRESHOLD)
    return bits.to_bytes(8, "big")


def read_luma(luma: Buffer, width: int, height: int, *, stride: int = 0, box: Box | None = None) -> Stamp | None:
    """Read the stamp from a luma plane (`height` rows of `stride` bytes, `width` by default).

    Args:
        luma: the Y plane, one byte a pixel.
        width: width of the picture in pixels.
        height: height of the picture in pixels.
        stride: bytes from row to row; 0 means `width`.
        box: the active picture, all of it by default.

    Returns:
        The stamp, or None if the picture carries none or a damaged one.
    """
    return decode(_read_bits(luma, stride or width, box or Box(0, 0, width, height)))


def read_image(image: Image.Image, box: Box | None = None) -> Stamp | None:
    """Read the stamp from a Pillow image, such as a screenshot; `box` is the active picture, all of it by default."""
    grey = image.convert("L")
    return read_luma(grey.tobytes(), grey.width, grey.height, box=box)


def fit(width: int, height: int, aspect: Sequence[int] = (16, 9)) -> Box:
    """Where a picture of `aspect` stands when it is letterboxed into `width` x `height` pixels."""
    across, down = aspect
    if width * down > height * across:
        active = height * across // down
        return Box((width - active) // 2, 0, active, height)
    active = width * down // across
    return Box(0, (height - active) // 2, width, active)
