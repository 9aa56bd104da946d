"""The whole import, from Jibri's files to settings that our loader takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jibri_sip.config.jibri_conf.fates import Setting, Verdict
from jibri_sip.config.jibri_conf.leaves import Path as KeyPath
from jibri_sip.config.jibri_conf.leaves import dotted
from jibri_sip.config.jibri_conf.mapping import Mapped, find_base_url, follow_habits, map_arguments, map_leaves
from jibri_sip.config.jibri_conf.pjsua import read_pjsua_config
from jibri_sip.config.jibri_conf.reading import read_jibri_conf
from jibri_sip.config.load import ConfigProblems
from jibri_sip.config.model import Settings
from jibri_sip.config.problems import describe

PJSUA_CONFIG = "pjsua.config"
"""Where Jibri's packages put it: beside jibri.conf."""


class DeploymentUnknown(Exception):  # noqa: N818  (the name says what is wrong)
    """Neither the files nor the caller say where the meetings are."""


@dataclass(frozen=True)
class Imported:
    """What came of the files.

    Attributes:
        files: Those imported.
        settings: Ours, which together are valid.
        verdicts: One for each key of the files, in their order.
        habits: Those settings that no key says, and that make us do as Jibri does.
        missing: Files that jibri.conf includes and that are not there.
    """

    files: tuple[Path, ...]
    settings: tuple[Setting, ...]
    verdicts: tuple[Verdict, ...]
    habits: tuple[Setting, ...]
    missing: tuple[Path, ...]


def import_files(
    conf: Path, pjsua_config: Path | None, base_url: str | None, environment: Mapping[str, str]
) -> Imported:
    """Import a configuration of Jibri's.

    Args:
        conf: jibri.conf, or the JSON of old.
        pjsua_config: pjsua's; by default the one beside `conf`, if there is one.
        base_url: Where the meetings are; by default where the first environment says.
        environment: Variables that substitutions may mean.

    Raises:
        ConfigProblems: All that is wrong with the files, by file and line or key.
        FileUnreadable: A file cannot be read.
        DeploymentUnknown: No base URL was given, and there is no environment that has one.
    """
    read = read_jibri_conf(conf, environment)
    mapped = Mapped()
    map_leaves(mapped, read.leaves, conf)
    files = [conf]
    if pjsua_config is None and (beside := conf.parent / PJSUA_CONFIG).exists():
        pjsua_config = beside
    if pjsua_config is not None:
        map_arguments(mapped, read_pjsua_config(pjsua_config), pjsua_config)
        files.append(pjsua_config)
    if mapped.problems:
        raise ConfigProblems(mapped.problems)
    habits = follow_habits(mapped)
    if not find_base_url(mapped, base_url):
        raise DeploymentUnknown
    settings = tuple(mapped.settings.values())
    _check(settings, conf)
    return Imported(tuple(files), settings, tuple(mapped.verdicts), tuple(habits), read.missing)


def nested(settings: Sequence[Setting]) -> dict[str, Any]:
    """The settings as tables in tables, as a TOML parser would give them; secrets are in it."""
    root: dict[str, Any] = {}
    for setting in sorted(settings, key=lambda setting: _indices(setting.path)):
        table: Any = root
        for part, following in zip(setting.path, setting.path[1:], strict=False):
            if isinstance(part, int):
                # Indices come in order; one that says nothing of ours is left out.
                table.extend({} for _ in range(part + 1 - len(table)))
                table = table[part]
            else:
                table = table.setdefault(part, [] if isinstance(following, int) else {})
        table[setting.path[-1]] = setting.value
    return root


def _indices(path: KeyPath) -> list[int]:
    return [part for part in path if isinstance(part, int)]


def _check(settings: Sequence[Setting], conf: Path) -> None:
    """Raise what our loader would say to these settings, in terms of Jibri's keys."""
    origins = {setting.path: setting.origin for setting in settings}

    def where(path: KeyPath) -> str:
        for length in range(len(path), 0, -1):
            for known, origin in origins.items():
                if known[:length] == path[:length]:
                    return f"{conf}: {origin}" if known == path else f"{conf}: where {origin} stands"
        return str(conf)

    raw = nested(settings)
    try:
        Settings.model_validate(raw)
    except ValidationError as error:
        raise ConfigProblems(describe(error, raw, where)) from None


def report(imported: Imported) -> dict[str, Any]:
    """The verdicts for programs, without any value of the files."""
    return {
        "files": [str(file) for file in imported.files],
        "verdicts": [vars(verdict) for verdict in imported.verdicts],
        "jibris_ways": [
            {"setting": dotted(habit.path), "value": habit.value, "because": habit.origin} for habit in imported.habits
        ],
        "missing_includes": [str(path) for path in imported.missing],
    }
