"""Writing what was imported: nothing is overwritten, and nobody else gets to read it."""

import contextlib
import os
import pwd
from pathlib import Path

from jibri_sip.config.jibri_conf.importer import Imported
from jibri_sip.config.jibri_conf.toml_text import render, secrets_of

_OWNER_ONLY = 0o600
_OWNER_ONLY_DIRECTORY = 0o700


def write(imported: Imported, output: Path, owner: str | None) -> list[Path]:
    """Write the configuration, and each secret into a file of its own in a directory beside it.

    Args:
        imported: What was imported.
        output: The configuration file, which must not be there yet.
        owner: User who is to have the files; None for whoever runs this.

    Returns:
        The files, the configuration first.

    Raises:
        OSError: A file is there already or cannot be written; none is left then.
        LookupError: There is no such user.
    """
    output = output.absolute()
    account = pwd.getpwnam(owner) if owner is not None else None
    directory = output.with_suffix(".secrets")
    secrets = secrets_of(imported)
    names = {path: directory / "-".join(map(str, path)) for path in secrets}
    with contextlib.ExitStack() as undo:
        if secrets:
            directory.mkdir(mode=_OWNER_ONLY_DIRECTORY)
            undo.callback(directory.rmdir)
            # By descriptor: who owns the directory above might put a link where a name was.
            inside = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            undo.callback(os.close, inside)
            for path, file in names.items():
                _create(file.name, f"{secrets[path]}\n", account, inside)
                undo.callback(os.unlink, file.name, dir_fd=inside)
            _give(inside, account)
        text = render(imported, {path: str(file) for path, file in names.items()})
        _create(str(output), text, account, None)
        undo.pop_all()
        if secrets:
            os.close(inside)
    return [output, *names.values()]


def _create(name: str, content: str, account: pwd.struct_passwd | None, directory: int | None) -> None:
    """Never through a link, never over what is there; gone again if it cannot be written whole."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, _OWNER_ONLY, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _give(descriptor, account)
            file.write(content)
    except OSError:
        os.unlink(name, dir_fd=directory)
        raise


def _give(descriptor: int, account: pwd.struct_passwd | None) -> None:
    if account is not None:
        os.fchown(descriptor, account.pw_uid, account.pw_gid)
