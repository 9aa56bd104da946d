"""The reference of the import is current, and its tables hold together."""

from pathlib import Path

from jibri_sip.config.jibri_conf import document
from jibri_sip.config.jibri_conf.fates import NotNeeded, TakenOver
from jibri_sip.config.jibri_conf.legacy import KEYS
from jibri_sip.config.jibri_conf.pjsua import OPTIONS
from jibri_sip.config.jibri_conf.table import HABITS, STAND_INS, TABLE, fate_of
from jibri_sip.config.load import annotation_at

DOCS = Path(__file__).parents[3] / "docs"


def test_current(tmp_path: Path) -> None:
    """What is in docs/ is what the code generates now."""
    document.main(tmp_path)
    again = "run: python -m jibri_sip.config.jibri_conf.document"
    assert (DOCS / document.NAME).read_text(encoding="utf-8") == (tmp_path / document.NAME).read_text("utf-8"), again


def test_every_setting_named_exists() -> None:
    """Each setting that a key becomes, or that Jibri's ways need, is one of ours."""
    fates = [*TABLE.values(), *(option.fate for option in OPTIONS.values())]
    named = [fate.setting for fate in fates if isinstance(fate, TakenOver)] + [habit.setting for habit in HABITS]
    for setting in named:
        assert annotation_at(tuple(setting.replace("[]", "").split("."))) is not None, setting


def test_every_default_of_jibri_has_a_fate() -> None:
    """What stands in for Jibri's defaults is what the table knows, but for what has no default."""

    def keys(table: object, path: str = "") -> list[str]:
        if not isinstance(table, dict):
            return [path]
        return [key for name, inner in table.items() for key in keys(inner, f"{path}.{name}" if path else name)]

    stand_ins = keys(dict(STAND_INS))
    assert all(fate_of(key) is not None for key in stand_ins)
    without_default = {key for key in TABLE if "[]" in key or key.startswith("jibri.jwt-info.") or key.endswith(".*")}
    assert set(TABLE) - without_default <= set(stand_ins)


def test_the_json_of_old_is_known() -> None:
    """Each old key is one of the present ones by another name."""
    assert all(fate_of(key) is not None for key in KEYS.values())
    assert isinstance(fate_of("jibri.ffmpeg.some.thing"), NotNeeded)
    assert fate_of("jibri.ffmpegs") is None
