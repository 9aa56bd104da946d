"""What a configuration of Jibri's says, key by key, whichever layout it is written in."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import hocon

Path: TypeAlias = tuple[str | int, ...]
"""Keys from the root, with the index where there is a list of tables."""
Value: TypeAlias = str | tuple[str | None, ...] | None
"""A value as it was written, without quotes: Jibri takes `5222` and `"5222"` alike. None is `null`, and in a list
whatever is no text."""

_PLAIN = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Leaf:
    """A key with its value.

    Attributes:
        path: Where Jibri's present layout has it.
        name: As the operator wrote it.
        value: What was written.
    """

    path: Path
    name: str
    value: Value


def leaves_of(config: hocon.Config) -> list[Leaf]:
    """All keys of a resolved configuration, in the order of the file."""
    found: list[Leaf] = []
    for key in config:
        # In a path, a backslash makes the next character a plain one.
        quoted = '"' + re.sub(r'([\\"])', r"\\\1", key) + '"'
        node = config.get_value(quoted)
        assert node is not None  # noqa: S101  (the key was told to be there)
        found += _walk((key,), node)
    return found


def dotted(path: Path) -> str:
    """The path as one writes it: `jibri.api.xmpp.environments[0].name`."""
    return _joined(path, "[{}]")


def pattern_of(path: Path) -> str:
    """The same for any index: `jibri.api.xmpp.environments[].name`."""
    return _joined(path, "[]")


def _joined(path: Path, index: str) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += index.format(part)
        else:
            text += ("." if text else "") + (part if _PLAIN.fullmatch(part) else json.dumps(part, ensure_ascii=False))
    return text


def _walk(path: Path, node: hocon.HoconValue) -> Iterator[Leaf]:
    if isinstance(node, hocon.HoconScalar):
        yield Leaf(path, dotted(path), _text(node))
    elif not isinstance(node, hocon.HoconArray):
        for key, inner in node.fields.items():
            yield from _walk((*path, key), inner)
    elif node.items and all(_is_table(item) for item in node.items):
        for index, item in enumerate(node.items):
            yield from _walk((*path, index), item)
    else:
        yield Leaf(path, dotted(path), tuple(_text(item) for item in node.items))


def _is_table(node: hocon.HoconValue) -> bool:
    # Not isinstance HoconObject: in lists the parser (1.14.2) leaves objects of a class of its own where the file has
    # no substitution.
    return not isinstance(node, hocon.HoconScalar | hocon.HoconArray)


def _text(node: hocon.HoconValue) -> str | None:
    return node.raw if isinstance(node, hocon.HoconScalar) and not hocon.is_null(node) else None
