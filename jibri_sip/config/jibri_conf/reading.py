"""From files to keys: HOCON with its includes and substitutions, the old JSON, and text in general.

What is read is local, plain, small and UTF-8, or refused; nothing is fetched, nothing is executed.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import hocon
from hocon.adapters import AdapterError, jsonc

from jibri_sip.config.jibri_conf.bounds import TooMuch, bounded
from jibri_sip.config.jibri_conf.leaves import Leaf, leaves_of
from jibri_sip.config.jibri_conf.legacy import in_present_words
from jibri_sip.config.jibri_conf.table import STAND_INS
from jibri_sip.config.load import ConfigProblems
from jibri_sip.config.problems import Problem
from jibri_sip.errors import FileUnreadable

LARGEST_BYTES = 256 * 1024
"""Of one file; a jibri.conf with every key has 10 KiB."""
MOST_FILES = 50
"""Read in one import; a file that includes another twice, which does the same, would else have no end."""


@dataclass(frozen=True)
class Read:
    """What a jibri.conf says.

    Attributes:
        leaves: Its keys, substitutions resolved, in the words of Jibri's present layout.
        missing: Files that it includes and that are not there: to HOCON they are empty.
    """

    leaves: tuple[Leaf, ...]
    missing: tuple[Path, ...]


def read_jibri_conf(file: Path, environment: Mapping[str, str]) -> Read:
    """Read a configuration of Jibri's, in either layout.

    Args:
        file: jibri.conf, or the JSON of old.
        environment: Variables that substitutions may mean.

    Raises:
        ConfigProblems: It is not HOCON, includes itself, leaves a substitution open, is too big or no plain file, or
            grows beyond all bounds when substitutions are resolved.
        FileUnreadable: It, or a file that it includes, cannot be read.
    """
    source = _Source()
    text = read_text(file)
    source.texts[str(file)] = text
    try:
        with bounded():
            config = _json(text)
            if config is None:
                config = _hocon(file, text, source, environment)
            leaves = leaves_of(config)
    except RecursionError:
        raise refusal(str(file), "is nested too deeply") from None
    except TooMuch:
        raise refusal(
            str(file), "is too much to read", hint="do substitutions hold each other many times over, as in ${a}${a}?"
        ) from None
    return Read(tuple(in_present_words(leaves)), source.missing)


def read_text(file: Path) -> str:
    """The text of a file.

    Raises:
        FileUnreadable: It is not there, or may not be read.
        ConfigProblems: It is too big, no plain file, or no text.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise refusal(str(file), "is not a plain file")
        with os.fdopen(descriptor, "rb") as opened:
            content = opened.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FileUnreadable(f"{file}: {reason}") from error
    if len(content) > LARGEST_BYTES:
        raise refusal(str(file), f"has more than {LARGEST_BYTES} bytes, which no configuration of Jibri's has")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise refusal(f"{file}:{line}", f"byte {error.start} is not UTF-8") from None
    if "\0" in text:
        raise refusal(f"{file}:{text[: text.index(chr(0))].count(chr(10)) + 1}", "is binary, not text")
    return text


def refusal(where: str, found: str, key: str = "", hint: str = "") -> ConfigProblems:
    """The error for one thing that is wrong with a file."""
    return ConfigProblems([Problem(where, key, found, hint)])


class _Source:
    """Reads what is included.

    Attributes:
        texts: What was read so far, by path, the last at the end.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._tried: list[Path] = []
        self._count = 0

    def __call__(self, path: str) -> str:
        """The text of an included file, for the parser; FileNotFoundError means empty to it."""
        self._count += 1
        if self._count > MOST_FILES:
            raise refusal(path, f"is included after {MOST_FILES} others; do they include each other?")
        try:
            text = read_text(Path(path))
        except FileUnreadable as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                self._tried.append(Path(path))
                raise FileNotFoundError(path) from None
            raise
        self.texts.pop(path, None)
        self.texts[path] = text
        return text

    @property
    def missing(self) -> tuple[Path, ...]:
        """What was not there. `include "x"` means any of x.conf, x.json and x.properties: one is enough."""
        found = {str(Path(path).with_suffix("")) for path in self.texts}
        return tuple(path for path in dict.fromkeys(self._tried) if str(path.with_suffix("")) not in found)

    def where(self, error: hocon.ParseError | hocon.ResolveError) -> str:
        """`file:line:column` of what the parser stumbled over, as far as it tells."""
        if isinstance(error, hocon.ParseError):
            # Each file is parsed as soon as it is read.
            file = next(reversed(self.texts))
        else:
            # A substitution: the parser tells line and column, not the file.
            found = [path for path, text in self.texts.items() if _at(text, error.line, error.col).startswith("${")]
            file = found[0] if len(found) == 1 else next(iter(self.texts))
            if len(found) != 1:
                return file
        return f"{file}:{error.line}:{error.col}" if error.line else file


def _at(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    return lines[line - 1][max(column - 1, 0) :] if 1 <= line <= len(lines) else ""


def _json(text: str) -> hocon.Config | None:
    """The configuration, if the text is JSON, perhaps with comments; None for any other HOCON."""
    if not text.lstrip().startswith(("{", "/")):
        return None
    try:
        return jsonc.parse(text)
    except AdapterError:
        return None


def _hocon(file: Path, text: str, source: _Source, environment: Mapping[str, str]) -> hocon.Config:
    try:
        config = hocon.parse(
            text,
            base_dir=str(file.absolute().parent),
            env=dict(environment),
            read_file=source,
            resolve_substitutions=False,
        )
        return config.resolve_with(hocon.from_map(dict(STAND_INS)))
    except (hocon.ParseError, hocon.ResolveError) as error:
        # What stands in quotes may be a password that lacks a quote of its own.
        message = re.sub(r"'[^']*'|\"[^\"]*\"", "…", str(error)) if isinstance(error, hocon.ParseError) else str(error)
        raise refusal(source.where(error), message, hint=_hint(message)) from None
    except hocon.ConfigError:
        raise refusal(f"{file}:1", "is a list, where Jibri wants a table") from None


def _hint(message: str) -> str:
    if "substitution" in message:
        return "set that key or environment variable, or write ${?…} where it may be missing"
    if "url(" in message:
        return "only local files are included: put a copy beside this one"
    return ""
