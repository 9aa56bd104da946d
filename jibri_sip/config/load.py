"""From a file and the environment to `Settings`, or to a list of everything that is wrong with them.

Environment variables go over the file: `JIBRI_SIP__SIP__PORT=5080` is `port` in `[sip]`. What a variable holds is
text where the setting is text, and TOML (`true`, `5080`, `["*@rooms.example.com"]`) where it is not.
"""

import os
import re
import stat
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from jibri_sip.config.model import ApiAddress, ApiSettings, Settings
from jibri_sip.config.positions import Path as KeyPath
from jibri_sip.config.positions import Position, index_positions
from jibri_sip.config.problems import Problem, describe
from jibri_sip.config.renamed import take_old_names
from jibri_sip.errors import ConfigInvalid, FileUnreadable

DEFAULT_FILE = Path("/etc/jibri-sip/jibri-sip.toml")
FILE_VARIABLE = "JIBRI_SIP_CONFIG"
PREFIX = "JIBRI_SIP__"


class ConfigProblems(ConfigInvalid):
    """Everything that is wrong with the configuration.

    Attributes:
        problems: In the order of the file.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=_place)
        super().__init__("\n".join(problem.text() for problem in self.problems))

    @property
    def message(self) -> str:
        """The summary, and below it each problem in three lines."""
        return f"{self.summary}\n{self.detail}"


def _place(problem: Problem) -> tuple[bool, int, int]:
    """Sort key: what is in the file by line and column, then the rest."""
    match = re.search(r":(\d+):(\d+)$", problem.where)
    return (False, int(match[1]), int(match[2])) if match else (True, 0, 0)


@dataclass(frozen=True)
class _Source:
    """What a setting came from, for the first line of a problem."""

    file: Path | None
    positions: Mapping[KeyPath, Position]
    variables: Mapping[KeyPath, str]

    def where(self, path: KeyPath) -> str:
        """`file:line:column` or the variable that gave this setting or the nearest table around it."""
        if path in self.variables:
            return f"environment variable {self.variables[path]}"
        if self.file is None:
            return "no configuration file"
        for length in range(len(path), 0, -1):
            if (position := self.positions.get(path[:length])) is not None:
                return f"{self.file}:{position.line}:{position.column}"
        return f"{self.file}:1:1"


def find_file(given: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The file to read: the one given, else the one named by `JIBRI_SIP_CONFIG`, else the default one if it exists."""
    if given is not None:
        return given
    if named := environment.get(FILE_VARIABLE):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def load(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration.

    Args:
        file: TOML file; None for settings from the environment and defaults alone.
        environment: Variables to look at; those of the process by default.

    Raises:
        ConfigProblems: With every problem found, not just the first.
        FileUnreadable: The file is not there or not readable.
    """
    return _load(Settings, file, environment)


def load_api(file: Path | None = None, environment: Mapping[str, str] | None = None) -> ApiSettings:
    """Read as much of the configuration as a command needs to reach the running gateway; the rest may be wrong.

    Raises:
        ConfigProblems: `[instance]` or `[api]` is wrong.
        FileUnreadable: The file is not there or not readable.
    """
    return _load(ApiAddress, file, environment).api


def old_names(file: Path | None = None, environment: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Settings that the configuration has under an old name, and what they are called now.

    Raises:
        ConfigProblems: It is not TOML.
        FileUnreadable: The file is not there or not readable.
    """
    raw = _parse(file, _read(file) if file is not None else "")
    _overlay(raw, os.environ if environment is None else environment)
    return take_old_names(raw)


_Model = TypeVar("_Model", bound=BaseModel)


def _load(model: type[_Model], file: Path | None, environment: Mapping[str, str] | None) -> _Model:
    text = _read(file) if file is not None else ""
    raw = _parse(file, text)
    positions = index_positions(text)
    variables, problems = _overlay(raw, os.environ if environment is None else environment)
    take_old_names(raw)
    source = _Source(file, positions, variables)
    try:
        settings = model.model_validate(raw)
    except ValidationError as error:
        problems += describe(error, raw, source.where)
    else:
        problems += _exposed_secrets(file, settings, source)
        if not problems:
            return settings
    raise ConfigProblems(problems)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except OSError as error:
        raise FileUnreadable(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigProblems(
            [Problem(f"{file}:1:1", "", f"byte {error.start} is not UTF-8", "save it as UTF-8")]
        ) from None


def _parse(file: Path | None, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # "Expected '=' after a key (at line 3, column 5)", or "(at end of document)"
        match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
        message, line, column = match.groups() if match else (str(error), None, None)
        where = f"{file}:{line or text.count(chr(10)) + 1}:{column or 1}"
        problem = Problem(
            where, "", f"not TOML: {message}", "text values need quotes; https://toml.io shows the format"
        )
        raise ConfigProblems([problem]) from None


def _overlay(raw: dict[str, Any], environment: Mapping[str, str]) -> tuple[dict[KeyPath, str], list[Problem]]:
    """Put the environment's settings over the file's; tell what came from which variable, and which mean nothing."""
    variables: dict[KeyPath, str] = {}
    problems: list[Problem] = []
    for name in sorted(environment):
        if not name.startswith(PREFIX):
            continue
        path = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
        table: Any = raw
        for key in path[:-1]:
            table = table.setdefault(key, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict) or not path[-1]:
            problems.append(Problem(f"environment variable {name}", ".".join(path), "names no setting", ""))
            continue
        table[path[-1]] = _from_variable(path, environment[name])
        variables[path] = name
    return variables, problems


def _from_variable(path: tuple[str, ...], text: str) -> Any:
    if takes_text(path):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def annotation_at(path: KeyPath) -> Any:
    """The type of the setting at this path; None if there is none."""
    annotation: Any = Settings
    for key in path:
        model = next(
            (part for part in _parts(annotation) if isinstance(part, type) and issubclass(part, BaseModel)), None
        )
        if isinstance(key, int):
            continue
        if model is None or key not in model.model_fields:
            return None
        annotation = model.model_fields[key].annotation
    return annotation


def _parts(annotation: Any) -> Iterator[Any]:
    """The annotation and everything it is put together from."""
    yield annotation
    for part in typing.get_args(annotation):
        yield from _parts(part)


def takes_text(path: KeyPath) -> bool:
    """Whether the setting at this path is text, which a variable gives without quotes."""
    annotation = annotation_at(path)
    if typing.get_origin(annotation) in {tuple, Mapping}:
        return False
    parts = list(_parts(annotation))
    return any(part is str or part is SecretStr or part is Path or isinstance(part, str) for part in parts)


def _exposed_secrets(file: Path | None, settings: BaseModel, source: _Source) -> list[Problem]:
    """Secrets that stand in a configuration file which everyone on the machine can read."""
    if file is None or not file.stat().st_mode & stat.S_IROTH:
        return []
    hint = f"put it into a file of its own and name that by its …_file setting, or: chmod o= {file}"
    return [
        Problem(source.where(path), _dotted(path), "a secret in a file that everyone on this machine can read", hint)
        for path in _inline_secrets(settings, ())
        if path not in source.variables
    ]


def _inline_secrets(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, BaseModel):
        for name in value.model_fields_set:
            yield from _inline_secrets(getattr(value, name), (*path, name))
    elif isinstance(value, tuple):
        for position, item in enumerate(value):
            yield from _inline_secrets(item, (*path, position))
    elif isinstance(value, SecretStr) and not str(path[-1]).endswith("_file"):
        yield path


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)
