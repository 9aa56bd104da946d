"""The camera's contract suite inside the image, in QEMU, with the driver of Debian 12 and that of Debian 13."""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.appliance.machine import Machine
from tests.appliance.test_boot import READY_S, SETUP, UNIT

pytestmark = [pytest.mark.slow, pytest.mark.appliance, pytest.mark.timeout(5400)]

ROOT = Path(__file__).parents[2]
LIBRARIES = ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "pytest_asyncio", "pytest_timeout")
CANVAS = "320x180x3"
"""What Chromium keeps up with where a processor is emulated."""
SUITE_S = 2400


@pytest.mark.parametrize("driver", ["0.12.7", "0.15"])
def test_contract(prepared: Path, logs: Path, tmp_path: Path, driver: str) -> None:
    """Every test of the suite passes, as the gateway's user, Chromium's sandbox on."""
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for name in LIBRARIES:
        for file in distribution(name.replace("_", "-")).files or ():
            if file.parts[0] not in {"..", "__pycache__"}:
                target = libraries / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(Path(str(file.locate())).read_bytes())
    with Machine(prepared / "image.qcow2", logs / driver, setup=SETUP) as machine:
        machine.wait_until_active(UNIT, READY_S)
        machine.ssh("systemctl stop jibri-sip.target 'jibri-sip@*'", timeout_s=900)
        machine.put(libraries, ROOT / "tests", ROOT / "setup.cfg", to="/opt/suite")
        if driver != "0.12.7":
            machine.put(prepared / "v4l2loopback-0.15.ko", to="/opt/suite")
            machine.ssh(
                "modprobe videodev; rmmod v4l2loopback && insmod /opt/suite/v4l2loopback-0.15.ko"
                " devices=1 card_label=SIP_Room_1 exclusive_caps=1 max_buffers=2 && udevadm settle"
            )
        version = machine.ssh("cat /sys/module/v4l2loopback/version").strip()
        assert version.startswith(driver)
        command = (
            "cd /opt/suite && PYTHONPATH=/opt/suite/libraries:/opt/suite JIBRI_SIP_PATIENCE=20"
            f" JIBRI_SIP_TEST_CAMERA=v4l2loopback JIBRI_SIP_TEST_CANVAS={CANVAS} HOME=/var/lib/jibri-sip"
            " runuser -u jibri-sip -- /opt/jibri-sip/current/venv/bin/python -m pytest -p no:cacheprovider -q"
            " -o timeout=1500 tests/integration/devices/test_camera.py 2>&1"
        )
        done = subprocess.run(
            [*machine.ssh_command(), command], capture_output=True, text=True, check=False, timeout=SUITE_S
        )
        sys.stdout.write(done.stdout)
        assert done.returncode == 0, done.stdout[-5000:]
