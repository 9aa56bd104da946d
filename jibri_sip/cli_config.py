"""`jibri-sip config import`. Exit codes as everywhere: 0 done, 1 failed, 2 used wrongly, 78 what was read is wrong."""

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from jibri_sip import kamailio
from jibri_sip.config.jibri_conf import DeploymentUnknown, Imported, import_files, render, report, write
from jibri_sip.config.jibri_conf.leaves import dotted
from jibri_sip.config.load import ConfigProblems, find_file, load
from jibri_sip.errors import ConfigInvalid, FileUnreadable
from jibri_sip.log import configure

_EX_FAILURE = 1
_EX_CONFIG = 78
_STANDARD_OUTPUT = Path("-")
_REMEDY = "Mend what is named, or hand over a copy without it."


@click.group()
def config() -> None:
    """Make configurations: ours of Jibri's, and Kamailio's of ours."""


@config.command()
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration file. Default: what JIBRI_SIP_CONFIG names, else /etc/jibri-sip/jibri-sip.toml if there.",
)
@click.option("--instances", type=click.IntRange(1, 99), default=1, show_default=True, help="Of this machine.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    required=True,
    help="Where the files go.",
)
@click.option(
    "--routing",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default=kamailio.ROUTING,
    show_default=True,
    help="The part of Kamailio's configuration that is the same everywhere.",
)
def proxy(config_file: Path | None, *, instances: int, output: Path, routing: Path) -> None:
    """Write what Kamailio needs to stand in front of the instances (`[proxy]`)."""
    file = find_file(config_file, os.environ)
    try:
        settings = [
            load(file, {**os.environ, "JIBRI_SIP__PROXY__ENABLED": "true", "JIBRI_SIP__INSTANCE__NUMBER": str(number)})
            for number in range(1, instances + 1)
        ]
        configure(settings[0].log.format, settings[0].log.level)
        directory = output.resolve()
        files = kamailio.render(settings, directory, routing.resolve())
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name).write_text(text, encoding="utf-8")
    except (ConfigInvalid, FileUnreadable) as error:
        click.echo(error.message, err=True)
        if error.remedy:
            click.echo(f"    {error.remedy}", err=True)
        sys.exit(_EX_CONFIG)
    except OSError as error:
        click.echo(f"not written: {error.filename}: {error.strerror}", err=True)
        sys.exit(_EX_FAILURE)


@config.command("import")
@click.argument("jibri_conf", type=click.Path(path_type=Path), metavar="JIBRI_CONF")
@click.option(
    "--pjsua-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration of Jibri's pjsua. Default: pjsua.config beside JIBRI_CONF, if there.",
)
@click.option("--base-url", metavar="URL", help="Where the meetings are. Default: what the first environment says.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the configuration to FILE, which must not be there yet, and its passwords into files beside it. "
    "- prints it with the passwords in it. Default: nothing is written.",
)
@click.option("--owner", metavar="USER", help="User to give the files to, such as the service's; for root.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_(
    jibri_conf: Path,
    *,
    pjsua_config: Path | None,
    base_url: str | None,
    output: Path | None,
    owner: str | None,
    as_json: bool,
) -> None:
    """Turn Jibri's configuration (jibri.conf, or its JSON of old) into ours, and tell of each key what became of it."""
    printed = output == _STANDARD_OUTPUT
    if printed and as_json:
        raise click.UsageError("--json and --output - both want standard output")
    if owner is not None and (output is None or printed):
        raise click.UsageError("--owner is for the files that --output FILE writes")
    imported = _imported(jibri_conf, pjsua_config, base_url, as_json=as_json)
    written: list[Path] = []
    if output is not None and not printed:
        written = _written(imported, output, owner, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True, **report(imported), "written": [str(path) for path in written]}, indent=2))
        return
    _tell(imported, written, err=printed)
    if printed:
        click.echo(render(imported, None), nl=False)
    elif output is None:
        click.echo("Nothing was written; --output FILE does.")


def _imported(conf: Path, pjsua_config: Path | None, base_url: str | None, *, as_json: bool) -> Imported:
    try:
        return import_files(conf, pjsua_config, base_url, os.environ)
    except DeploymentUnknown:
        raise click.UsageError(
            f"{conf} names no deployment (it has no XMPP environment): say --base-url https://…"
        ) from None
    except ConfigProblems as error:
        if as_json:
            problems = [vars(problem) for problem in error.problems]
            _fail_as_json(error.key, error.message, _EX_CONFIG, problems=problems)
        click.echo(f"{conf} cannot be imported", err=True)
        for problem in error.problems:
            click.echo(_printable(problem.text(), keep="\n"), err=True)
        sys.exit(_EX_CONFIG)
    except FileUnreadable as error:
        if as_json:
            _fail_as_json(error.key, error.message, _EX_CONFIG)
        click.echo(_printable(error.message), err=True)
        sys.exit(_EX_CONFIG)


def _written(imported: Imported, output: Path, owner: str | None, *, as_json: bool) -> list[Path]:
    try:
        return write(imported, output, owner)
    except LookupError:
        raise click.UsageError(f"there is no user {owner}") from None
    except OSError as error:
        message = f"{error.filename or output}: {error.strerror}"
        if as_json:
            _fail_as_json("not-written", message, _EX_FAILURE)
        click.echo(f"not written: {message}", err=True)
        sys.exit(_EX_FAILURE)


def _fail_as_json(key: str, message: str, code: int, **more: object) -> NoReturn:
    click.echo(json.dumps({"ok": False, "key": key, "message": message, "remedy": _REMEDY, **more}, indent=2))
    sys.exit(code)


def _tell(imported: Imported, written: list[Path], *, err: bool) -> None:
    """The report for people."""
    for file in imported.files:
        verdicts = [verdict for verdict in imported.verdicts if verdict.file == str(file)]
        click.echo(_printable(str(file)), err=err)
        width = max((len(verdict.key) for verdict in verdicts), default=0)
        for verdict in verdicts:
            click.echo(f"  {_printable(verdict.key):{width}}  {verdict.text}", err=err)
    for path in imported.missing:
        click.echo(f"  include {_printable(str(path))}  is not there, which is as if it were empty", err=err)
    if imported.habits:
        click.echo("Set besides, to do as Jibri does:", err=err)
    for habit in imported.habits:
        click.echo(f"  {dotted(habit.path)} = {json.dumps(habit.value)}: {habit.origin}", err=err)
    for path in written:
        click.echo(f"written: {path}", err=err)
    if written and os.geteuid() == 0 and written[0].stat().st_uid == 0:
        click.echo("These files are root's alone: `chown` them to the service's user, or use --owner.", err=err)


def _printable(text: str, keep: str = "") -> str:
    """The text without what a terminal would take for commands."""
    return "".join(
        character if character.isprintable() or character in keep else "\N{REPLACEMENT CHARACTER}" for character in text
    )
