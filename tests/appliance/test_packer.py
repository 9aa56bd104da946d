"""The Packer template: valid in Packer 1.6, and a real build in QEMU ends well."""

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.appliance.machine import Machine, run

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.appliance, pytest.mark.timeout(7200)]

BUILD_S = 7000


def variables(base: Path) -> list[str]:
    """The template's, for a build from this disk without KVM."""
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    values = {"base_image": str(base), "base_checksum": f"sha256:{digest}", "accelerator": "tcg"}
    return [word for name, value in values.items() for word in ("-var", f"{name}={value}")]


def test_the_template_is_valid(tmp_path: Path) -> None:
    """Every variable, block and option is known."""
    base, archive = tmp_path / "base.qcow2", tmp_path / "appliance.tar"
    base.write_bytes(b"disk")
    archive.touch()
    (tmp_path / "seed").mkdir()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key")
    more = {"archive": archive, "seed": tmp_path / "seed", "ssh_key": tmp_path / "key", "output": tmp_path / "out"}
    arguments = [word for name, value in more.items() for word in ("-var", f"{name}={value}")]
    done = subprocess.run(
        ["packer", "validate", *variables(base), *arguments, ROOT / "packer/appliance.pkr.hcl"],
        env={**os.environ, "CHECKPOINT_DISABLE": "1", "HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_starts_from_the_release_that_builds(tmp_path: Path) -> None:
    """A payload is for one release of Debian, so the disk is of that one, unless another is given."""
    (tmp_path / "payload").mkdir()
    release = platform.freedesktop_os_release()
    said = run(ROOT / "scripts/build-packer", "--prepare", "--payload", tmp_path / "payload", tmp_path / "out")
    image = f"{release['VERSION_CODENAME']}/latest/debian-{release['VERSION_ID']}-generic-amd64.qcow2"
    assert f"base_image=https://cloud.debian.org/images/cloud/{image} " in said


def test_a_real_build(prepared: Path, logs: Path) -> None:
    """The base system becomes the appliance in a virtual machine; what comes out boots to a ready gateway."""
    from tests.appliance.test_boot import READY_S, SETUP, UNIT  # noqa: PLC0415  (its marks are its own)

    output = prepared / "built-by-packer"
    shutil.rmtree(output, ignore_errors=True)
    with (logs / "packer.log").open("w") as log:
        payload = ("--payload", str(prepared / "payload"))
        command = [str(ROOT / "scripts/build-packer"), *payload, str(output), *variables(prepared / "base.qcow2")]
        # The machine's cache is root's.
        own = {name: str(prepared) for name in ("HOME", "TMPDIR", "JIBRI_SIP_CACHE")}
        environment = {**os.environ, **own}
        built = subprocess.run(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, check=False, timeout=BUILD_S
        )
    assert built.returncode == 0, (logs / "packer.log").read_text()[-3000:]
    with Machine(output / "jibri-sip.qcow2", logs / "packer", setup=SETUP) as machine:
        machine.log_in()
        machine.wait_until_active(UNIT, READY_S)
