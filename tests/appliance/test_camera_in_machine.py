"""The camera's contract suite inside the image: in QEMU with the drivers of Debian 12 and 13, and in User-Mode Linux.

QEMU has the appliance's kernel and Chromium's whole sandbox, and is slow; User-Mode Linux is fast, without Chromium's
seccomp filter.
"""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.appliance.machine import Guest, Machine
from tests.appliance.test_boot import READY_S, SETUP, UNIT
from tests.appliance.uml.machine import UserModeMachine

pytestmark = [pytest.mark.slow, pytest.mark.appliance, pytest.mark.timeout(5400)]

ROOT = Path(__file__).parents[2]
LIBRARIES = (
    "pytest",
    "pluggy",
    "iniconfig",
    "packaging",
    "pygments",
    "pytest-asyncio",
    "pytest-timeout",
    "hypothesis",
    "sortedcontainers",
)
EMULATED, USER_MODE = "320x180x3", "320x180x10"
"""What Chromium keeps up with in either."""
SUITE_S = 2400
BOOT_DRIVER = "0.12.7"
PARAMETERS = "devices=1 card_label=SIP_Room_1 exclusive_caps=1 max_buffers=2"


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pytest, as the tests here have it, for the Python of the machine, which is the same."""
    directory = tmp_path_factory.mktemp("suite") / "libraries"
    for name in LIBRARIES:
        for file in distribution(name).files or ():
            if file.parts[0] != ".." and "__pycache__" not in file.parts:
                target = directory / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(Path(str(file.locate())).read_bytes())
    return directory


def assert_contract(machine: Guest, libraries: Path, canvas: str, driver: str) -> None:
    """Every test of the suite passes, as the gateway's user, on this driver."""
    loaded = machine.ssh("dmesg | grep -oE 'v4l2-?loopback driver version [0-9.]+' | tail -n 1")
    assert loaded.split()[-1].startswith(driver)
    machine.put(libraries, ROOT / "tests", ROOT / "setup.cfg", to="/opt/suite")
    command = (
        "cd /opt/suite && PYTHONPATH=/opt/suite/libraries:/opt/suite JIBRI_SIP_PATIENCE=60"
        f" JIBRI_SIP_TEST_CAMERA=v4l2loopback JIBRI_SIP_TEST_CANVAS={canvas} HOME=/var/lib/jibri-sip"
        " runuser -u jibri-sip -- /opt/jibri-sip/current/venv/bin/python -m pytest -p no:cacheprovider -v"
        " -o timeout=1500 tests/integration/devices/test_camera.py 2>&1"
    )
    done = subprocess.run(
        [*machine.ssh_command(), command], capture_output=True, text=True, check=False, timeout=SUITE_S
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.parametrize("driver", [BOOT_DRIVER, "0.15"])
def test_in_qemu(prepared: Path, logs: Path, libraries: Path, driver: str) -> None:
    """Debian's own kernel."""
    with Machine(prepared / "image.qcow2", logs / driver, setup=SETUP) as machine:
        machine.log_in()
        machine.wait_until_active(UNIT, READY_S)
        machine.ssh("systemctl stop jibri-sip.target 'jibri-sip@*'", timeout_s=900)
        if driver != BOOT_DRIVER:
            machine.put(prepared / "v4l2loopback-0.15.ko", to="/opt")
            machine.ssh(f"rmmod v4l2loopback && insmod /opt/v4l2loopback-0.15.ko {PARAMETERS} && udevadm settle")
        assert_contract(machine, libraries, EMULATED, driver)


def test_in_user_mode_linux(prepared: Path, logs: Path, libraries: Path) -> None:
    """The same source of kernel and driver."""
    with UserModeMachine(prepared, logs / "camera") as machine:
        machine.log_in(READY_S)
        machine.wait_for("camera", lambda: "SIP_Room_1" in machine.ssh("cat /sys/class/video4linux/*/name"), READY_S)
        machine.ssh("systemctl stop jibri-sip.target 'jibri-sip@*'", timeout_s=900)
        assert_contract(machine, libraries, USER_MODE, BOOT_DRIVER)
