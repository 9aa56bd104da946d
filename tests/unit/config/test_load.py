"""Reading the configuration: defaults, the environment, and one clear message for everything that is wrong."""

import socket
from pathlib import Path

import pytest

from jibri_sip.config import ConfigProblems, Settings, find_file, load, load_api, old_names, renamed
from jibri_sip.errors import FileUnreadable

MEETING = '[meeting]\nbase_url = "https://meet.example.com/"\n'


def written(directory: Path, text: str, mode: int = 0o600) -> Path:
    """A configuration file with this text."""
    file = directory / "jibri-sip.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


def problems(directory: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    """The problems of a configuration, each as its lines; `FILE` stands for the file."""
    file = written(directory, text)
    with pytest.raises(ConfigProblems) as caught:
        load(file, environment or {})
    return [problem.text().replace(str(file), "FILE") for problem in caught.value.problems]


def test_the_least(tmp_path: Path) -> None:
    """With the deployment's address alone, all listens on loopback, calls come in, and nobody may be called."""
    settings = load(written(tmp_path, MEETING), {})
    assert settings.meeting.base_url == "https://meet.example.com"
    assert (settings.sip.host, settings.sip.port, settings.sip.tls_port) == ("127.0.0.1", 5060, 5061)
    assert (settings.api.host, settings.api.port) == ("127.0.0.1", 2222)
    assert settings.dial_in.mode == "open"
    assert settings.dial_out.allow == ()


@pytest.mark.parametrize("number", [1, 2, 7])
def test_instances_do_not_share(tmp_path: Path, number: int) -> None:
    """Ports, camera and directory follow from the instance's number."""
    settings = load(written(tmp_path, f"{MEETING}[instance]\nnumber = {number}\n"), {})
    assert settings.sip.port == 5060 + 10 * (number - 1)
    assert settings.sip.tls_port == settings.sip.port + 1
    assert settings.api.port == 2222 + number - 1
    assert (settings.sip.rtp_port_first, settings.sip.rtp_port_last) == (9900 + 100 * number, 9999 + 100 * number)
    assert settings.camera.label == f"SIP_Room_{number}"
    assert settings.instance.runtime_dir.name == str(number)


def test_a_given_port_stays(tmp_path: Path) -> None:
    """What is given is not derived."""
    settings = load(written(tmp_path, f"{MEETING}[instance]\nnumber = 2\n[sip]\nport = 6000\n"), {})
    assert (settings.sip.port, settings.sip.tls_port) == (6000, 5071)


def test_environment_goes_over_the_file(tmp_path: Path) -> None:
    """Variables set text without quotes, and numbers, booleans and lists as TOML."""
    settings = load(
        written(tmp_path, f'{MEETING}password = "1111"\n[sip]\nport = 5080\n'),
        {
            "JIBRI_SIP__SIP__PORT": "5090",
            "JIBRI_SIP__SIP__TCP": "false",
            "JIBRI_SIP__SIP__SRTP": "required",
            "JIBRI_SIP__MEETING__PASSWORD": "0123",
            "JIBRI_SIP__MEETING__DISPLAY_NAME": "42",
            "JIBRI_SIP__DIAL_OUT__ALLOW": '["*@rooms.example.com"]',
            "JIBRI_SIP__INSTANCE__RUNTIME_DIR": "/run/elsewhere",
            "JIBRI_SIP_CONFIG": "/nowhere",
            "PATH": "/bin",
        },
    )
    assert (settings.sip.port, settings.sip.tcp, settings.sip.srtp) == (5090, False, "required")
    assert settings.meeting.room_password is not None
    assert settings.meeting.room_password.get_secret_value() == "0123"
    assert settings.meeting.display_name == "42"
    assert settings.dial_out.allow == ("*@rooms.example.com",)
    assert settings.instance.runtime_dir == Path("/run/elsewhere")


def test_environment_alone() -> None:
    """No file is needed."""
    settings = load(None, {"JIBRI_SIP__MEETING__BASE_URL": "http://localhost:8000"})
    assert settings.meeting.base_url == "http://localhost:8000"


def test_three_lines_for_a_wrong_key(tmp_path: Path) -> None:
    """A wrong key is told with its place, what may stand there, and the nearest key."""
    (problem,) = problems(tmp_path, MEETING + "[sip]\n  prot = 5070\n")
    first, second, third = problem.split("\n")
    assert first == "FILE:4:3: sip.prot"
    assert second.startswith("    no such setting; here may stand: host, port,")
    assert third == "    did you mean sip.port?"


def test_a_key_in_the_wrong_section(tmp_path: Path) -> None:
    """A key that another section has is told with that section."""
    (problem,) = problems(tmp_path, MEETING + '[video]\ncodecs = ["opus"]\n')
    assert problem.endswith("did you mean audio.codecs?")


def test_everything_at_once(tmp_path: Path) -> None:
    """All problems are told in one go, in the order of the file, the environment's last."""
    found = problems(
        tmp_path,
        '[sip]\nport = 70000\nsrtp = "Optional"\ntcp = 1\n[[dial_in.rules]]\n[[dial_in.rules]]\nuser = "("\nroom = 5\n'
        '[audio]\ncodecs = [\n "opus",\n "g722",\n]\n[nonsense]\nx = 1\n',
        {"JIBRI_SIP__LOG__LEVEL": "inof", "JIBRI_SIP__SIP__PORT__X": "1"},
    )
    assert [problem.split("\n")[0] for problem in found] == [
        "FILE:1:1: meeting.base_url",
        "FILE:2:1: sip.port",
        "FILE:3:1: sip.srtp",
        "FILE:4:1: sip.tcp",
        "FILE:7:1: dial_in.rules.1.user",
        "FILE:8:1: dial_in.rules.1.room",
        "FILE:12:2: audio.codecs.1",
        "FILE:14:1: nonsense",
        "environment variable JIBRI_SIP__SIP__PORT__X: sip.port.x",
        "environment variable JIBRI_SIP__LOG__LEVEL: log.level",
    ]
    assert 'did you mean "optional"?' in found[2]
    assert 'did you mean "G722"?' in found[6]
    assert 'did you mean "info"?' in found[9]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("[sip\n", "FILE:1:5", "not TOML"),
        (MEETING + "port = \n", "FILE:3:8", "not TOML"),
        ('a = """', "FILE:1:1", "Unterminated"),
    ],
)
def test_syntax(tmp_path: Path, text: str, where: str, what: str) -> None:
    """What is not TOML is told with line and column."""
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(where)
    assert what in problem


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ('[meeting]\nbase_url = "meet.example.com"', "like https://meet.example.com"),
        ('[meeting]\nbase_url = "https://alice:hunter2@meet.example.com"', "must not hold a user"),
        ('[meeting]\nbase_url = "https://meet.example.com/#config.x=1"', "config_overrides"),
        ('[meeting]\nbase_url = "https://meet.example.com:99999"', "port"),
        ('[meeting]\nbase_url = "https://meet.example.com/<script>"', "quotes or brackets"),
        (MEETING + 'tenant = "/a/"', "without slashes around it"),
        (MEETING + '[dial_out]\nallow = ["*"]', "user@host"),
        (MEETING + '[dial_out]\nallow = ["sip:*@example.com"]', "user@host"),
        (MEETING + '[api]\nhost = "0.0.0.0"', "token_file is needed"),
        (MEETING + '[api]\ntoken = "short"', "16 or more characters"),
        (MEETING + 'password = "a"\npassword_file = "/nowhere"', "/nowhere cannot be read"),
        (MEETING + '[sip.tls]\ncertificate_file = "/nowhere.pem"', "needs both"),
        (MEETING + "[sip.account]", "needs user, or at least proxy or contact"),
        (MEETING + '[sip.account]\npassword = "p"\nproxy = "sip:p"', "needs user, whose password it is"),
        (MEETING + '[sip.account]\nuser = "u@d"\nlogin = "x"', "needs password_file or password"),
        (MEETING + '[sip.tls]\ncertificate_file = "/no.pem"\nkey_file = "/no.key"', "/no.pem cannot be read"),
        (MEETING + '[[dial_in.rules]]\nuser = "(.*)"\nroom = "\\\\2"', "room cannot be filled in"),
        (MEETING + '[[dial_in.rules]]\nrefuse = "unknown"\nroom = "x"', "cannot name a room as well"),
        (MEETING + '[audio]\ncodecs = ["opus", "opus"]', "twice"),
        (MEETING + "[audio]\ncodecs = []", "at least 1"),
        (MEETING + "[sip]\nrtp_port_first = 10001", "multiple of 2"),
        (MEETING + '[meeting.xmpp_login]\ndomain = "d"\nusername = "u"', "needs password_file or password"),
        (MEETING + '[meeting.xmpp_login]\ndomain = "d"', "meeting.xmpp_login.username"),
        (MEETING + '[[xmpp]]\nhosts = ["x:5222", "x:99999"]', "a port that is not from 1 to 65535"),
        (MEETING + "sip = 3", "no such setting"),
        ("sip = 3\n" + MEETING, "valid dictionary"),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, section: str, told: str) -> None:
    """A value that cannot be is refused with words that say what can."""
    text = "\n".join(problems(tmp_path, section))
    assert told in text
    assert "hunter2" not in text


def test_secrets_in_files(tmp_path: Path) -> None:
    """A secret comes from a file without its last newline, and is not shown by accident."""
    secret = tmp_path / "password"
    secret.write_text("päss word\n", encoding="utf-8")
    secret.chmod(0o640)
    settings = load(written(tmp_path, f'{MEETING}password_file = "{secret}"\n'), {})
    assert settings.meeting.room_password is not None
    assert settings.meeting.room_password.get_secret_value() == "päss word"
    assert "päss" not in repr(settings)
    assert "päss" not in settings.model_dump_json()


def test_secret_that_everyone_can_read(tmp_path: Path) -> None:
    """A secret's file that everyone on the machine can read is refused, and the message says how to mend it."""
    secret = tmp_path / "password"
    secret.write_text("hunter2", encoding="utf-8")
    secret.chmod(0o644)
    (problem,) = problems(tmp_path, f'{MEETING}password_file = "{secret}"\n')
    assert problem.startswith("FILE:3:1: meeting.password_file")
    assert f"chmod o= {secret}" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * 70000])
def test_secret_files_that_hold_no_secret(tmp_path: Path, content: bytes) -> None:
    """Empty, binary and enormous files are no secrets."""
    secret = tmp_path / "password"
    secret.write_bytes(content)
    secret.chmod(0o600)
    assert len(problems(tmp_path, f'{MEETING}password_file = "{secret}"\n')) == 1


def test_secret_in_a_file_that_everyone_can_read(tmp_path: Path) -> None:
    """A secret in the configuration itself wants the configuration to be unreadable to others."""
    file = written(tmp_path, f'{MEETING}jwt = "hunter2"\n', mode=0o644)
    with pytest.raises(ConfigProblems, match=r"toml:3:1: meeting\.jwt\n.*everyone") as caught:
        load(file, {})
    assert "hunter2" not in str(caught.value)
    file.chmod(0o640)
    assert load(file, {}).meeting.token is not None
    file.chmod(0o644)
    file.write_text(MEETING, encoding="utf-8")
    assert load(file, {"JIBRI_SIP__MEETING__JWT": "hunter2"}).meeting.token is not None


@pytest.mark.parametrize("section", ["meeting", "api"])
def test_wrong_types_of_secrets_are_not_shown(tmp_path: Path, section: str) -> None:
    """A secret of the wrong type is refused without being repeated."""
    key = "password" if section == "meeting" else "token"
    text = f'[meeting]\nbase_url = "https://m.example"\n[{section}]\n{key} = 987654321\n'
    if section == "meeting":
        text = f"{MEETING}{key} = 987654321\n"
    (problem,) = problems(tmp_path, text)
    assert f"{section}.{key}" in problem
    assert "987654321" not in problem


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that is not there is told by name."""
    with pytest.raises(FileUnreadable, match=r"nowhere\.toml: No such file"):
        load(tmp_path / "nowhere.toml", {})
    with pytest.raises(FileUnreadable, match="directory"):
        load(tmp_path, {})


def test_file_that_is_not_text(tmp_path: Path) -> None:
    """A file in another encoding is told as that."""
    file = tmp_path / "latin.toml"
    file.write_bytes("# Büro".encode("latin-1"))
    with pytest.raises(ConfigProblems, match="not UTF-8"):
        load(file, {})


def test_which_file(tmp_path: Path) -> None:
    """The file given goes before the one that the environment names."""
    given, named = tmp_path / "given", tmp_path / "named"
    assert find_file(given, {"JIBRI_SIP_CONFIG": str(named)}) == given
    assert find_file(None, {"JIBRI_SIP_CONFIG": str(named)}) == named


def test_commands_need_no_more_than_the_api(tmp_path: Path) -> None:
    """To reach the running gateway, the rest of the configuration may be missing or wrong."""
    api = load_api(written(tmp_path, "[instance]\nnumber = 3\n[meeting]\nbase_url = 5\n"), {})
    assert api.port == 2224
    with pytest.raises(ConfigProblems, match=r"api\.port"):
        load_api(written(tmp_path, "[api]\nport = 0\n"), {})


def test_frozen(tmp_path: Path) -> None:
    """Nobody changes settings once they are read."""
    settings: Settings = load(written(tmp_path, MEETING), {})
    with pytest.raises(ValueError, match="frozen"):
        settings.sip.port = 1


def test_names_of_instances(tmp_path: Path) -> None:
    """One file does for all instances of several machines: number and host are filled into their names."""
    text = (
        MEETING + '[jibri]\nid = "gw-{number}"\n[[xmpp]]\nname = "a"\nhosts = ["x"]\ndomain = "meet.example.com"\n'
        '[xmpp.control_login]\ndomain = "auth.x"\nusername = "u"\npassword = "p"\n'
        '[xmpp.control_muc]\ndomain = "internal.x"\nroom = "SipBrewery"\nnickname = "{host}-{number}"\n'
    )
    settings = load(written(tmp_path, text), {"JIBRI_SIP__INSTANCE__NUMBER": "3"})
    assert settings.jibri.id == "gw-3"
    assert settings.xmpp[0].mucs[0].nickname == f"{socket.gethostname()}-3"


def test_an_old_name_goes_on_working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of the release before is taken under its old name, and told; the new name goes before."""
    moved = {
        ("sip", "listen"): ("sip", "host"),
        ("echo",): ("dial_in", "echo_user"),
        ("dial_in", "rules", "number"): ("dial_in", "rules", "user"),
    }
    monkeypatch.setattr(renamed, "RENAMED", moved)
    text = f'echo = "test"\n{MEETING}[sip]\nlisten = "0.0.0.0"\n[[dial_in.rules]]\nnumber = "7.*"\n'
    file = written(tmp_path, text)
    settings = load(file, {})
    assert (settings.sip.host, settings.dial_in.echo_user) == ("0.0.0.0", "test")  # noqa: S104  (only read)
    assert settings.dial_in.rules[0].user == "7.*"
    assert [new for _, new in old_names(file, {})] == ["sip.host", "dial_in.echo_user", "dial_in.rules.user"]
    both = written(tmp_path, f'{MEETING}[sip]\nlisten = "0.0.0.0"\nhost = "127.0.0.1"\n')
    assert load(both, {}).sip.host == "127.0.0.1"


RELEASES = sorted((Path(__file__).parent / "releases").glob("*.toml"))


@pytest.mark.parametrize("file", RELEASES, ids=lambda file: file.stem)
def test_files_of_earlier_releases(tmp_path: Path, file: Path) -> None:
    """What a release's users had in their file is taken by this one (docs/upgrade.md)."""
    assert load(written(tmp_path, file.read_text(encoding="utf-8")), {}).meeting.base_url
