"""The commands. Exit codes: 0 done, 1 failed, 2 used wrongly, 78 configuration wrong (EX_CONFIG of sysexits.h)."""

import asyncio
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, get_args

import click
from pydantic import SecretStr, ValidationError

import jibri_sip
from jibri_sip.api.client import ApiProblem, Client
from jibri_sip.cli_config import config
from jibri_sip.config import ConfigProblems, find_file, load, load_api, old_names
from jibri_sip.errors import ConfigInvalid, FileUnreadable, GatewayError, PackageMissing
from jibri_sip.log import configure, logger
from jibri_sip.session.facts import DialOrder, Problem, SessionFacts, SlotLook, StatusFacts, View
from jibri_sip.session.state import State

EX_FAILURE = 1
EX_CONFIG = 78
_POLL_S = 0.25
_REGISTERED = {True: "registered", False: "not registered", None: "calls go as this"}

_Command = Callable[..., None]


def _with_config(command: _Command) -> _Command:
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Configuration file. Default: what JIBRI_SIP_CONFIG names, else /etc/jibri-sip/jibri-sip.toml if there.",
    )(command)


def _with_json(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """SIP video gateway for Jitsi Meet.

    Exit codes: 0 done, 1 failed, 2 used wrongly, 78 the configuration is wrong.
    """


main.add_command(config)


@main.command()
@_with_config
def run(config_file: Path | None) -> None:
    """Run the gateway until it is told to stop (Ctrl-C, SIGTERM)."""
    with _failures(as_json=False):
        file = find_file(config_file, os.environ)
        settings = load(file)
        configure(settings.log.format, settings.log.level)
        for old, new in old_names(file):
            logger("config").warning("setting_renamed", old=old, new=new, file=str(file))
        try:
            # The other commands shall not have to load the media libraries.
            from jibri_sip import app  # noqa: PLC0415
        except ImportError as error:
            raise PackageMissing(str(error)) from error
        exit_code = app.run(settings)
    sys.exit(exit_code)


@main.command()
@click.option("--room", required=True, help="Room to join.")
@click.option("--to", required=True, metavar="SIP-ADDRESS", help="Whom to call: sip:USER@HOST.")
@click.option("--display-name", help="Name shown in the meeting. Default: the address called.")
@click.option("--tenant", help="Tenant of the room, if not the configured one.")
@click.option(
    "--password-file",
    type=click.File(),
    help="File with the password of the room; - for standard input.",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until both sides are connected.")
@_with_json
@_with_config
def dial(
    room: str,
    to: str,
    display_name: str | None,
    tenant: str | None,
    password_file: Any,
    *,
    wait: bool,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Join a room and call a SIP address into it."""
    with _failures(as_json=as_json), _client(config_file) as client:
        password = SecretStr(password_file.read().rstrip("\r\n")) if password_file is not None else None
        try:
            order = DialOrder(room=room, to=to, display_name=display_name, tenant=tenant, password=password)
        except ValidationError as error:
            raise click.UsageError("; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())) from None
        session = client.dial(order)
        if wait:
            session = _followed(client, session, quiet=as_json)
        _tell_session(session, as_json=as_json)
        if session.end is not None:
            sys.exit(EX_FAILURE)


def _followed(client: Client, session: SessionFacts, *, quiet: bool) -> SessionFacts:
    """Wait until the session is bridged or ended, telling each state on standard error."""
    waiting = {State.REQUESTED, State.PREPARING, State.JOINING, State.RINGING, State.ENDING}
    told = None
    while session.state in waiting:
        if session.state is not told and not quiet:
            click.echo(f"{session.state.value} …", err=True)
        told = session.state
        time.sleep(_POLL_S)
        session = client.session(session.id)
    return session


@main.command()
@click.argument("session_id", required=False, metavar="[ID]")
@_with_json
@_with_config
def hangup(session_id: str | None, *, as_json: bool, config_file: Path | None) -> None:
    """End the session with this ID, or the present one."""
    with _failures(as_json=as_json), _client(config_file) as client:
        _tell_session(client.hang_up(session_id), as_json=as_json)


@main.command()
@_with_json
@_with_config
def status(*, as_json: bool, config_file: Path | None) -> None:
    """Tell how the running gateway stands."""
    with _failures(as_json=as_json), _client(config_file) as client:
        facts = client.status()
        if as_json:
            click.echo(facts.model_dump_json(indent=2))
        else:
            _tell_status(facts)


@main.command()
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="Save what is on the display and what either side is shown there, as PNG.",
)
@_with_json
@_with_config
def look(pictures: Path | None, *, as_json: bool, config_file: Path | None) -> None:
    """Tell what passes through the devices now: sound both ways, programs, windows, pictures."""
    with _failures(as_json=as_json), _client(config_file) as client:
        seen = client.look()
        click.echo(seen.model_dump_json(indent=2) if as_json else _look_text(seen))
        if pictures is not None:
            _save_pictures(client, pictures)


def _look_text(seen: SlotLook) -> str:
    return "\n".join(
        (
            f"sound to SIP {_decibels(seen.to_sip_peak)}, to the meeting {_decibels(seen.to_meet_peak)}",
            f"    on the sound server: {', '.join(map(_printable, seen.sound_clients)) or 'nobody'}",
            f"    on the display: {', '.join(map(_printable, seen.windows)) or 'nothing'}",
        )
    )


def _decibels(peak: float) -> str:
    return f"{20 * math.log10(peak):.0f} dBFS" if peak > 0 else "silent"


def _save_pictures(client: Client, directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for view in get_args(View):
            file = directory / f"{view}.png"
            file.write_bytes(client.picture(view))
            click.echo(str(file), err=True)
    except OSError as error:
        raise click.FileError(str(error.filename), error.strerror) from None


@main.command("check-config")
@_with_json
@_with_config
def check_config(*, as_json: bool, config_file: Path | None) -> None:
    """Tell whether the configuration is valid, and if not, all that is wrong."""
    with _failures(as_json=as_json):
        file = find_file(config_file, os.environ)
        settings = load(file)
        if as_json:
            click.echo(json.dumps({"ok": True, "file": str(file) if file else None}))
        else:
            click.echo(f"ok: {file or 'no file'}, {settings.meeting.base_url}")
            for old, new in old_names(file):
                click.echo(f"    {old} is called {new} now; the old name will not do for ever", err=True)


@main.command()
@click.option(
    "--start/--no-start",
    default=True,
    show_default=True,
    help="Start display, sound, camera and browser to see that they work. Never done beside a gateway that runs.",
)
@_with_json
@_with_config
def doctor(*, start: bool, as_json: bool, config_file: Path | None) -> None:
    """Examine the machine and the servers that the configuration names: what is wrong, and how to mend it.

    Exits with 1 when something is wrong; warnings alone do not count.
    """
    with _failures(as_json=as_json):
        settings = load(find_file(config_file, os.environ))
        configure("console", "error")
        # The other commands shall not have to load the media libraries.
        try:
            from jibri_sip import doctor as examination  # noqa: PLC0415
        except ImportError as error:
            raise PackageMissing(str(error)) from error
        findings = asyncio.run(examination.examine(settings, start=start))
    is_wrong = any(finding.standing is examination.Standing.WRONG for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": not is_wrong, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        for finding in findings:
            click.echo(f"{finding.standing:8} {finding.check:13} {_printable(finding.message)}")
            if finding.remedy:
                click.echo(f"{'':22} {_printable(finding.remedy)}")
    sys.exit(EX_FAILURE if is_wrong else 0)


@main.command()
@_with_json
def version(*, as_json: bool) -> None:
    """Tell the version."""
    facts = {"version": jibri_sip.__version__, "python": platform.python_version()}
    click.echo(json.dumps(facts) if as_json else f"jibri-sip {facts['version']} (Python {facts['python']})")


@contextmanager
def _client(config_file: Path | None) -> Iterator[Client]:
    with Client(load_api(find_file(config_file, os.environ))) as client:
        yield client


@contextmanager
def _failures(*, as_json: bool) -> Iterator[None]:
    """Tell errors as they want to be told, and exit with their code."""
    try:
        yield
    except ConfigProblems as error:
        if as_json:
            problems = [vars(problem) for problem in error.problems]
            click.echo(json.dumps({**Problem.of(error).model_dump(), "ok": False, "problems": problems}, indent=2))
        else:
            click.echo(error.message, err=True)
        sys.exit(EX_CONFIG)
    except GatewayError as error:
        code = EX_CONFIG if isinstance(error, ConfigInvalid | FileUnreadable) else EX_FAILURE
        _fail(Problem.of(error), as_json=as_json, code=code)
    except ApiProblem as error:
        _fail(error.problem, as_json=as_json, code=EX_FAILURE)


def _fail(problem: Problem, *, as_json: bool, code: int) -> NoReturn:
    if as_json:
        click.echo(problem.model_dump_json(indent=2))
    else:
        click.echo(f"{problem.key}: {problem.message}", err=True)
        if problem.remedy:
            click.echo(f"    {problem.remedy}", err=True)
    sys.exit(code)


def _tell_session(session: SessionFacts, *, as_json: bool) -> None:
    if as_json:
        click.echo(session.model_dump_json(indent=2))
        return
    where = f" in {_printable(session.room)}" if session.room else ""
    click.echo(f"session {session.id}: {session.direction} {_printable(session.peer)}{where}, {session.state.value}")
    if session.stages_ms:
        click.echo("    " + ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in session.stages_ms.items()))
    if session.end is not None:
        click.echo(f"    {session.end.key}: {_printable(session.end.message)}")
        if session.end.remedy:
            click.echo(f"    {session.end.remedy}")


def _tell_status(facts: StatusFacts) -> None:
    state = f"{facts.slot}, takes no new calls" if facts.draining else facts.slot
    click.echo(f"jibri-sip {facts.version}, instance {facts.instance}: {state}, up {facts.uptime_s:.0f} s")
    click.echo(f"    SIP {', '.join(facts.sip)}; meetings on {facts.meeting}")
    if facts.account is not None:
        state = _REGISTERED[facts.account.registered]
        answer = f" ({_printable(facts.account.answer)})" if facts.account.answer else ""
        again = "" if facts.account.again_in_s is None else f", asked again in {facts.account.again_in_s:.0f} s"
        click.echo(f"    {facts.account.address}: {state}{answer}{again}")
    if facts.problem is not None:
        click.echo(f"    {facts.problem.key}: {facts.problem.message}\n    {facts.problem.remedy}")
    if facts.session is not None:
        _tell_session(facts.session, as_json=False)


def _printable(text: str) -> str:
    """The text without what a terminal would take for commands."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
