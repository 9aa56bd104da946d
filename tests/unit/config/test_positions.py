"""Positions of keys in a TOML document, against the text itself."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jibri_sip.config.positions import Path, Position, index_positions

DOCUMENT = '''\
# [not.a.table]
top = """
[neither] = 'this'
"""
[sip]  # comment
  "port" = 5060
dotted . key = 'x#y' # z
[[dial_in.rules]]
user = "[a]\\""
headers = { "X-Room" = "r", to = ["a", "b"] }
[[dial_in.rules]]
user = [
  "one",  # first
  { two = 2 },
]
[dial_in.rules.params]
p = 1979-05-27T07:32:00Z
'''


def test_a_document_with_everything() -> None:
    """Strings, comments, dotted keys, arrays of tables and inline tables: each key is where it is written."""
    found = index_positions(DOCUMENT)
    expected: dict[Path, tuple[int, int]] = {
        ("top",): (2, 1),
        ("sip",): (5, 1),
        ("sip", "port"): (6, 3),
        ("sip", "dotted"): (7, 1),
        ("sip", "dotted", "key"): (7, 10),
        ("dial_in", "rules", 0): (8, 1),
        ("dial_in", "rules", 0, "user"): (9, 1),
        ("dial_in", "rules", 0, "headers", "X-Room"): (10, 13),
        ("dial_in", "rules", 0, "headers", "to", 1): (10, 40),
        ("dial_in", "rules", 1): (11, 1),
        ("dial_in", "rules", 1, "user", 0): (13, 3),
        ("dial_in", "rules", 1, "user", 1, "two"): (14, 5),
        ("dial_in", "rules", 1, "params", "p"): (17, 1),
    }
    assert {path: (found[path].line, found[path].column) for path in expected} == expected
    assert ("not",) not in found
    assert ("neither",) not in found


KEYS = st.text(min_size=1, max_size=8)
SCALARS = st.one_of(st.integers(-9, 99999), st.booleans(), st.floats(-1e3, 1e3), st.text(max_size=20))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


def quoted(text: str) -> str:
    """A basic string of TOML."""
    return (
        '"' + "".join(f"\\U{ord(character):08X}" if not character.isalnum() else character for character in text) + '"'
    )


def written(value: Any) -> str:
    """The value as TOML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else repr(value)


def paths(value: Any, path: Path = ()) -> list[Path]:
    """Paths of everything inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in ((*path, key), *paths(item, (*path, key)))]


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_every_key_of_any_document_is_found(tables: dict[str, dict[str, Any]]) -> None:
    """Each key that tomllib reads has a position, and the key is written there."""
    lines = []
    for name, table in tables.items():
        lines += [f"[{quoted(name)}]", *(f"{quoted(key)} = {written(value)}" for key, value in table.items())]
    text = "\n".join(lines)
    found = index_positions(text)
    assert set(found) == set(paths(tomllib.loads(text)))
    rows = text.split("\n")
    for path, position in found.items():
        if isinstance(path[-1], str):
            assert rows[position.line - 1][position.column - 1 :].lstrip("[").startswith(quoted(path[-1]))


def test_nothing() -> None:
    """An empty document has no positions."""
    assert index_positions("") == {}
    assert index_positions("\n# only this") == {}
    assert index_positions("a=1") == {("a",): Position(1, 1)}
