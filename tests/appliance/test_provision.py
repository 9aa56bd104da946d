"""What makes an image a machine (packer/provision/60-machine.sh), in a root directory of the test's own."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "packer/provision/60-machine.sh"
FSTAB = "PARTUUID=0 / ext4 errors=remount-ro 0 1\n"
NETPLAN = ("50-cloud-init.yaml", "90-default.yaml")
UNITS = ("systemd-networkd", "systemd-resolved", "ssh")
UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
SOURCES = "# Modified by hand\nTypes: deb\nURIs: http://deb.example.org/debian\nComponents: main contrib\n"
ENTER = """
set -e
for directory in bin sbin lib lib64; do
  [ ! -d /usr/$directory ] || mount --rbind /usr/$directory "$1/usr/$directory"
done
exec /usr/sbin/chroot "$1" /usr/bin/env -i SYSTEMD_OFFLINE=1 JIBRI_SIP_KIND=image PATH=/usr/sbin:/usr/bin /60-machine.sh
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As much of a Debian's cloud image as the script looks at; its programs are this machine's."""
    for directory in ("bin", "sbin", "lib", "lib64"):
        (tmp_path / "usr" / directory).mkdir(parents=True)
        (tmp_path / directory).symlink_to(f"usr/{directory}")
    for directory in ("apt/sources.list.d", "apt/apt.conf.d", "netplan"):
        (tmp_path / "etc" / directory).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path)
    shutil.copytree("/etc/pam.d", tmp_path / "etc/pam.d")
    for name in ("os-release", "login.defs"):
        shutil.copy(Path("/etc", name), tmp_path / "etc")
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    (tmp_path / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (tmp_path / "etc/fstab").write_text(FSTAB)
    (tmp_path / "etc/apt/sources.list").write_text("deb http://mirror.example.org/debian bookworm main\n")
    for name in NETPLAN:
        (tmp_path / "etc/netplan" / name).write_text("network: {version: 2}\n")
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for name in UNITS:
        (units / f"{name}.service").write_text(UNIT)
    examples = tmp_path / "usr/share/doc/apt/examples"
    examples.mkdir(parents=True)
    (examples / "debian.sources").write_text(SOURCES)
    return tmp_path


def provision(root: Path) -> None:
    """Run the script, as root of a user namespace."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ENTER, "sh", str(root)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_disk_of_ours(root: Path) -> None:
    """In a chroot: the file systems are found by the labels that scripts/make-disk gives them."""
    provision(root)
    assert "LABEL=root " in (root / "etc/fstab").read_text()
    assert "LABEL=ESP " in (root / "etc/fstab").read_text()


def test_a_machine_that_runs_keeps_its_disk(root: Path) -> None:
    """Packer's, made from Debian's cloud image: its disk has no such labels, and it would not boot again."""
    (root / "run/systemd/system").mkdir(parents=True)
    provision(root)
    assert (root / "etc/fstab").read_text() == FSTAB


def test_the_network_is_ours(root: Path) -> None:
    """Nothing is left that would go before the address of the first set-up, or knows the builder's network card."""
    provision(root)
    assert not list((root / "etc/netplan").iterdir())
    assert (root / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service").is_symlink()


def test_packages_come_from_the_distribution(root: Path) -> None:
    """Whatever mirror built the image, its own is the one that apt's documentation names; nobody can log in."""
    provision(root)
    assert not (root / "etc/apt/sources.list").exists()
    sources = (root / "etc/apt/sources.list.d/debian.sources").read_text()
    assert sources == "Types: deb\nURIs: http://deb.example.org/debian\nComponents: main\n"
    assert (root / "etc/shadow").read_text().startswith("root:!")
