"""The wheel: what it holds, whose names it uses, and that its console script runs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"browser", "jibri_sip", "virtual_devices"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built by the pinned setuptools of the venv."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", directory, ROOT], check=True, timeout=120)
    return next(directory.glob("*.whl"))


def test_contents(wheel: Path) -> None:
    """Three packages, the agent's script and the compiled devices are in it; tests are not."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert tops == PACKAGES
    assert "browser/agent/agent.js" in names
    for compiled in ("virtual_devices/native/_devices", "jibri_sip/sip/door/_door", "jibri_sip/sip/native/_wire"):
        assert f"{compiled}.abi3.so" in names


def test_console_script(wheel: Path, tmp_path: Path) -> None:
    """Installed, `jibri-sip version` runs without the checkout."""
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    subprocess.run([*command, "--target", target, wheel], check=True, timeout=120)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(
        [target / "bin" / "jibri-sip", "version"],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.split()[-1][0].isdigit()


def test_the_names_are_ours() -> None:
    """No dependency brings a package of the same name: PyPI's `browser`, for one, is somebody else's."""
    site = Path(sys.prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    assert not [name for name in PACKAGES if (site / name).exists()]
