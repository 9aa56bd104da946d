"""Pictures of our own, as I420 pictures of the canvas' size, for either side until real pictures flow.

Text comes from callers and meetings and is treated as data: any Unicode, control characters dropped, cut to a line.
"""

import colorsys
import unicodedata
import zlib
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from virtual_devices.canvas import Canvas

BACKGROUND = (24, 32, 44)
FOREGROUND = (240, 244, 248)
MUTED = (150, 164, 180)
MAX_TEXT = 200  # characters looked at; the line is cut to the canvas' width after that

# BT.601 limited range, as libyuv and H.264 senders have it; rows give Y, U, V from R, G, B and an offset.
TO_YUV = (
    0.256788, 0.504129, 0.097906, 16.0,
    -0.148223, -0.290993, 0.439216, 128.0,
    0.439216, -0.367788, -0.071427, 128.0,
)  # fmt: skip
TO_RGB = (
    1.164384, 0.0, 1.596027, -222.921,
    1.164384, -0.391762, -0.812968, 135.576,
    1.164384, 2.017232, 0.0, -276.836,
)  # fmt: skip


def to_i420(image: Image.Image) -> bytes:
    """An RGB image of even sizes as I420."""
    luma, u, v = image.convert("RGB").convert("RGB", TO_YUV).split()
    return luma.tobytes() + u.reduce(2).tobytes() + v.reduce(2).tobytes()


def to_image(i420: bytes, width: int, height: int) -> Image.Image:
    """An I420 picture as an RGB image, for people.

    Raises:
        ValueError: the bytes are not a picture of that size.
    """
    pixels = width * height
    if len(i420) != pixels * 3 // 2:
        raise ValueError(f"{len(i420)} bytes are not an I420 picture of {width}x{height}")
    half = (width // 2, height // 2)
    luma = Image.frombytes("L", (width, height), i420[:pixels])
    u = Image.frombytes("L", half, i420[pixels : pixels * 5 // 4]).resize((width, height))
    v = Image.frombytes("L", half, i420[pixels * 5 // 4 :]).resize((width, height))
    return Image.merge("RGB", (luma, u, v)).convert("RGB", TO_RGB)


def welcome(canvas: Canvas) -> bytes:
    """What the peer sees first."""
    return _card(canvas, "Welcome", "Preparing the meeting")


def connecting(canvas: Canvas, room: str = "") -> bytes:
    """What the peer sees while the browser joins `room`."""
    return _card(canvas, "Connecting", room)


def waiting(canvas: Canvas, room: str = "") -> bytes:
    """What the peer sees while a moderator has not let us in from the lobby of `room`."""
    return _card(canvas, "Waiting to be let in", room)


def no_signal(canvas: Canvas) -> bytes:
    """What the meeting sees when the peer's pictures have stopped."""
    return _card(canvas, "No signal", "")


def held(canvas: Canvas) -> bytes:
    """What either side sees while the other holds the call."""
    return _card(canvas, "On hold", "")


def audio_only(canvas: Canvas, name: str) -> bytes:
    """What the meeting sees of a peer without video: his name and initials."""
    text = printable(name) or "Telephone"
    initials = "".join(word[0] for word in text.split()[:2]).upper()
    image = Image.new("RGB", (canvas.width, canvas.height), BACKGROUND)
    draw = ImageDraw.Draw(image)
    radius = canvas.height // 5
    middle, centre = canvas.width // 2, canvas.height * 2 // 5
    # not hash(), which changes from run to run: a peer keeps his colour
    hue = zlib.crc32(text.encode()) % 360 / 360
    red, green, blue = (int(part * 255) for part in colorsys.hsv_to_rgb(hue, 0.5, 0.6))
    draw.ellipse((middle - radius, centre - radius, middle + radius, centre + radius), fill=(red, green, blue))
    draw.text((middle, centre), initials, fill=FOREGROUND, font=_font(radius), anchor="mm")
    _line(draw, text, (middle, canvas.height * 3 // 4), canvas.height // 14, FOREGROUND)
    return to_i420(image)


def test_card(canvas: Canvas, text: str) -> bytes:
    """Colour bars, a grey ramp and a line of text, for the echo test."""
    image = Image.new("RGB", (canvas.width, canvas.height))
    draw = ImageDraw.Draw(image)
    colours = ["white", "yellow", "cyan", "lime", "magenta", "red", "blue", "black"]
    bar, split = canvas.width / len(colours), canvas.height * 3 // 5
    for index, colour in enumerate(colours):
        draw.rectangle((index * bar, 0, (index + 1) * bar, split), fill=colour)
    ramp = Image.linear_gradient("L").rotate(90).resize((canvas.width, canvas.height // 10))
    image.paste(ramp, (0, split))
    _line(draw, printable(text), (canvas.width // 2, canvas.height * 17 // 20), canvas.height // 14, FOREGROUND)
    return to_i420(image)


def printable(text: str) -> str:
    """The text without control and format characters, in one line, cut."""
    words = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text[:MAX_TEXT]).split()
    return " ".join(words)


def _card(canvas: Canvas, title: str, detail: str) -> bytes:
    image = Image.new("RGB", (canvas.width, canvas.height), BACKGROUND)
    draw = ImageDraw.Draw(image)
    middle = canvas.width // 2
    _line(draw, title, (middle, canvas.height * 9 // 20), canvas.height // 9, FOREGROUND)
    _line(draw, printable(detail), (middle, canvas.height * 12 // 20), canvas.height // 18, MUTED)
    return to_i420(image)


def _line(draw: ImageDraw.ImageDraw, text: str, centre: tuple[int, int], size: int, fill: tuple[int, int, int]) -> None:
    """A line around `centre`, `size` pixels high, cut with an ellipsis to nine tenths of the picture's width."""
    font = _font(size)
    room = centre[0] * 2 * 9 // 10
    if draw.textlength(text, font) > room:
        while text and draw.textlength(text + "…", font) > room:
            text = text[:-1]
        text += "…"
    draw.text(centre, text, fill=fill, font=font, anchor="mm")


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu where it is installed (it covers the most scripts), else the font that Pillow brings."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)
