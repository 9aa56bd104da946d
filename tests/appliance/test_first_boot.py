"""The first set-up from one file, on a root directory of the test's own, with the real `jibri-sip check-config`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "packer/rootfs/usr/lib/jibri-sip/first-boot"
GOOD = """\
# The gateway of the third floor.
[machine]
hostname = "gateway3"
instances = 2
ssh_keys = ["ssh-ed25519 AAAA ann"]
address = "192.0.2.10/24"
gateway = "192.0.2.1"
dns = ["192.0.2.53"]

[meeting]
base_url = "https://meet.example.org"  # ours
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As much of a machine as is set up."""
    for directory in ("etc/jibri-sip", "etc/systemd/network", "root", "run", "boot"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "etc/hosts").write_text("127.0.0.1 localhost\n")
    shutil.copy(ROOT / "packer/rootfs/usr/share/jibri-sip/machine.conf", tmp_path / "etc/jibri-sip/")
    wrapper = tmp_path / "jibri-sip"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -m jibri_sip "$@"\n')
    wrapper.chmod(0o755)
    return tmp_path


def set_up(root: Path, text: str) -> tuple[int, str]:
    """Status, and what the console's banner would tell of it."""
    file = root / "boot/jibri-sip.toml"
    file.write_text(text)
    environment = {**os.environ, "JIBRI_SIP_ROOT": str(root), "JIBRI_SIP_COMMAND": str(root / "jibri-sip")}
    command = [sys.executable, str(SCRIPT), str(file), str(root / "etc/jibri-sip/setup.toml")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)
    failed = root / "run/jibri-sip-first-boot.failed"
    return done.returncode, failed.read_text() if failed.exists() else ""


def test_all_of_it(root: Path) -> None:
    """All is set as the file says; the gateway's part is kept as it was written; the file, with its secrets, goes."""
    (root / "etc/jibri-sip/jibri-sip.toml").write_text("old")
    assert set_up(root, GOOD) == (0, "")
    etc = root / "etc/jibri-sip"
    assert 'base_url = "https://meet.example.org"  # ours' in (etc / "jibri-sip.toml").read_text()
    assert "machine" not in (etc / "jibri-sip.toml").read_text()
    assert (etc / "jibri-sip.toml").stat().st_mode & 0o777 == 0o640
    assert (etc / "jibri-sip.toml.old").read_text() == "old"
    assert "\nINSTANCES=2\n" in (etc / "machine.conf").read_text()
    assert "\nDRAIN_S=" in (etc / "machine.conf").read_text()
    assert (root / "etc/hostname").read_text() == "gateway3\n"
    keys = root / "root/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA ann\n"
    assert keys.stat().st_mode & 0o777 == 0o600
    assert (
        "Address=192.0.2.10/24\nGateway=192.0.2.1\nDNS=192.0.2.53"
        in (root / "etc/systemd/network/50-set-up.network").read_text()
    )
    assert not (root / "boot/jibri-sip.toml").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[machine", "line 1"),
        ("[machine]\nhost = 'x'", "machine.host is unknown; known are"),
        ("[machine]\nhostname = 'a b'", "no host name"),
        ("[machine]\ninstances = 0", "from 1 to 99"),
        ("[machine]\npatience = true", "from 1 to 99"),
        ("[machine]\naddress = '192.0.2.1'", "prefix"),
        ("[machine]\ngateway = '192.0.2.1'", "needs machine.address"),
        ('[machine]\nssh_keys = ["a\\nb"]', "each on one line"),
        ("[meeting]\nbase_url = 'https://meet.example.org'\ntenent = 'x'", "tenent"),
        ("", "base_url"),
    ],
)
def test_nothing_of_a_wrong_file_is_taken(root: Path, text: str, complaint: str) -> None:
    """It says what is wrong and changes nothing; the file stays, to be mended."""
    before = (root / "etc/jibri-sip/machine.conf").read_text()
    status, told = set_up(root, text)
    assert status == 1
    assert complaint in told
    assert sorted(file.name for file in (root / "etc/jibri-sip").iterdir()) == ["machine.conf"]
    assert (root / "etc/jibri-sip/machine.conf").read_text() == before
    assert (root / "boot/jibri-sip.toml").exists()
    assert not (root / "root/.ssh").exists()
