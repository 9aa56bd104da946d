"""Our own C under AddressSanitizer and UndefinedBehaviorSanitizer, driven by the tests that drive it anyway."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIP = ("access", "encryption", "feedback", "names", "networks", "offer_answer", "sizes", "torture", "tls", "packets")
STUN = (
    "tests/integration/sip/test_turn.py::test_router_gets_another_address",
    "tests/integration/sip/test_turn.py::test_stun_server_lost_and_back",
)
NATIVE = (
    "tests/unit/virtual_devices",
    "tests/unit/sip",
    "tests/integration/devices/test_camera_pipewire.py",
    "tests/integration/devices/test_display.py",
    "tests/integration/devices/test_pjmedia.py",
    "tests/integration/devices/test_sound.py",
    *(f"tests/integration/sip/test_{name}.py" for name in SIP),
    "tests/integration/sip/test_address_changes.py",
    *STUN,
)
ENOUGH = 150
"""Tests that must have passed for the verdict to be worth something."""


@pytest.mark.slow
@pytest.mark.alone  # with three processes of its own
@pytest.mark.timeout(900)
def test_native_parts() -> None:
    """No report of a sanitizer, in signalling, torture, media and devices.

    Tests that fail are no matter of this one, as long as most pass: instrumented code keeps no time. A program that
    dies is.
    """
    done = subprocess.run(
        [ROOT / "scripts/run-sanitized", "-q", "-rp", "-n", "3", "-m", "not slow", *NATIVE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not re.search(r"Sanitizer|runtime error", done.stderr), done.stderr[-20_000:]
    passed = re.search(r"(\d+) passed", done.stdout[-2000:])
    assert passed is not None, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(passed[1]) > ENOUGH
    # Nothing else comes to the door's C for it.
    assert any(f"PASSED {name}" in done.stdout for name in STUN), done.stdout[-8000:]
