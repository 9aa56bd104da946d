"""Our TOML, with the key that each setting comes from beside it."""

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.items import Table

from jibri_sip.config.jibri_conf.fates import Setting
from jibri_sip.config.jibri_conf.importer import Imported, nested
from jibri_sip.config.jibri_conf.leaves import Path
from jibri_sip.config.model import Settings


def render(imported: Imported, secret_files: Mapping[Path, str] | None) -> str:
    """The configuration file.

    Args:
        imported: What was imported.
        secret_files: Names of the files that hold the secrets, by setting; None writes the secrets themselves.
    """
    settings = [_by_file(setting, secret_files) for setting in imported.settings]
    origins = {setting.path: setting.origin for setting in settings}
    document = tomlkit.document()
    document.add(tomlkit.comment(_printable(f"Imported from {', '.join(map(str, imported.files))}.")))
    document.add(tomlkit.comment("What is not said here is as docs/configuration.md has it."))
    tables = nested(settings)
    for section in Settings.model_fields:
        if section in tables:
            document.add(tomlkit.nl())
            document.add(section, _item(tables[section], (section,), origins))
    return tomlkit.dumps(document)


def secrets_of(imported: Imported) -> dict[Path, str]:
    """The secrets, by setting."""
    return {setting.path: setting.value for setting in imported.settings if setting.secret}


def _by_file(setting: Setting, secret_files: Mapping[Path, str] | None) -> Setting:
    if not setting.secret or secret_files is None:
        return setting
    path = (*setting.path[:-1], f"{setting.path[-1]}_file")
    return Setting(path, secret_files[setting.path], setting.origin)


def _item(value: Any, path: Path, origins: Mapping[Path, str]) -> Any:
    if isinstance(value, dict):
        return _table(value, path, origins)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        tables = tomlkit.aot()
        for index, inner in enumerate(value):
            tables.append(_table(inner, (*path, index), origins))
        return tables
    item = tomlkit.item(value)
    item.comment(_printable(origins[path]))
    return item


def _table(values: Mapping[str, Any], path: Path, origins: Mapping[Path, str]) -> Table:
    table = tomlkit.table()
    for key, value in values.items():
        table.add(key, _item(value, (*path, key), origins))
    return table


def _printable(text: str) -> str:
    """The text without what would end a comment."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
