"""Settings that used to have another name: a file of the release before goes on working, and is told what to change.

A release and the one before it have to run on the same file, for the way back (docs/upgrade.md). So a setting that gets
another name stays here for at least one release.
"""

from collections.abc import Mapping
from typing import Any

RENAMED: Mapping[tuple[str, ...], tuple[str, ...]] = {}
"""New path by old path; what lies in an array of tables (`dial_in.rules`) is named as if it were a table."""


def take_old_names(raw: dict[str, Any]) -> list[tuple[str, str]]:
    """Move what stands under an old name to where it is looked for, unless something stands there.

    Args:
        raw: the settings, as read; changed in place.

    Returns:
        Old and new name of each that was found, dotted.
    """
    return [(".".join(old), ".".join(new)) for old, new in RENAMED.items() if _move(raw, old, new)]


def _move(table: Any, old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    if isinstance(table, list):
        # Each of them, not up to the first.
        moved = [_move(item, old, new) for item in table]
        return any(moved)
    if not isinstance(table, dict):
        return False
    if old[0] == new[0] and len(old) > 1 and len(new) > 1:
        return _move(table.get(old[0]), old[1:], new[1:])
    found = _taken(table, old)
    if found is None:
        return False
    for key in new[:-1]:
        table = table.setdefault(key, {})
    table.setdefault(new[-1], found)
    return True


def _taken(table: Any, path: tuple[str, ...]) -> Any:
    """Take out what is at this path; None for nothing."""
    for key in path[:-1]:
        table = table.get(key) if isinstance(table, dict) else None
    return table.pop(path[-1], None) if isinstance(table, dict) else None
