"""Holds an instance's number on this machine: one gateway for each runtime directory."""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from jibri_sip import errors

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_PATH_BYTES = 88
"""A socket's path has 107 at most (unix(7)), and PipeWire's is /pipewire-0-manager."""
_PLAIN_PATH = re.compile(r"/[-0-9A-Za-z_/.]+")
"""What need not be escaped in addresses of D-Bus, and in arguments of PulseAudio's modules."""
_TRACES = frozenset({"Xauthority", "bus.conf", "chrome", "pulse"})
"""What a gateway makes first and removes last in its directory: one that was killed has left some of it."""


@contextlib.contextmanager
def sole_owner(runtime_dir: Path) -> Iterator[None]:
    """Hold this instance's number: what is left in its directory may then be cleared away.

    The directory itself is locked, not a file beside it, where a service may not write (`RuntimeDirectory=` of
    systemd.exec(5)). It is removed afterwards if that is possible.

    Raises:
        AlreadyRunning: another process holds it.
        DirectoryUnsafe: somebody else could put things into it, it cannot be made, or holds what is not a gateway's.
    """
    descriptor = _lock(runtime_dir)
    try:
        _check_contents(runtime_dir)
        yield
    finally:
        with contextlib.suppress(OSError):
            runtime_dir.rmdir()
        os.close(descriptor)


def check_path(runtime_dir: Path) -> None:
    """See that the daemons can have their sockets in the directory, by its name.

    Raises:
        DirectoryUnsafe: they cannot.
    """
    path = str(runtime_dir)
    if len(path) > _PATH_BYTES or _PLAIN_PATH.fullmatch(path) is None:
        raise errors.DirectoryUnsafe(
            f"{path}: there will be sockets in it, so its path has to begin with / and to be made of no more than"
            f" {_PATH_BYTES} ASCII letters, digits, hyphens, underscores, dots and slashes",
            remedy="Name another one in instance.runtime_dir.",
        )


def check(runtime_dir: Path) -> None:
    """See that the directory could be held, without making or holding it.

    Raises:
        DirectoryUnsafe: somebody else could put things into it, it cannot be made, holds what is not a gateway's, or
            there can be no sockets in it.
    """
    check_path(runtime_dir)
    try:
        if runtime_dir.is_dir():
            _check(runtime_dir.parent, sticky_will_do=True)
            _check(runtime_dir, sticky_will_do=False)
            _check_contents(runtime_dir)
            return
        nearest = next(parent for parent in runtime_dir.parents if parent.exists())
        _check(nearest, sticky_will_do=True)
    except OSError as error:
        raise errors.DirectoryUnsafe(f"{runtime_dir}: {error.strerror}") from None
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise errors.DirectoryUnsafe(f"{runtime_dir} cannot be made in {nearest}")


def _lock(directory: Path) -> int:
    """The directory, open and locked; and the one of this name, not one that its owner has just removed."""
    while True:
        descriptor = _open(directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), directory.lstat()):
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise errors.AlreadyRunning(str(directory)) from None
        os.close(descriptor)


def _open(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(directory.parent, sticky_will_do=True)
        _check(directory, sticky_will_do=False)
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise errors.DirectoryUnsafe(f"{directory}: {error.strerror}") from None


def _check_contents(directory: Path) -> None:
    """See that nothing would be lost with what is in the directory: a home, say, that a wrong setting names.

    Raises:
        DirectoryUnsafe: it is not empty, and no gateway was in it.
    """
    names = {entry.name for entry in directory.iterdir()}
    if names and not names & _TRACES:
        raise errors.DirectoryUnsafe(
            f"{directory} holds {min(names)}, which is no gateway's",
            remedy="Name a directory in instance.runtime_dir that is empty or not there yet: what is in it is removed.",
        )


def _check(directory: Path, *, sticky_will_do: bool) -> None:
    """See that it is nobody's but ours (or root's) to change what is in this directory.

    Raises:
        DirectoryUnsafe: it is not so.
        OSError: it cannot be looked at.
    """
    found = directory.lstat() if not sticky_will_do else directory.stat()
    sticky = sticky_will_do and bool(found.st_mode & stat.S_ISVTX)
    if not stat.S_ISDIR(found.st_mode):
        raise errors.DirectoryUnsafe(f"{directory} is not a directory")
    if found.st_uid not in {0, os.geteuid()} or (not sticky_will_do and found.st_uid != os.geteuid()):
        raise errors.DirectoryUnsafe(f"{directory} belongs to user {found.st_uid}")
    if found.st_mode & _OTHERS_WRITE and not sticky:
        raise errors.DirectoryUnsafe(f"others may write into {directory}")
