"""`jibri-sip config import`: reports, files, exit codes, and where passwords go."""

import json
import os
import pwd
import stat
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jibri_sip.cli import main
from jibri_sip.config import load
from tests.unit.config.jibri_samples import (
    CALL_PASSWORD,
    CANARIES,
    CONTROL_PASSWORD,
    DOCKER,
    DOCKER_XMPP,
    EVERYTHING,
    PJSUA_PRODUCTION,
)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Jibri's directory, with a pjsua.config."""
    directory = tmp_path / "jibri"
    directory.mkdir()
    (directory / "jibri.conf").write_text(EVERYTHING, encoding="utf-8")
    (directory / "pjsua.config").write_text(PJSUA_PRODUCTION, encoding="utf-8")
    return directory / "jibri.conf"


def run(*arguments: str | Path) -> Result:
    """The command with these arguments."""
    return CliRunner().invoke(main, ["config", "import", *map(str, arguments)])


def test_the_report(conf: Path, tmp_path: Path) -> None:
    """Without --output nothing is written, and each key has a line; no password is in it."""
    before = sorted(tmp_path.rglob("*"))
    result = run(conf)
    assert result.exit_code == 0
    assert "jibri.api.http.external-api-port" in result.output
    assert "taken over as api.port" in result.output
    assert "not needed: nothing is recorded" in result.output
    assert "taken over as sip.account.user" in result.output
    assert 'dial_out.allow = ["*@*"]' in result.output
    assert not [canary for canary in CANARIES if canary in result.output]
    assert sorted(tmp_path.rglob("*")) == before


def test_the_report_for_programs(conf: Path) -> None:
    """The same as JSON."""
    result = run(conf, "--json")
    assert result.exit_code == 0
    report = json.loads(result.output)
    assert report["ok"]
    assert report["written"] == []
    assert {"file": str(conf), "key": "jibri.id", "kind": "taken-over", "setting": "jibri.id", "because": ""} in report[
        "verdicts"
    ]
    assert {entry["setting"] for entry in report["jibris_ways"]} == {"dial_in.mode", "dial_out.allow"}
    assert not [canary for canary in CANARIES if canary in result.output]


def test_the_files(conf: Path, tmp_path: Path) -> None:
    """The configuration names files with the passwords; only their owner can read any of them."""
    output = tmp_path / "jibri-sip.toml"
    result = run(conf, "--output", output)
    assert result.exit_code == 0
    assert f"written: {output}" in result.output
    secrets = tmp_path / "jibri-sip.secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    files = [output, *secrets.iterdir()]
    assert len(files) == 4
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    text = output.read_text(encoding="utf-8")
    assert not [canary for canary in CANARIES if canary in text + result.output]
    assert "port = 12222 # jibri.api.http.external-api-port" in text
    (environment,) = load(output, {}).xmpp
    assert environment.control_login.secret.get_secret_value() == CONTROL_PASSWORD


def test_printed(conf: Path) -> None:
    """`--output -` prints the configuration with the passwords, and nothing else, on standard output."""
    result = run(conf, "--output", "-")
    assert result.exit_code == 0
    tables = tomllib.loads(result.stdout)
    assert tables["xmpp"][0]["control_login"]["password"] == CONTROL_PASSWORD
    assert tables["xmpp"][0]["call_login"]["password"] == CALL_PASSWORD
    assert "taken over" in result.stderr
    assert not [canary for canary in CANARIES if canary in result.stderr]


@pytest.mark.parametrize("there", ["jibri-sip.toml", "jibri-sip.secrets/x"])
def test_nothing_is_overwritten(conf: Path, tmp_path: Path, there: str) -> None:
    """Where a file is there already, none is written and none is changed."""
    existing = tmp_path / there
    existing.parent.mkdir(exist_ok=True)
    existing.write_text("mine", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    for arguments in ((), ("--json",)):
        result = run(conf, "--output", tmp_path / "jibri-sip.toml", *arguments)
        assert result.exit_code == 1
        assert "File exists" in result.output
    assert sorted(tmp_path.rglob("*")) == before
    assert existing.read_text(encoding="utf-8") == "mine"


def test_a_link_is_not_followed(conf: Path, tmp_path: Path) -> None:
    """A link with the output's name leads nowhere."""
    (tmp_path / "jibri-sip.toml").symlink_to(tmp_path / "elsewhere")
    assert run(conf, "--output", tmp_path / "jibri-sip.toml").exit_code == 1
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "jibri-sip.secrets").exists()


def test_the_owner(conf: Path, tmp_path: Path) -> None:
    """The files can be given to a user; one that is not there is a mistake of use, and nothing is written."""
    output = tmp_path / "jibri-sip.toml"
    assert run(conf, "--output", output, "--owner", "no-such-user").exit_code == 2
    assert not output.exists()
    # Only root can give files away; anyone can give them to himself.
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    assert run(conf, "--output", output, "--owner", user.pw_name).exit_code == 0
    secrets = tmp_path / "jibri-sip.secrets"
    assert {path.stat().st_uid for path in (output, secrets, *secrets.iterdir())} == {user.pw_uid}


def test_used_wrongly(conf: Path, tmp_path: Path) -> None:
    """No address of meetings, options that exclude each other."""
    (tmp_path / "empty.conf").write_text("jibri {}", encoding="utf-8")
    result = run(tmp_path / "empty.conf")
    assert result.exit_code == 2
    assert "--base-url" in result.output
    assert run(tmp_path / "empty.conf", "--base-url", "https://meet.example.com").exit_code == 0
    assert run(conf, "--json", "--output", "-").exit_code == 2
    assert run(conf, "--owner", "root").exit_code == 2
    assert run().exit_code == 2


def test_wrong_files(conf: Path, tmp_path: Path) -> None:
    """Wrong HOCON, wrong values, wrong addresses, files that are not there: 78, as text and as JSON."""
    conf.write_text("jibri {\n  id = ${no.such}\n}\njibri.stats.port = many", encoding="utf-8")
    result = run(conf)
    assert result.exit_code == 78
    assert f"{conf}:2:8" in result.output
    conf.write_text("jibri.stats.port = many, jibri.single-use-mode = 5", encoding="utf-8")
    report = json.loads(run(conf, "--json").output)
    assert not report["ok"]
    assert {problem["key"] for problem in report["problems"]} == {"jibri.stats.port", "jibri.single-use-mode"}
    conf.write_text("jibri {}", encoding="utf-8")
    result = run(conf, "--base-url", "meet.example.com")
    assert (result.exit_code, "--base-url" in result.output) == (78, True)
    for arguments in ((), ("--json",)):
        assert run(tmp_path / "absent", *arguments).exit_code == 78
        assert run(conf, "--pjsua-config", tmp_path / "absent", *arguments).exit_code == 78


def test_a_missing_include_is_told(conf: Path) -> None:
    """It counts as empty, and is in the report."""
    conf.write_text(DOCKER, encoding="utf-8")
    (conf.parent / "xmpp.conf").write_text(DOCKER_XMPP, encoding="utf-8")
    assert "include /nowhere/config/custom-jibri.conf  is not there" in run(conf).output
    assert json.loads(run(conf, "--json").output)["missing_includes"] == ["/nowhere/config/custom-jibri.conf"]


def test_nothing_for_the_terminal(conf: Path) -> None:
    """Keys that hold a terminal's commands are shown without them."""
    conf.write_text('"\\u001b[2Jkey" = 1, "\\u202eyek" = 2', encoding="utf-8")
    result = run(conf, "--base-url", "https://meet.example.com")
    assert result.exit_code == 0
    assert not {"\x1b", "\u202e"} & set(result.output)
