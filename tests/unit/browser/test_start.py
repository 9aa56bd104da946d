"""Chrome's command line, its last words, and its log."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from browser.chrome import diagnose
from browser.chromedriver import LineLimiter
from browser.flags import command_line, merge_features


def test_features_are_merged_into_one_switch() -> None:
    """Chrome heeds the last switch only, so there is one, with each feature once."""
    flags = [
        "--a",
        "--enable-features=X,Y",
        "--disable-features=P",
        "--b",
        "--enable-features=Y,Z",
        "--enable-features=",
    ]
    assert merge_features(flags) == ["--a", "--b", "--enable-features=X,Y,Z", "--disable-features=P"]


def test_command_line_has_geometry_profile_and_the_devices_flags() -> None:
    """The page's size, the profile and the camera's features are there; what would weaken Chrome is not."""
    flags = command_line(Path("/run/x/profile"), (1280, 720), ["--enable-features=WebRtcPipeWireCamera"])
    assert {"--window-size=1280,720", "--user-data-dir=/run/x/profile", "--kiosk", "--disable-gpu"} <= set(flags)
    assert "--enable-features=WebRtcPipeWireCamera" in flags
    assert sum(flag.startswith("--disable-features=") for flag in flags) == 1
    assert not {"--no-sandbox", "--disable-web-security", "--ignore-certificate-errors"} & set(flags)


@pytest.mark.parametrize(("patience", "frames"), [("", 128), ("0.5", 128), ("2", 256), ("20", 1024)])
def test_sound_goes_in_larger_pieces_on_slow_machines(patience: str, frames: int) -> None:
    """Each piece wakes a dozen threads."""
    program = "from browser.flags import FLAGS; print(*FLAGS)"
    environment = {**os.environ, "JIBRI_SIP_PATIENCE": patience}
    flags = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert f" --audio-buffer-size={frames} " in flags.stdout


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("session not created: This version of ChromeDriver only supports Chrome version 156", "version-mismatch"),
        (
            "[1:1:FATAL:zygote_host_impl_linux.cc(132)] No usable sandbox! If you are running on Ubuntu",
            "sandbox-missing",
        ),
        ("The SUID sandbox helper binary was found, but is not configured correctly", "sandbox-missing"),
        ("Failed to move to new namespace: PID namespaces supported, but failed: errno = EPERM", "sandbox-missing"),
        ("ERROR:ui/ozone/platform/x11/ozone_platform_x11.cc:259] Missing X server or $DISPLAY", "display-missing"),
        ("session not created: Chrome instance exited", "start-failed"),
    ],
)
def test_last_words_are_understood(output: str, kind: str) -> None:
    """What Chrome and chromedriver print becomes a kind, and known kinds say what to do."""
    error = diagnose(output)
    assert error.kind == kind
    assert bool(error.remedy) == (kind != "start-failed")


def test_flood_of_lines_is_cut() -> None:
    """So many lines a second are logged, the others counted."""
    lines: list[str] = []
    limiter = LineLimiter(lines.append, per_second=3)
    for number in range(100):
        limiter.line(f"line {number}", 10 + number / 1000)
    limiter.line("next", 11.0)
    assert lines == ["line 0", "line 1", "line 2", "(97 lines dropped)", "next"]
