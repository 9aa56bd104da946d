"""The appliance's units, firewall and scripts, checked without building an image."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTFS = ROOT / "packer" / "rootfs"
SYSTEM = ROOTFS / "usr/lib/systemd/system"
OURS = Path("usr/lib/jibri-sip")


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program's status and what it said."""
    return subprocess.run(
        [str(word) for word in command],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", **environment},
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root file system's part that is ours, with the few programs of others that units name."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(ROOTFS, root, dirs_exist_ok=True, symlinks=True)
    shutil.copytree(ROOT / "packer" / "rootfs-image", root, dirs_exist_ok=True)
    for program in ("usr/sbin/nft", "usr/sbin/kamailio", "usr/sbin/kamcmd", "opt/jibri-sip/current/venv/bin/jibri-sip"):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        (root / program).write_text("#!/bin/sh\n")
        (root / program).chmod(0o755)
    for system in ("systemd/system", "systemd/system-generators"):
        shutil.copytree(Path("/usr/lib") / system, root / "usr/lib" / system, dirs_exist_ok=True, symlinks=True)
    return root


def test_units(root: Path) -> None:
    """The service manager finds nothing to complain of in our units."""
    units = [unit.name.replace("@.", "@1.") for unit in SYSTEM.glob("jibri*")]
    done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"--root={root}", *units)
    ours = [line for line in done.stderr.splitlines() if "jibri" in line]
    assert ours == []
    assert done.returncode == 0, done.stderr


def test_exposure(root: Path) -> None:
    """The instances are confined at least as well as was measured: what `systemd-analyze security` counts, 0 to 10."""
    unit = SYSTEM / "jibri-sip@.service"
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", f"--root={root}", unit)
    found = re.search(r"exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found.group(1)) <= 2.5
    assert done.returncode == 0


def test_chromiums_sandbox_is_left_on() -> None:
    """No unit and no script of ours switches it off, nor forbids what it needs."""
    for file in (path for path in (ROOT / "packer").rglob("*") if path.is_file()):
        assert not re.search(r"no-sandbox|disable-(setuid|seccomp|namespace)\S*sandbox", file.read_text()), file
    unit = (SYSTEM / "jibri-sip@.service").read_text()
    assert "MemoryDenyWriteExecute" not in unit
    assert re.search(r"^RestrictNamespaces=user pid net$", unit, re.MULTILINE)


def test_firewall() -> None:
    """The rules load, twice over (in a network namespace of its own), and let no API in."""
    rules = ROOTFS / "usr/share/jibri-sip/firewall.nft"
    script = f"nft -f {rules} && nft -f {rules} && nft --json list ruleset"
    done = run("unshare", "--user", "--map-root-user", "--net", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert '"policy": "drop"' in done.stdout
    assert not re.search(r"\b(2222|3333)\b", done.stdout)


@pytest.mark.parametrize(("setting", "count"), [("INSTANCES=3", 3), ("", 1), ("INSTANCES=x", 1), ("INSTANCES=500", 99)])
def test_as_many_instances_as_wanted(tmp_path: Path, setting: str, count: int) -> None:
    """The generator makes the target want what machine.conf says; nonsense there costs no call."""
    (tmp_path / "machine.conf").write_text(f"# INSTANCES=7\n{setting}\n")
    text = (ROOTFS / "usr/lib/systemd/system-generators/jibri-sip-instances").read_text()
    generator = tmp_path / "generator"
    generator.write_text(text.replace("/etc/jibri-sip", str(tmp_path)))
    done = run("sh", generator, tmp_path / "units", tmp_path / "early", tmp_path / "late")
    assert done.returncode == 0, done.stderr
    wanted = sorted((tmp_path / "units/jibri-sip.target.wants").glob("jibri-sip@*"))
    assert len(wanted) == count
    assert f"jibri-sip@{count}.service" in {unit.name for unit in wanted}


@pytest.mark.parametrize(
    ("settings", "proxied"),
    [
        ("INSTANCES=1\n", False),
        ("INSTANCES=2\n", True),
        ("INSTANCES=1\nPROXY=yes\n", True),
        ("INSTANCES=2\nPROXY=no\n", False),
        ("INSTANCES=2\nPROXY=auto\n", True),
    ],
)
def test_the_proxy_where_there_are_two(tmp_path: Path, settings: str, proxied: bool) -> None:
    """With it, the instances are told that it has the port."""
    (tmp_path / "machine.conf").write_text(settings)
    text = (ROOTFS / "usr/lib/systemd/system-generators/jibri-sip-instances").read_text()
    generator = tmp_path / "generator"
    generator.write_text(text.replace("/etc/jibri-sip", str(tmp_path)))
    assert run("sh", generator, tmp_path / "units", tmp_path / "early", tmp_path / "late").returncode == 0
    assert (tmp_path / "units/jibri-sip.target.wants/jibri-sip-proxy.service").is_symlink() == proxied
    assert (tmp_path / "units/jibri-sip@.service.d/50-proxy.conf").exists() == proxied


@pytest.mark.parametrize(
    ("setting", "times"),
    [("=1", None), ("=1.5", None), ("=20", 20), ("=2.5", 2), ("=x", None), ("=08", None), ("=", None)],
)
def test_systemd_has_the_machines_patience(tmp_path: Path, setting: str, times: int | None) -> None:
    """On an emulated machine minutes pass until Python is there and could ask systemd for more time."""
    (tmp_path / "machine.conf").write_text(f"JIBRI_SIP_PATIENCE{setting}\n")
    text = (ROOTFS / "usr/lib/systemd/system-generators/jibri-sip-instances").read_text()
    generator = tmp_path / "generator"
    generator.write_text(text.replace("/etc/jibri-sip", str(tmp_path)))
    assert run("sh", generator, tmp_path / "units", tmp_path / "early", tmp_path / "late").returncode == 0
    usual = re.search(r"^TimeoutStartSec=(\d+)$", (SYSTEM / "jibri-sip@.service").read_text(), re.MULTILINE)
    assert usual is not None
    for unit in ("jibri-sip@", "user@"):
        stretched = tmp_path / "units" / f"{unit}.service.d" / "50-patience.conf"
        assert stretched.exists() == (times is not None)
        if times is not None:
            assert stretched.read_text() == f"[Service]\nTimeoutStartSec={int(usual.group(1)) * times}\n"


def test_settings_of_the_machine_are_the_defaults() -> None:
    """machine.conf as shipped says what the unit falls back to."""
    settings = (ROOTFS / "usr/share/jibri-sip/machine.conf").read_text()
    unit = (SYSTEM / "jibri-sip@.service").read_text()
    drain = re.search(r"^DRAIN_S=(\d+)$", settings, re.MULTILINE)
    assert drain is not None
    assert f"DRAIN_S={drain.group(1)}" in unit
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop is not None
    assert int(stop.group(1)) > int(drain.group(1))


def test_no_machine_of_ours_is_named() -> None:
    """What goes into the image names no mirror, and no directory of a build."""
    for file in (path for path in (ROOT / "packer").rglob("*") if path.is_file()):
        hosts = set(re.findall(r"https?://([\w.-]+)", file.read_text()))
        assert hosts <= {"cloud.debian.org", "meet.example.org"}, file


def test_the_banner_is_where_getty_looks() -> None:
    """agetty(8) takes /run/issue.d only where there is no /etc/issue, and every Debian has one."""
    link = ROOTFS / "etc/issue.d/50-jibri-sip.issue"
    unit = (SYSTEM / "jibri-sip-banner.service").read_text()
    assert str(link.readlink()) in unit
