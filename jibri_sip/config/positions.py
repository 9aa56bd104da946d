"""Where in a TOML document each key stands: tomllib, which reads the values, does not tell.

Only for documents that tomllib has accepted: this walks the text and checks nothing.
"""

import bisect
import re
import tomllib
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Keys from the root, with the index where there is an array: `("dial_in", "rules", 0, "user")`."""

_BLANK = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\r\n]*")


@dataclass(frozen=True)
class Position:
    """Line and column, both counted from 1."""

    line: int
    column: int


def index_positions(text: str) -> dict[Path, Position]:
    """The position of every key, table and array element of the document, by its path; the first mention counts."""
    return _Walk(text).document()


class _Walk:
    """One walk through a document."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._found: dict[Path, Position] = {}
        self._array_sizes: dict[Path, int] = {}

    def document(self) -> dict[Path, Position]:
        table: Path = ()
        self._skip(_BETWEEN)
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._header(2)
            elif self._text[self._at] == "[":
                table = self._header(1)
            else:
                self._key_value(table)
            self._skip(_BETWEEN)
        return self._found

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not TOML at offset {self._at}")
        self._at = match.end()
        return match.group()

    def _note(self, path: Path, offset: int) -> None:
        line = bisect.bisect_right(self._line_starts, offset)
        self._found.setdefault(path, Position(line, offset - self._line_starts[line - 1] + 1))

    def _header(self, brackets: int) -> Path:
        """`[table]` (one bracket) or `[[array of tables]]` (two)."""
        offset = self._at
        self._at += brackets
        keys = self._dotted_key()
        self._skip(_BLANK)
        self._at += brackets
        path: Path = ()
        for depth, (key, _) in enumerate(keys):
            path = (*path, key)
            self._note(path, offset)
            last = depth == len(keys) - 1
            if last and brackets == 2:  # noqa: PLR2004  (two brackets)
                self._array_sizes[path] = self._array_sizes.get(path, 0) + 1
            if path in self._array_sizes:
                path = (*path, self._array_sizes[path] - 1)
                self._note(path, offset)
        return path

    def _dotted_key(self) -> list[tuple[str, int]]:
        """The parts of a key and where each begins."""
        parts = []
        while True:
            self._skip(_BLANK)
            offset = self._at
            quoted = self._text[self._at] in "\"'"
            raw = self._skip(_STRING if quoted else _BARE_KEY)
            parts.append((_unquote(raw) if quoted else raw, offset))
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _key_value(self, table: Path) -> None:
        path = table
        for key, offset in self._dotted_key():
            path = (*path, key)
            self._note(path, offset)
        self._at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: Path) -> None:
        start = self._text[self._at]
        if start == "[":
            self._array(path)
        elif start == "{":
            self._inline_table(path)
        elif start in "\"'":
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _array(self, path: Path) -> None:
        self._at += 1
        position = 0
        while True:
            self._skip(_BETWEEN)
            if self._text[self._at] == "]":
                self._at += 1
                return
            self._note((*path, position), self._at)
            self._value((*path, position))
            position += 1
            self._skip(_BETWEEN)
            if self._text[self._at] == ",":
                self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while True:
            self._skip(_BETWEEN)
            if self._text[self._at] == "}":
                self._at += 1
                return
            self._key_value(path)
            self._skip(_BETWEEN)
            if self._text[self._at] == ",":
                self._at += 1


def _unquote(raw: str) -> str:
    value = tomllib.loads(f"key = {raw}")["key"]
    return str(value)
