"""Our own pictures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from virtual_devices import cards
from virtual_devices.canvas import Canvas

CANVAS = Canvas(320, 180)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 120, 200)])
def test_colours_survive(colour: tuple[int, int, int]) -> None:
    """A colour comes back from I420 as it went in, but for rounding."""
    image = Image.new("RGB", (16, 8), colour)
    back = cards.to_image(cards.to_i420(image), 16, 8).getpixel((8, 4))
    assert isinstance(back, tuple)
    assert all(abs(ours - theirs) <= 3 for ours, theirs in zip(back, colour, strict=True))


def test_limited_range() -> None:
    """Black and white are 16 and 235, as video has them."""
    assert cards.to_i420(Image.new("RGB", (2, 2), "black")) == bytes([16] * 4 + [128] * 2)
    assert cards.to_i420(Image.new("RGB", (2, 2), "white")) == bytes([235] * 4 + [128] * 2)


def test_wrong_size() -> None:
    """Bytes that are not a picture of the size are refused."""
    with pytest.raises(ValueError, match="not an I420 picture of 16x8"):
        cards.to_image(b"\0" * 100, 16, 8)


def test_cards_differ() -> None:
    """Each card has the canvas' size and is a picture of its own."""
    drawn = [
        cards.welcome(CANVAS),
        cards.connecting(CANVAS, "room"),
        cards.waiting(CANVAS, "room"),
        cards.no_signal(CANVAS),
        cards.held(CANVAS),
        cards.audio_only(CANVAS, "Ann Other"),
        cards.test_card(CANVAS, "text"),
    ]
    assert {len(card) for card in drawn} == {CANVAS.picture_bytes}
    assert len(set(drawn)) == len(drawn)


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    """Whatever a caller calls himself, a card comes out, and control characters are not drawn."""
    assert len(cards.audio_only(CANVAS, text)) == CANVAS.picture_bytes
    shown = cards.printable(text)
    assert shown == " ".join(shown.split())
    assert shown.isprintable()


def test_long_text_is_cut() -> None:
    """A line that is too long ends before the edge of the picture."""
    image = cards.to_image(cards.connecting(CANVAS, "W" * 1000), CANVAS.width, CANVAS.height)
    edge = image.crop((0, 0, CANVAS.width // 25, CANVAS.height)).getcolors()
    assert edge is not None
    assert len(edge) == 1


@pytest.mark.parametrize("size", [(0, 720), (1281, 720), (1280, 719), (-2, 2)])
def test_canvas_refuses(size: tuple[int, int]) -> None:
    """A canvas is even and positive."""
    with pytest.raises(ValueError, match="even sizes"):
        Canvas(*size)
