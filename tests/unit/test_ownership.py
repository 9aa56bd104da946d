"""The lock on an instance's directory: one owner, and only of a directory that is nobody else's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jibri_sip.errors import AlreadyRunning, DirectoryUnsafe
from jibri_sip.ownership import check, sole_owner

_HOLD = """
import sys
from pathlib import Path
from jibri_sip.ownership import sole_owner
with sole_owner(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_owner_at_a_time_and_nothing_left(tmp_path: Path) -> None:
    """A second one is refused, in another process too; afterwards the directory is gone."""
    directory = tmp_path / "gateway" / "1"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _HOLD, str(directory)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning), sole_owner(directory):
            pass
        other.communicate()
    assert not directory.exists()
    with sole_owner(directory):
        assert directory.stat().st_mode & 0o777 == 0o700
    assert list(directory.parent.iterdir()) == []


def test_the_parent_need_not_be_writable(tmp_path: Path) -> None:
    """As with systemd's RuntimeDirectory, where the directory is there and nothing may be made beside it."""
    directory = tmp_path / "run" / "gateway"
    directory.mkdir(parents=True, mode=0o755)
    directory.parent.chmod(0o555)
    try:
        with sole_owner(directory):
            (directory / "file").touch()
    finally:
        directory.parent.chmod(0o755)
    assert (directory / "file").exists()


def test_directories_of_others_are_refused(tmp_path: Path) -> None:
    """A link, a file, one that others may write into, one below such a one, one that cannot be made."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.mkdir(mode=0o700)
    link.symlink_to(target)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    file = tmp_path / "file"
    file.touch()
    for directory in (link, open_to_all, open_to_all / "1", file, file / "1"):
        with pytest.raises(DirectoryUnsafe), sole_owner(directory):
            pass


def test_a_directory_with_other_things_is_refused(tmp_path: Path) -> None:
    """What is in it would be removed: a home, the state of the installation. What a killed gateway left may be."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "thesis.tex").touch()
    for look in (check, hold):
        with pytest.raises(DirectoryUnsafe, match=r"thesis\.tex") as error:
            look(home)
        assert "empty" in error.value.remedy
    assert (home / "thesis.tex").exists()
    (home / "thesis.tex").rename(home / "Xauthority")
    for look in (check, hold):
        look(home)


def hold(directory: Path) -> None:
    """Hold it for a moment."""
    with sole_owner(directory):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root owns everything")
def test_another_users_directory_is_refused() -> None:
    """The classic: somebody made it in /tmp before us; here /tmp itself, which is root's."""
    with pytest.raises(DirectoryUnsafe, match="belongs to user 0"), sole_owner(Path("/tmp")):  # noqa: S108
        pass
