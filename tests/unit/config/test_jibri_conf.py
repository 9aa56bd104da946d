"""What Jibri's configurations become: each key has its verdict, and our loader takes the result."""

from pathlib import Path

import pytest

from jibri_sip.config import Settings, load
from jibri_sip.config.jibri_conf import DeploymentUnknown, Imported, Verdict, import_files, write
from jibri_sip.config.load import ConfigProblems, annotation_at
from tests.unit.config.jibri_samples import (
    CALL_PASSWORD,
    CONTROL_PASSWORD,
    DOCKER,
    DOCKER_XMPP,
    ENVIRONMENT,
    EVERYTHING,
    LEGACY,
)


def imported(tmp_path: Path, text: str, base_url: str | None = None, **environment: str) -> Imported:
    """The text, imported as a jibri.conf."""
    file = tmp_path / "jibri.conf"
    file.write_text(text, encoding="utf-8")
    return import_files(file, None, base_url, environment)


def loaded(tmp_path: Path, found: Imported) -> Settings:
    """What our loader makes of it."""
    output = tmp_path / "jibri-sip.toml"
    write(found, output, None)
    return load(output, {})


def verdict(found: Imported, key: str) -> Verdict:
    """The verdict on one key."""
    return next(verdict for verdict in found.verdicts if verdict.key == key)


def test_everything(tmp_path: Path) -> None:
    """A file with every key of Jibri's own defaults becomes a configuration with those values."""
    settings = loaded(tmp_path, imported(tmp_path, EVERYTHING))
    assert settings.meeting.base_url == "https://meet.example.com"
    assert (settings.jibri.id, settings.jibri.single_use, settings.jibri.outbound_prefix) == ("jibri-7", True, "")
    assert (settings.api.host, settings.api.port, settings.jibri.internal_port) == ("127.0.0.1", 12222, 13333)
    assert (settings.metrics.statsd_host, settings.metrics.statsd_port) == ("statsd.example.com", 18125)
    assert settings.metrics.prometheus
    assert settings.webhooks.subscribers == ("http://localhost:6000/hook", "http://localhost:8017/hook")
    token = settings.webhooks.token
    assert token is not None
    assert (token.signing_key_file, token.kid, token.ttl_s) == (Path("/etc/jitsi/jibri/key.pem"), "key-1", 7200)
    limits = settings.limits
    assert (limits.no_media_timeout_s, limits.all_muted_timeout_s, limits.ice_timeout_s) == (240, 1800, 45)


def test_an_environment(tmp_path: Path) -> None:
    """The brewery for SIP is entered under the nickname that Jibri uses; both logins come with their passwords."""
    (environment,) = loaded(tmp_path, imported(tmp_path, EVERYTHING)).xmpp
    assert environment.hosts == ("xmpp-1.example.com", "xmpp-2.example.com:6222")
    assert environment.control_muc is None
    (muc,) = environment.mucs
    assert (muc.jid, muc.nickname) == ("SipBrewery@internal.auth.meet.example.com", "jibri-7")
    assert environment.control_login.port == 6222
    assert environment.control_login.secret.get_secret_value() == CONTROL_PASSWORD
    login = environment.call_login
    assert login is not None
    assert login.secret.get_secret_value() == CALL_PASSWORD
    assert (login.domain, login.username, login.randomize_username) == ("sipjibri.meet.example.com", "sipjibri", True)
    assert (environment.strip_from_room_domain, environment.usage_timeout_s) == ("conference.", 3600)
    assert (environment.security, environment.trust_any_certificate) == ("if-possible", True)


def test_docker(tmp_path: Path) -> None:
    """The files that Docker deployments generate: an include, one that is missing, a port in quotes, "0" for never."""
    (tmp_path / "xmpp.conf").write_text(DOCKER_XMPP, encoding="utf-8")
    found = imported(tmp_path, DOCKER)
    assert found.missing == (Path("/nowhere/config/custom-jibri.conf"),)
    settings = loaded(tmp_path, found)
    assert settings.meeting.base_url == "https://meet.example.com:8443"
    (environment,) = settings.xmpp
    assert (environment.control_login.port, environment.usage_timeout_s) == (5222, 0)
    assert [muc.jid for muc in environment.mucs] == ["sipbrewery@internal-muc.meet.jitsi"]
    assert environment.base_url == "https://meet.example.com:8443"


def test_the_json_of_old(tmp_path: Path) -> None:
    """The old layout: minutes without a unit, certificates trusted unless forbidden, names of its own in the report."""
    found = imported(tmp_path, LEGACY)
    settings = loaded(tmp_path, found)
    (environment,) = settings.xmpp
    assert environment.usage_timeout_s == 90 * 60
    assert environment.trust_any_certificate
    assert environment.control_login.secret.get_secret_value() == CONTROL_PASSWORD
    assert (settings.jibri.id, settings.jibri.single_use, settings.metrics.statsd_host) == ("old-1", True, "")
    assert verdict(found, "jibri_id").setting == "jibri.id"
    assert verdict(found, "xmpp_environments[0].control_login.password").setting == "xmpp[0].control_login.password"
    assert verdict(found, "recording_directory").kind == "not-needed"
    assert "unknown" not in {verdict.kind for verdict in found.verdicts}


def test_the_json_of_old_that_forbids(tmp_path: Path) -> None:
    """`always_trust_certs: false` is heard."""
    text = LEGACY.replace('"usage_timeout": 90', '"usage_timeout": 90, "always_trust_certs": false')
    (environment,) = loaded(tmp_path, imported(tmp_path, text)).xmpp
    assert not environment.trust_any_certificate


def test_each_key_has_a_verdict(tmp_path: Path) -> None:
    """Of each key one of the four is said, whatever it is called."""
    text = (
        EVERYTHING + 'jibri.sip.outbound-prefx = x, "a \\"key\\\\.é" = 1, base-domain = example.com, jibri.n = null\n'
    )
    found = imported(tmp_path, text)
    kinds = {verdict.key: verdict.kind for verdict in found.verdicts}
    assert {key for key, kind in kinds.items() if kind == "unknown"} == {
        "jibri.sip.outbound-prefx",
        '"a \\"key\\\\.é"',
        "base-domain",
        "jibri.n",
    }
    assert kinds["jibri.ffmpeg.command-linux-recording"] == "not-needed"
    assert kinds["jibri.chrome.flags --ignore-certificate-errors"] == "no-counterpart"
    assert kinds["jibri.chrome.flags --lang"] == "no-counterpart"
    assert kinds["jibri.chrome.flags --start-maximized"] == "not-needed"
    assert kinds["jibri.api.xmpp.environments[0].control-muc.room-name"] == "not-needed"
    assert kinds["jibri.api.xmpp.environments[0].security-mode"] == "taken-over"
    assert all(verdict.because for verdict in found.verdicts if verdict.kind in {"not-needed", "no-counterpart"})


def test_every_setting_taken_over_is_one_of_ours(tmp_path: Path) -> None:
    """What the report names as our setting is one, or a table of ours."""
    found = imported(tmp_path, EVERYTHING)
    for setting in found.settings:
        assert annotation_at(tuple(part for part in setting.path if isinstance(part, str))) is not None, setting.path


def test_jibris_ways(tmp_path: Path) -> None:
    """What Jibri does without being told is written, unless the file says otherwise."""
    settings = loaded(tmp_path, imported(tmp_path, "jibri {\n}\n", "https://meet.example.com/"))
    assert settings.meeting.base_url == "https://meet.example.com"
    assert settings.xmpp == ()
    assert (settings.dial_in.mode, settings.dial_out.allow) == ("prepared", ("*@*",))
    assert settings.sip.host == "0.0.0.0"  # noqa: S104  (as pjsua does)
    assert settings.jibri.outbound_prefix == "out_"
    assert (settings.metrics.statsd_host, settings.metrics.prometheus) == ("localhost", False)
    assert (settings.limits.no_media_timeout_s, settings.limits.all_muted_timeout_s) == (180, 600)
    told = imported(tmp_path, EVERYTHING)
    assert not {("jibri", "outbound_prefix"), ("metrics", "statsd_host")} & {habit.path for habit in told.habits}


def test_statsd_switched_off(tmp_path: Path) -> None:
    """Neither the file's host nor Jibri's default is taken then."""
    text = "jibri.stats { enable-stats-d = no, host = statsd.example.com, port = 9 }"
    found = imported(tmp_path, text, "https://meet.example.com")
    assert verdict(found, "jibri.stats.host").kind == "not-needed"
    assert loaded(tmp_path, found).metrics.statsd_host == ""


def test_no_deployment(tmp_path: Path) -> None:
    """A file without environments does not say where the meetings are."""
    with pytest.raises(DeploymentUnknown):
        imported(tmp_path, "jibri { id = x }")


@pytest.mark.parametrize(
    ("addition", "base_url", "expected"),
    [
        ("", None, "https://meet.example.com"),
        ('base-url = ""', None, "https://meet.example.com"),
        ('base-url = "https://rooms.example.com"', None, "https://rooms.example.com"),
        ('base-url = "https://rooms.example.com"', "https://other.example.com", "https://other.example.com"),
    ],
)
def test_base_url(tmp_path: Path, addition: str, base_url: str | None, expected: str) -> None:
    """What is given goes over the environment's address, which goes over its domain."""
    text = f"jibri.api.xmpp.environments = [ {ENVIRONMENT} ]".replace("usage-timeout", f"{addition}\nusage-timeout")
    assert loaded(tmp_path, imported(tmp_path, text, base_url)).meeting.base_url == expected


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("0", 0), ('"0"', 0), ("1 hour", 3600), ('"61 minutes"', 3660), ("90s", 60), ("60", 0), ("120000", 120)],
)
def test_usage_timeout(tmp_path: Path, duration: str, seconds: float) -> None:
    """Durations of HOCON; a bare number is milliseconds, and Jibri counts whole minutes."""
    text = f"jibri.api.xmpp.environments = [ {ENVIRONMENT} ]".replace("1 hour", duration)
    assert loaded(tmp_path, imported(tmp_path, text)).xmpp[0].usage_timeout_s == seconds


def test_only_a_control_muc(tmp_path: Path) -> None:
    """Without a brewery for SIP alone, the one for everything is entered, and the report warns of recordings."""
    lines = [line for line in ENVIRONMENT.splitlines() if "sip-control-muc" not in line]
    found = imported(tmp_path, "jibri.api.xmpp.environments = [ " + "\n".join(lines) + " ]")
    assert "refused" in verdict(found, "jibri.api.xmpp.environments[0].control-muc.room-name").because
    assert [muc.room for muc in loaded(tmp_path, found).xmpp[0].mucs] == ["JibriBrewery"]


def test_two_environments(tmp_path: Path) -> None:
    """Both are there in their order, with passwords of their own."""
    second = ENVIRONMENT.replace("prod", "stage").replace(CONTROL_PASSWORD, "other")
    settings = loaded(tmp_path, imported(tmp_path, f"jibri.api.xmpp.environments = [ {ENVIRONMENT}, {second} ]"))
    assert [environment.name for environment in settings.xmpp] == ["prod environment", "stage environment"]
    secrets = [environment.control_login.secret.get_secret_value() for environment in settings.xmpp]
    assert secrets == [CONTROL_PASSWORD, "other"]


def test_an_open_api_is_not_taken_over(tmp_path: Path) -> None:
    """Jibri's API without a token on every address becomes ours on loopback, and the report says why."""
    text = 'jibri.api.http { external-api-host = "0.0.0.0", internal-api-host = "0.0.0.0" }'
    found = imported(tmp_path, text, "https://meet.example.com")
    assert verdict(found, "jibri.api.http.external-api-host").kind == "no-counterpart"
    assert verdict(found, "jibri.api.http.internal-api-host").kind == "no-counterpart"
    settings = loaded(tmp_path, found)
    assert (settings.api.host, settings.jibri.internal_host) == ("127.0.0.1", "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("jibri.api.http.external-api-port = many", "jibri.api.http.external-api-port", "whole number"),
        ("jibri.api.http.external-api-port = 70000", "jibri.api.http.external-api-port", "1 to 65535"),
        ("jibri.single-use-mode = perhaps", "jibri.single-use-mode", "true or false"),
        ("jibri.webhook.subscribers = x", "jibri.webhook.subscribers", "list"),
        ("jibri.webhook.subscribers = [ [ x ] ]", "jibri.webhook.subscribers", "text"),
        ("jibri.jwt-info { kid = x, ttl = soon }", "jibri.jwt-info.ttl", "duration"),
        ("jibri.id = [ x ]", "jibri.id", "text"),
        ('jibri.id = "\\ud800"', "jibri.id", "surrogate"),
        ("jibri.api.xmpp.environments = everywhere", "jibri.api.xmpp.environments", "list of tables"),
    ],
)
def test_values_that_jibri_would_not_take(tmp_path: Path, text: str, key: str, found: str) -> None:
    """They are refused by key, with what should stand there."""
    with pytest.raises(ConfigProblems) as caught:
        imported(tmp_path, text, "https://meet.example.com")
    (problem,) = caught.value.problems
    assert problem.key == key
    assert found in problem.found


def test_what_our_loader_would_refuse(tmp_path: Path) -> None:
    """Values that Jibri takes and we do not, and missing keys, are told in terms of Jibri's keys, all at once."""
    environment = ENVIRONMENT.replace('username = "jibri"', "").replace('"meet.example.com"', '""', 1)
    text = f"jibri.api.xmpp.environments = [ {environment} ], jibri.webhook.subscribers = [ 'x' ]"
    with pytest.raises(ConfigProblems) as caught:
        imported(tmp_path, text, "https://meet.example.com")
    where = {problem.key: problem.where for problem in caught.value.problems}
    assert where["xmpp.0.domain"].endswith("jibri.conf: jibri.api.xmpp.environments[0].xmpp-domain")
    assert "where jibri.api.xmpp.environments[0].control-login" in where["xmpp.0.control_login.username"]
    assert where["webhooks.subscribers.0"].endswith("jibri.webhook.subscribers stands")
    assert CONTROL_PASSWORD not in str(caught.value)
