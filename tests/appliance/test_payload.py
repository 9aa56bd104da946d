"""What a release is made of: the same from the same sources, and usable as it is unpacked."""

import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(directory: Path) -> str:
    """Make a payload; the release's name."""
    command = [ROOT / "scripts/build-payload", directory]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return (directory / "release").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_same_sources_are_the_same_release(tmp_path: Path) -> None:
    """Installing again what is installed is nothing new; no name of a build's directory is in it."""
    assert build(tmp_path / "first") == build(tmp_path / "second")
    (wheel,) = (tmp_path / "first/wheels").glob("jibri_sip-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o111 for entry in archive.infolist()}
        assert modes["browser/launch"], "Chromium is started by it"
        for name in modes:
            assert str(tmp_path).encode() not in archive.read(name)
            assert b"/payload." not in archive.read(name)
