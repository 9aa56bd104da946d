"""The generated reference is current, complete, and its example works."""

import re
import tomllib
from pathlib import Path

import pytest

from jibri_sip.config import document, load
from jibri_sip.errors import all_errors

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", ["configuration.md", "example.toml", "errors.md"])
def test_current(tmp_path: Path, name: str) -> None:
    """What is in docs/ is what the code generates now."""
    document.main(tmp_path)
    again = "run: python -m jibri_sip.config.document"
    assert (DOCS / name).read_text(encoding="utf-8") == (tmp_path / name).read_text(encoding="utf-8"), again


def test_every_setting_is_described() -> None:
    """Each setting of each table has a description, and stands in the reference and in the example."""
    for path, model, _ in document.tables():
        for key, field in model.model_fields.items():
            if document.table_model(field.annotation) is None:
                assert field.description, f"{path}.{key}"
                assert f"| `{key}` |" in document.configuration()
                assert re.search(rf"^(# )?{key} =", document.example(), re.MULTILINE)


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    """The example can be loaded as it is."""
    file = tmp_path / "example.toml"
    file.write_text(document.example(), encoding="utf-8")
    assert load(file, {}).meeting.base_url == "https://meet.example.com"


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    """With everything that has a value switched on, the example still loads, and means the same."""
    text = re.sub(r"^# (?=\w+ = |\[)", "", document.example(), flags=re.MULTILINE)
    needed = ("domain", "username", "nickname", "room", "kid", "name", "signing_key_file")
    text = re.sub(rf"^# ({'|'.join(needed)}) =$", r'\1 = "x"', text, flags=re.MULTILINE)
    text = re.sub(r"^# hosts =$", 'hosts = ["x"]', text, flags=re.MULTILINE)
    for account in ("meeting.xmpp_login", "xmpp.control_login", "xmpp.call_login"):
        text = text.replace(f"[{account}]", f'[{account}]\npassword = "p"')
    text = text.replace("[sip.account]", '[sip.account]\nproxy = "sip:x"')
    file = tmp_path / "example.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    explicit = load(file, {})
    assert explicit.sip.account is not None
    explicit = explicit.model_copy(update={"sip": explicit.sip.model_copy(update={"account": None})})
    file.write_text('[meeting]\nbase_url = "https://meet.example.com"\n', encoding="utf-8")
    defaults = load(file, {})
    assert tomllib.loads(text)["dial_in"]["rules"] != []
    same = ("sip", "dial_out", "video", "audio", "camera", "limits", "api", "log", "instance", "jibri", "metrics")
    for section in same:
        assert getattr(explicit, section) == getattr(defaults, section)


def test_every_error_is_documented() -> None:
    """Each error has its line, with SIP and HTTP."""
    text = document.errors()
    for cls in all_errors():
        assert re.search(rf"^\| `{cls.key}` \|.*\| {cls.sip_code} \| {cls.http_status} \|", text, re.MULTILINE)
