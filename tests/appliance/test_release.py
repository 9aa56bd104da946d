"""Releases side by side: which one runs, and the way back. What systemd makes of it: scripts/test-install."""

import os
import subprocess
from pathlib import Path

import pytest

RELEASE = Path(__file__).parents[2] / "packer/rootfs/usr/lib/jibri-sip/release"


class Machine:
    """A directory with releases in it."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "opt"
        self.etc = directory / "etc"
        self.etc.mkdir(parents=True)
        self._run = directory / "run"
        self._root = directory / "root"
        (self._root / "usr/share/jibri-sip").mkdir(parents=True)

    def lay(self, name: str, *, good: bool = False, takes_config: bool = True) -> None:
        """A release as the installer lays it, of the one program that is asked."""
        command = self.home / "releases" / name / "venv/bin/jibri-sip"
        command.parent.mkdir(parents=True)
        command.write_text(f"#!/bin/sh\nexit {0 if takes_config else 78}\n")
        command.chmod(0o755)
        (self.home / "releases" / name / "complete").touch()
        units = self.home / "releases" / name / "rootfs/usr/lib/systemd/system"
        units.mkdir(parents=True)
        (units / "common.service").write_text(name)
        (units / f"{name}.service").touch()
        if good:
            (self.home / "releases" / name / "good").touch()

    def release(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the program."""
        environment = {
            **os.environ,
            "JIBRI_SIP_RELEASES": str(self.home),
            "JIBRI_SIP_RUN": str(self._run),
            "JIBRI_SIP_ETC": str(self.etc),
            "JIBRI_SIP_ROOT": str(self._root),
            **more,
        }
        return subprocess.run(
            [RELEASE, *words], check=False, capture_output=True, text=True, timeout=20, env=environment
        )

    def units(self) -> dict[str, str]:
        """The units that are in place, and what is in them."""
        return {file.name: file.read_text() for file in (self._root / "usr/lib/systemd/system").iterdir()}

    def __getitem__(self, link: str) -> str:
        """The release that a link names; empty for none."""
        path = self.home / link
        return path.readlink().name if path.is_symlink() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine that runs release `a`, and has `b` beside it."""
    machine = Machine(tmp_path)
    machine.lay("a", good=True)
    machine.lay("b")
    assert machine.release("activate", "a").returncode == 0
    return machine


def test_activate_and_back(machine: Machine) -> None:
    """The new one counts from now on; the one before stays, and can be gone back to."""
    assert machine.release("activate", "b").returncode == 0
    assert (machine["current"], machine["previous"]) == ("b", "a")
    assert machine.release("list").stdout == "a previous good\nb current\n"
    assert machine.release("back").returncode == 0
    assert (machine["current"], machine["previous"]) == ("a", "b")


def test_units_go_with_the_release(machine: Machine) -> None:
    """Those of the one that counts are in place, and none of another; on the way back, by hand or not, as well."""
    assert machine.units() == {"common.service": "a", "a.service": ""}
    machine.release("activate", "b")
    assert machine.units() == {"common.service": "b", "b.service": ""}
    machine.release("back")
    assert machine.units() == {"common.service": "a", "a.service": ""}
    machine.release("activate", "b")
    machine.release("starting", "1")
    machine.release("stopped", "1", SERVICE_RESULT="exit-code")
    assert machine.units() == {"common.service": "a", "a.service": ""}


def test_again_is_nothing_new(machine: Machine) -> None:
    """The way back is not lost when the same one is installed twice."""
    machine.release("activate", "b")
    machine.release("activate", "b")
    assert (machine["current"], machine["previous"]) == ("b", "a")


def test_older_ones_go(machine: Machine) -> None:
    """But for those that something still runs from."""
    machine.lay("c")
    command = machine.home / "releases/a/venv/bin/jibri-sip"
    command.write_text("#!/bin/sh\nread line\n")
    with subprocess.Popen([command], stdin=subprocess.PIPE) as running:
        machine.release("activate", "b")
        machine.release("activate", "c")
        assert (machine.home / "releases/a").exists()
        running.communicate()
    machine.release("activate", "c")
    assert not (machine.home / "releases/a").exists()
    assert (machine.home / "releases/b").exists()


def test_the_configuration_must_suit(machine: Machine) -> None:
    """A release that would not take it is refused before anything is switched."""
    (machine.etc / "jibri-sip.toml").touch()
    machine.lay("c", takes_config=False)
    done = machine.release("activate", "c")
    assert done.returncode == 1
    assert "not one for c" in done.stderr
    assert machine["current"] == "a"


def test_one_that_does_not_start_makes_way(machine: Machine) -> None:
    """As long as it never was good, and the one before was."""
    machine.release("activate", "b")
    machine.release("starting", "2")
    done = machine.release("stopped", "2", SERVICE_RESULT="timeout")
    assert "back to a" in done.stderr
    assert machine["current"] == "a"


@pytest.mark.parametrize("result", ["success", "exit-code"])
def test_one_that_was_good_stays(machine: Machine, result: str) -> None:
    """Whatever ends its instances later."""
    machine.release("activate", "b")
    machine.release("starting", "1")
    machine.release("started", "1")
    machine.release("stopped", "1", SERVICE_RESULT=result)
    assert machine["current"] == "b"


def test_the_end_of_an_older_one_says_nothing_of_the_new(machine: Machine) -> None:
    """An instance that was started with the release before may fail when it likes."""
    machine.release("starting", "1")
    machine.release("activate", "b")
    machine.release("stopped", "1", SERVICE_RESULT="signal")
    assert machine["current"] == "b"


def test_the_first_one_has_nowhere_to_go(tmp_path: Path) -> None:
    """It stays, and is tried again."""
    machine = Machine(tmp_path)
    machine.lay("a")
    machine.release("activate", "a")
    machine.release("starting", "1")
    assert machine.release("stopped", "1", SERVICE_RESULT="exit-code").returncode == 0
    assert machine["current"] == "a"
    assert machine.release("back").returncode == 1
