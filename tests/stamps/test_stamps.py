"""The three readers and writers of frame stamps understand each other; tones are told apart."""

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.stamps import stamp, tones

_HERE = Path(__file__).parent
_WIDTH, _HEIGHT = 640, 360
_STAMP = stamp.Stamp(counter=0xA5C3, sent_ms=0xFEDCBA9876)

_C_PROGRAM = """
#include <inttypes.h>
#include <stdio.h>
#include "stamp.h"

int main(void)
{
    static uint8_t luma[640 * 360];
    uint16_t counter;
    uint64_t sent_ms;

    if (fread(luma, 1, sizeof luma, stdin) != sizeof luma || !stamp_read(luma, 640, 640, 360, &counter, &sent_ms))
        return 1;
    fprintf(stderr, "%u %" PRIu64, counter, sent_ms);
    memset(luma, 0, sizeof luma);
    stamp_draw(luma, 640, 640, 360, counter, sent_ms);
    return fwrite(luma, 1, sizeof luma, stdout) != sizeof luma;
}
"""
_JS_PROGRAM = """
require(process.argv[1]);
const luma = require('fs').readFileSync(0);
const lines = Stamp.middleRows(360).map(y => luma.subarray(y * 640, (y + 2) * 640));
const stamp = Stamp.readLines(lines, 640);
process.stderr.write(JSON.stringify(stamp));
luma.fill(0);
Stamp.draw(luma, 640, 360, stamp.counter, stamp.sentMs);
process.stdout.write(luma);
"""


def _picture(text: stamp.Stamp = _STAMP) -> bytes:
    luma = bytearray(_WIDTH * _HEIGHT)
    stamp.draw(luma, _WIDTH, _HEIGHT, text)
    return bytes(luma)


def test_python_reads_what_it_wrote_scaled_and_letterboxed() -> None:
    """A stamp survives scaling and is found within black bars."""
    image = Image.frombytes("L", (_WIDTH, _HEIGHT), _picture())
    assert stamp.read_image(image) == _STAMP
    assert stamp.read_image(image.resize((320, 180))) == _STAMP
    boxed = Image.new("RGB", (1280, 1024))
    box = stamp.fit(1280, 1024)
    boxed.paste(image.resize((box.width, box.height)), (box.x, box.y))
    assert stamp.read_image(boxed, box) == _STAMP


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_plain_picture_has_no_stamp(shade: int) -> None:
    """Black, grey and white pictures are not taken for stamped ones."""
    assert stamp.read_luma(bytes([shade]) * (_WIDTH * _HEIGHT), _WIDTH, _HEIGHT) is None


def test_age_across_the_end_of_the_clock() -> None:
    """Ages are right when the 40-bit clock starts anew, and negative when the reader's clock is behind."""
    assert stamp.Stamp(0, (1 << 40) - 5).age_ms((1 << 41) + 7) == 12
    assert stamp.Stamp(0, 1000).age_ms(990) == -10


def test_c_reads_and_draws_the_same(tmp_path: Path) -> None:
    """stamp.h reads a stamp of stamp.py and draws the same picture."""
    source = tmp_path / "stamps.c"
    source.write_text(_C_PROGRAM)
    program = tmp_path / "stamps"
    flags = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]
    subprocess.run(["cc", *flags, f"-I{_HERE}", "-o", program, source], check=True)
    done = subprocess.run([program], input=_picture(), capture_output=True, check=True)
    assert done.stderr.decode() == f"{_STAMP.counter} {_STAMP.sent_ms}"
    assert done.stdout == _picture()


def test_javascript_reads_and_draws_the_same() -> None:
    """stamp.js reads a stamp of stamp.py and draws the same picture."""
    command = ["node", "-e", _JS_PROGRAM, str(_HERE / "stamp.js")]
    done = subprocess.run(command, input=_picture(), capture_output=True, check=True)
    assert json.loads(done.stderr) == {"counter": _STAMP.counter, "sentMs": _STAMP.sent_ms}
    assert done.stdout == _picture()


def test_tones_are_told_apart() -> None:
    """Of two tones mixed each is found at its level, and a third is not found."""
    mixed = tones.tone(440, 0.1)
    for index, sample in enumerate(tones.tone(660, 0.1, amplitude=0.1)):
        mixed[index] += sample
    levels = tones.levels(mixed, (440, 550, 660))
    assert levels[440] == pytest.approx(0.3, abs=0.01)
    assert levels[550] < 0.01
    assert levels[660] == pytest.approx(0.1, abs=0.01)
