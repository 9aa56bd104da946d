"""The v4l2loopback backend at its border, the calls to the kernel; a preloaded library plays the driver."""

import errno
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from virtual_devices.camera.v4l2loopback import find_device

SOURCE = Path(__file__).parent / "v4l2_device.c"
TREE = Path(__file__).parents[3]
PICTURE_BYTES = 320 * 180 * 3 // 2
NO_SIGNAL_LUMA, CARD_LUMA, PEER_LUMA = 50, 100, 150

# Opens the camera, shows a card, goes live, writes a picture, waits until that is too old, closes; says what happened.
PROGRAM = f"""
import time
from virtual_devices.canvas import Canvas
from virtual_devices.errors import DeviceError
from virtual_devices.native.binding import NativeCamera
try:
    camera = NativeCamera.over_v4l2("/dev/video-test", Canvas(320, 180), bytes([{NO_SIGNAL_LUMA}]) * {PICTURE_BYTES})
except DeviceError as error:
    print(error)
else:
    camera.show(bytes([{CARD_LUMA}]) * {PICTURE_BYTES})
    camera.show(None)
    camera.write(bytes([{PEER_LUMA}]) * {PICTURE_BYTES}, 320, 180)
    end = time.monotonic() + {{seconds}}
    while time.monotonic() < end and not camera.stats().no_signal:
        time.sleep(0.01)
    print("lost" if camera.stats().lost else "fine")
    camera.close()
"""


@dataclass(frozen=True)
class Run:
    """What the program printed and the calls that the driver saw."""

    printed: str
    calls: list[str]

    @property
    def written(self) -> list[int]:
        """The first luma byte of each picture."""
        return [int(call.split()[2]) for call in self.calls if call.startswith("write")]

    def written_at(self, luma: int) -> list[int]:
        """When the pictures with this luma byte were written, ms."""
        return [int(call.split()[3]) for call in self.calls if call.startswith(f"write {PICTURE_BYTES} {luma} ")]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that plays the driver."""
    library = tmp_path_factory.mktemp("driver") / "v4l2_device.so"
    flags = ["-Wall", "-Wextra", "-Wshadow", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, str(SOURCE), "-o", str(library), "-ldl"], check=True)
    return library


def run(driver: Path, log: Path, seconds: float = 0.0, **behaviour: str) -> Run:
    """Runs the program against a driver with this behaviour."""
    env = os.environ | {"LD_PRELOAD": str(driver), "V4L2_LOG": str(log), "PYTHONPATH": str(TREE), **behaviour}
    program = PROGRAM.format(seconds=seconds)
    done = subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True, text=True)
    return Run(done.stdout.strip(), log.read_text().splitlines())


def test_order_of_calls(driver: Path, tmp_path: Path) -> None:
    """The format is set and the stream started before the first picture, on one descriptor that is closed last."""
    done = run(driver, tmp_path / "log")
    assert done.printed == "fine"
    assert done.calls[:5] == [
        "open nonblocking",
        "QUERYCAP",
        f"S_FMT 320x180 YU12 {PICTURE_BYTES}",
        "S_PARM 1/30",
        "STREAMON",
    ]
    assert done.calls.count("close") == done.calls.count("open nonblocking") == 1
    assert done.calls[-1] == "close"


def test_pictures(driver: Path, tmp_path: Path) -> None:
    """The card goes out at once, then the peer's picture, repeated while nothing new comes, then "no signal"."""
    done = run(driver, tmp_path / "log", seconds=20)
    assert {call.split()[1] for call in done.calls if call.startswith("write")} == {str(PICTURE_BYTES)}
    shown = [luma for index, luma in enumerate(done.written) if index == 0 or luma != done.written[index - 1]]
    assert shown[-3:] == [CARD_LUMA, PEER_LUMA, NO_SIGNAL_LUMA]
    peers = done.written_at(PEER_LUMA)
    assert 5 <= len(peers) <= 15  # 2 s, every 150 ms; fewer where the machine pauses
    assert 140 <= statistics.median(later - earlier for earlier, later in pairwise(peers)) < 250
    assert done.written_at(NO_SIGNAL_LUMA)[0] - done.written_at(CARD_LUMA)[-1] >= 2000


def test_streamon_is_refused_by_newer_drivers(driver: Path, tmp_path: Path) -> None:
    """EINVAL from STREAMON is v4l2loopback 0.14 and later, which start by themselves."""
    done = run(driver, tmp_path / "log", V4L2_STREAMON=str(errno.EINVAL))
    assert done.printed == "fine"
    assert PEER_LUMA in done.written


def test_streamon_fails(driver: Path, tmp_path: Path) -> None:
    """Any other error of STREAMON is an error, and the device is closed."""
    done = run(driver, tmp_path / "log", V4L2_STREAMON=str(errno.EBUSY))
    assert "does not start" in done.printed
    assert done.calls[-1] == "close"


def test_the_driver_keeps_another_format(driver: Path, tmp_path: Path) -> None:
    """A driver that answers S_FMT with another format is refused, since it says so by no error."""
    done = run(driver, tmp_path / "log", V4L2_FORMAT="640x480")
    assert "stays at 640x480" in done.printed
    assert "of its own for each instance" in done.printed
    assert not done.written
    assert done.calls[-1] == "close"


def test_no_reader_takes_the_picture(driver: Path, tmp_path: Path) -> None:
    """EAGAIN from write drops the picture and nothing else."""
    assert run(driver, tmp_path / "log", V4L2_WRITE=str(errno.EAGAIN)).printed == "fine"


def test_the_device_goes_away(driver: Path, tmp_path: Path) -> None:
    """Any other error of write is the loss of the camera, and no more is written."""
    done = run(driver, tmp_path / "log", seconds=0.5, V4L2_WRITE=str(errno.ENODEV))
    assert done.printed == "lost"
    assert len(done.written) == 1


def test_no_such_device() -> None:
    """A device that is not there is named in the error."""
    program = PROGRAM.replace("/dev/video-test", "/dev/video-missing").format(seconds=0)
    env = os.environ | {"PYTHONPATH": str(TREE)}
    done = subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True, text=True)
    assert "cannot open /dev/video-missing: No such file" in done.stdout


def test_find_device(tmp_path: Path) -> None:
    """The device is found by its card label, the lowest number first, and only by the whole label."""
    for name, label in {"video10": "SIP Room", "video2": "SIP Room", "video1": "SIP Room 2"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(label + "\n")
    assert find_device("SIP Room", tmp_path) == "/dev/video2"
    assert find_device("SIP Room 2", tmp_path) == "/dev/video1"
    assert find_device("SIP", tmp_path) is None
    assert find_device("SIP Room", tmp_path / "missing") is None
