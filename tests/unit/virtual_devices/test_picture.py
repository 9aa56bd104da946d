"""How pictures of any size are fitted to the canvas."""

import ctypes
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

NATIVE = Path(__file__).parents[3] / "virtual_devices" / "native"
WIDTH, HEIGHT = 1280, 720
BLACK, PEER = 16, 200
even = st.integers(1, 2000).map(lambda half: 2 * half)


class Rectangle(ctypes.Structure):
    """struct rectangle of picture.h."""

    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int), ("width", ctypes.c_int), ("height", ctypes.c_int))

    def numbers(self) -> tuple[int, int, int, int]:
        """All four."""
        return self.x, self.y, self.width, self.height


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """picture.c by itself."""
    library = tmp_path_factory.mktemp("picture") / "picture.so"
    subprocess.run(["cc", "-shared", "-fPIC", str(NATIVE / "picture.c"), "-o", str(library), "-lyuv"], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.picture_fit.restype = Rectangle
    return loaded


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1280, 720), (0, 0, 1280, 720)),
        ((640, 360), (0, 0, 1280, 720)),
        ((1920, 1080), (0, 0, 1280, 720)),
        ((704, 576), (200, 0, 880, 720)),
        ((640, 480), (160, 0, 960, 720)),
        ((720, 1280), (438, 0, 404, 720)),
        ((2560, 1080), (0, 90, 1280, 540)),
    ],
)
def test_fit(picture: ctypes.CDLL, size: tuple[int, int], expected: tuple[int, int, int, int]) -> None:
    """Known sizes stand where they should: full, pillar-boxed, letter-boxed."""
    assert picture.picture_fit(*size, WIDTH, HEIGHT).numbers() == expected


@given(width=even, height=even)
def test_fit_any(picture: ctypes.CDLL, width: int, height: int) -> None:
    """Any size comes out inside the canvas, even, touching two sides, with its shape kept to the pixel."""
    x, y, fitted_width, fitted_height = picture.picture_fit(width, height, WIDTH, HEIGHT).numbers()
    assert x >= 0
    assert y >= 0
    assert x + fitted_width <= WIDTH
    assert y + fitted_height <= HEIGHT
    assert not any(number % 2 for number in (x, y, fitted_width, fitted_height))
    assert fitted_width == WIDTH or fitted_height == HEIGHT
    assert abs(x - (WIDTH - fitted_width) / 2) <= 1
    assert abs(y - (HEIGHT - fitted_height) / 2) <= 1
    if fitted_width == WIDTH:
        assert fitted_height == 2 or abs(fitted_height - WIDTH * height / width) <= 2
    else:
        assert fitted_width == 2 or abs(fitted_width - HEIGHT * width / height) <= 2


def test_letterbox(picture: ctypes.CDLL) -> None:
    """What the picture leaves free is black, whatever was on the canvas before; the picture's edges are its own."""
    canvas = (ctypes.c_uint8 * (WIDTH * HEIGHT * 3 // 2))(*([99] * (WIDTH * HEIGHT * 3 // 2)))
    peer = (ctypes.c_uint8 * (704 * 576 * 3 // 2))(*([PEER] * (704 * 576 * 3 // 2)))
    picture.picture_letterbox(peer, 704, 576, canvas, WIDTH, HEIGHT)
    luma = bytes(canvas)[: WIDTH * HEIGHT]
    u = bytes(canvas)[WIDTH * HEIGHT : WIDTH * HEIGHT * 5 // 4]
    for row in (0, 359, 719):
        line = luma[row * WIDTH : (row + 1) * WIDTH]
        assert set(line[:200]) == {BLACK}
        assert set(line[200:1080]) == {PEER}
        assert set(line[1080:]) == {BLACK}
    assert set(u[:100]) == {128}
    assert set(u[100:540]) == {PEER}
