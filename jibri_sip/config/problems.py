"""What is wrong with a setting, in three lines: where, what was found and what may stand there, what to do."""

import difflib
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jibri_sip.config.model import Settings

_REFERENCE = "docs/configuration.md tells what may stand here"
_SECRET_WORDS = ("password", "token", "jwt", "secret")
_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: `file:line:column`, or the environment variable.
        key: Dotted name of the setting; empty when it is about the file as a whole.
        found: What was found, and what is allowed.
        hint: What to do; may be empty.
    """

    where: str
    key: str
    found: str
    hint: str

    def text(self) -> str:
        """Up to three lines."""
        first = f"{self.where}: {self.key}" if self.key else self.where
        return "\n".join([first, f"    {self.found}", *([f"    {self.hint}"] if self.hint else [])])


def describe(
    error: ValidationError, raw: Mapping[str, Any], where: Callable[[tuple[str | int, ...]], str]
) -> list[Problem]:
    """All problems that pydantic found, those of the same place in the file together."""
    return [_describe_one(details, raw, where) for details in error.errors(include_url=False)]


def _describe_one(
    details: ErrorDetails, raw: Mapping[str, Any], where: Callable[[tuple[str | int, ...]], str]
) -> Problem:
    path = _path_in_file(details["loc"], raw, missing=details["type"] == "missing")
    key = ".".join(str(part) for part in path)
    if details["type"] == "extra_forbidden":
        return _unknown_key(path, where(path))
    if details["type"] == "missing":
        path, key = _first_required(path)
        return Problem(where(path), key, "is missing, and has no default", _missing_hint(key))
    # "Value error, must be …", "Input should be …", "String should match …"
    message = re.sub(r"^(Value error, |\w+ (?=should ))", "", details["msg"])
    found = details["input"]
    if details["type"] == "value_error" or _secret(path) or isinstance(found, dict | list):
        return Problem(where(path), key, message, _REFERENCE)
    return Problem(where(path), key, f"found {_shown(found)}, {message}", _nearest_value(details) or _REFERENCE)


def _path_in_file(loc: tuple[str | int, ...], raw: Any, *, missing: bool) -> tuple[str | int, ...]:
    """The part of pydantic's location that is keys and indices; what follows names branches of a union."""
    path: list[str | int] = []
    value = raw
    for position, part in enumerate(loc):
        known = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
        if part in known:
            value = value[part]
        elif not (missing and position == len(loc) - 1):
            break
        path.append(part)
    return tuple(path)


def _first_required(path: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], str]:
    """Name the setting inside a table that is missing as a whole: `meeting` -> `meeting.base_url`."""
    model = _model_at(path)
    if model is not None:
        path = (*path, *(name for name, field in model.model_fields.items() if field.is_required()))[: len(path) + 1]
    return path, ".".join(str(part) for part in path)


def _missing_hint(key: str) -> str:
    section, _, name = key.rpartition(".")
    if key == "meeting.base_url":
        return (
            'say where your Jitsi Meet is: base_url = "https://meet.example.com" in [meeting], '
            "or JIBRI_SIP__MEETING__BASE_URL=https://meet.example.com in the environment"
        )
    return f"add {name} to [{section}]" if section else _REFERENCE


def _unknown_key(path: tuple[str | int, ...], where: str) -> Problem:
    key = ".".join(str(part) for part in path)
    model = _model_at(path[:-1])
    names = list(model.model_fields) if model is not None else []
    wrong = str(path[-1])
    found = f"no such setting; here may stand: {', '.join(names)}"
    near = difflib.get_close_matches(wrong.lower().replace("-", "_"), names, n=1, cutoff=0.6)
    if near:
        return Problem(where, key, found, f"did you mean {'.'.join([*map(str, path[:-1]), near[0]])}?")
    elsewhere = {name: section for section, name in _all_settings()}
    near = difflib.get_close_matches(wrong.lower().replace("-", "_"), elsewhere, n=1, cutoff=0.75)
    return Problem(where, key, found, f"did you mean {elsewhere[near[0]]}.{near[0]}?" if near else _REFERENCE)


def _all_settings() -> list[tuple[str, str]]:
    """Section and name of every setting of the first level."""
    sections = ((name, _model_at((name,))) for name in Settings.model_fields)
    return [(section, name) for section, model in sections if model is not None for name in model.model_fields]


def _model_at(path: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The table that stands at this path; None where no table may stand."""
    model: type[BaseModel] | None = Settings
    for part in path:
        if isinstance(part, int):
            continue
        if model is None or part not in model.model_fields:
            return None
        model = _model_in(model.model_fields[part].annotation)
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in typing.get_args(annotation) if (model := _model_in(part)) is not None), None)


def _nearest_value(details: ErrorDetails) -> str:
    if details["type"] != "literal_error" or not isinstance(details["input"], str):
        return ""
    allowed = [text.strip("'") for text in details["ctx"]["expected"].replace(" or ", ", ").split(", ")]
    near = difflib.get_close_matches(details["input"].lower(), [value.lower() for value in allowed], n=1)
    return f'did you mean "{next(value for value in allowed if value.lower() == near[0])}"?' if near else ""


def _secret(path: tuple[str | int, ...]) -> bool:
    return any(word in str(part) for part in path for word in _SECRET_WORDS)


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
