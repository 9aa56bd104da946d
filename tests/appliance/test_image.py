"""The image: nothing of its builder is in it."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.appliance.machine import run

pytestmark = [pytest.mark.slow, pytest.mark.appliance]

ROOT_OFFSET = (2 + 64) << 20
"""Where scripts/make-disk puts the root file system."""
LEAST_NAME = 6
"""Shorter host names are words that stand in many files."""


def read(prepared: Path, command: str) -> str:
    """What debugfs prints of the image's root file system."""
    raw = f"{prepared}/image.raw?offset={ROOT_OFFSET}"
    return run("/sbin/debugfs", "-R", command, raw)


def names(prepared: Path, directory: str) -> set[str]:
    """The files in a directory."""
    rows = read(prepared, f"ls -p {directory}").splitlines()
    return {row.split("/")[5] for row in rows if row.count("/") > 5} - {".", ".."}


def test_nobody_can_log_in(prepared: Path) -> None:
    """No password, no key; and no host key that all copies would share."""
    shadow = read(prepared, "cat /etc/shadow").splitlines()
    assert {line.split(":")[1] for line in shadow} <= {"*", "!", "!*"}
    assert not {name for name in names(prepared, "/etc/ssh") if name.startswith("ssh_host")}
    assert "authorized_keys" not in names(prepared, "/root/.ssh")
    assert not {name for name in names(prepared, "/var/lib/dkms") if name.startswith("mok")}
    assert names(prepared, "/etc/jibri-sip") == {"machine.conf"}


def test_every_copy_is_a_machine_of_its_own(prepared: Path) -> None:
    """The machine id is made at the first boot, and nothing is remembered of another one."""
    assert "machine-id" in names(prepared, "/etc")
    assert read(prepared, "cat /etc/machine-id") == ""
    assert "random-seed" not in names(prepared, "/var/lib/systemd")
    assert not names(prepared, "/var/log/journal")
    assert "cloud" not in names(prepared, "/var/lib") or not names(prepared, "/var/lib/cloud")


def test_packages_come_from_the_distribution(prepared: Path) -> None:
    """Not from the mirror of the machine that built the image."""
    assert names(prepared, "/etc/apt/sources.list.d") == {"debian.sources"}
    assert "sources.list" not in names(prepared, "/etc/apt")
    lines = read(prepared, "cat /etc/apt/sources.list.d/debian.sources").splitlines()
    files = (f"cat /usr/share/doc/apt/examples/{name}" for name in ("debian.sources", "sources.list"))
    examples = "".join(read(prepared, file) for file in files)
    uris = [line.removeprefix("URIs: ") for line in lines if line.startswith("URIs:")]
    assert uris
    assert all(uri in examples for uri in uris)
    assert not names(prepared, "/var/lib/apt/lists")


def traces() -> dict[str, str]:
    """What would give the building machine away, by what it is."""
    found = {
        "private key": "PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE",
        "cache directory": os.environ.get("JIBRI_SIP_CACHE", "/var/cache/jibri-sip"),
        "machine id": Path("/etc/machine-id").read_text().strip(),
        "kernel": os.uname().release,
    }
    if len(name := socket.gethostname()) >= LEAST_NAME and name != "localhost":
        found["host name"] = name
    for name in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "http_proxy", "DEBIAN_MIRROR"):
        if value := os.environ.get(name):
            found[name] = value
    return {what: text for what, text in found.items() if text}


def test_no_trace_of_the_builder(prepared: Path) -> None:
    """Every byte of the disk is looked at."""
    wanted = [word for text in traces().values() for word in ("-e", text.split("\n")[-1])]
    done = subprocess.run(
        ["grep", "--text", "--only-matching", "--byte-offset", "--fixed-strings", *wanted, prepared / "image.raw"],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},
        timeout=900,
    )
    assert done.returncode == 1, done.stdout[:2000]
