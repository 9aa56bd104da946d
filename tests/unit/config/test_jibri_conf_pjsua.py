"""pjsua.config: words, options cut short, codecs, transports, and accounts whose passwords are not told."""

from pathlib import Path

import pytest

from jibri_sip.config import Settings, load
from jibri_sip.config.jibri_conf import Imported, import_files, write
from jibri_sip.config.jibri_conf.importer import report
from jibri_sip.config.load import ConfigProblems
from tests.unit.config.jibri_samples import ACCOUNT_PASSWORD, PJSUA_PACKAGED, PJSUA_PRODUCTION

BASE_URL = "https://meet.example.com"


def imported(tmp_path: Path, text: str) -> Imported:
    """The text, imported as the pjsua.config beside an empty jibri.conf."""
    (tmp_path / "jibri.conf").write_text("jibri {}", encoding="utf-8")
    (tmp_path / "pjsua.config").write_text(text, encoding="utf-8")
    return import_files(tmp_path / "jibri.conf", None, BASE_URL, {})


def loaded(tmp_path: Path, text: str) -> Settings:
    """What our loader makes of it."""
    write(imported(tmp_path, text), tmp_path / "jibri-sip.toml", None)
    return load(tmp_path / "jibri-sip.toml", {})


def kinds(found: Imported) -> dict[str, str]:
    """Kinds of verdicts by key."""
    return {verdict.key: verdict.kind for verdict in found.verdicts}


def test_as_packaged(tmp_path: Path) -> None:
    """The file of Jibri's package: its codecs in its order, no TCP, nothing unknown."""
    settings = loaded(tmp_path, PJSUA_PACKAGED)
    assert settings.audio.codecs == ("opus", "G722", "PCMA", "PCMU")
    assert not settings.sip.tcp
    assert (settings.sip.port, settings.sip.rtp_port_first) == (5060, 4000)
    found = kinds(imported(tmp_path, PJSUA_PACKAGED))
    assert "unknown" not in found.values()
    assert found["--capture-dev"] == "not-needed"
    assert found["--add-codec speex"] == "no-counterpart"
    assert found["--id"] == "not-needed"
    assert settings.sip.account is None


def test_as_in_production(tmp_path: Path) -> None:
    """Ports, addresses, encryption and the account are taken over; its password is not told."""
    settings = loaded(tmp_path, PJSUA_PRODUCTION)
    sip = settings.sip
    assert (sip.host, sip.port, sip.public_address, sip.rtp_port_first) == ("10.0.0.7", 15060, "203.0.113.7", 20000)
    assert (sip.srtp, sip.tcp) == ("required", True)
    assert settings.audio.codecs == ("opus", "PCMA")
    assert settings.limits.max_duration_s == 7200
    account = sip.account
    assert account is not None
    assert (account.user, account.login) == ("room@provider.example.com", "room")
    assert account.registrar == "sip:provider.example.com;transport=tcp"
    assert account.proxy == "sip:provider.example.com;transport=tcp;hide"
    assert account.secret is not None
    assert account.secret.get_secret_value() == ACCOUNT_PASSWORD
    assert (tmp_path / "jibri-sip.secrets" / "sip-account-password").exists()
    assert ACCOUNT_PASSWORD not in (tmp_path / "jibri-sip.toml").read_text(encoding="utf-8")
    found = imported(tmp_path, PJSUA_PRODUCTION)
    assert (sip.tls.outgoing, sip.tls.certificate_file) == (True, None)
    assert ACCOUNT_PASSWORD not in str(report(found))


@pytest.mark.parametrize("without", ["--id", "--registrar", "--username", "--password"])
def test_half_an_account(tmp_path: Path, without: str) -> None:
    """What does not make an account that registers is told; its address and its proxy are those of calls."""
    text = "\n".join(line for line in PJSUA_PRODUCTION.splitlines() if not line.startswith(f"{without} "))
    found = kinds(imported(tmp_path, text))
    assert {found.get(name) for name in ("--registrar", "--username", "--password")} <= {"no-counterpart", None}
    account = loaded(tmp_path, text).sip.account
    assert account is not None
    assert account.secret is None
    assert account.user == ("" if without == "--id" else "room@provider.example.com")
    assert account.proxy == "sip:provider.example.com;transport=tcp;hide"


def test_proxy_without_an_account(tmp_path: Path) -> None:
    """As Jibri's packaged file with a proxy: calls go through it, from our own address."""
    text = f"{PJSUA_PACKAGED}\n--proxy=sip:proxy.example.com;lr --contact=sip:jibri@203.0.113.7"
    account = loaded(tmp_path, text).sip.account
    assert account is not None
    assert (account.user, account.secret) == ("", None)
    assert (account.proxy, account.contact) == ("sip:proxy.example.com;lr", "sip:jibri@203.0.113.7")


NETWORK = """\
--nameserver=192.0.2.53 --nameserver 192.0.2.54
--stun-srv=stun.example.com:3479 --stun-srv=other.example.com
--use-ice --use-turn --turn-srv=turn.example.com:3478 --turn-tcp --turn-user=jibri --turn-passwd=canary-turn
--rtcp-mux --ice-max-hosts=4 --turn-tls
"""


def test_networks(tmp_path: Path) -> None:
    """Nameservers, STUN, ICE and TURN are what they are here; the password goes into a file."""
    network = loaded(tmp_path, NETWORK).sip.network
    assert network.nameservers == ("192.0.2.53", "192.0.2.54")
    assert (network.stun_server, network.ice) == ("stun.example.com:3479", True)
    turn = network.turn
    assert (turn.server, turn.transport, turn.user) == ("turn.example.com:3478", "tcp", "jibri")
    assert turn.secret.get_secret_value() == "canary-turn"
    assert "canary-turn" not in (tmp_path / "jibri-sip.toml").read_text(encoding="utf-8")
    found = imported(tmp_path, NETWORK)
    assert "canary-turn" not in str(report(found))
    verdicts = [(one.key, one.kind) for one in found.verdicts]
    assert [kind for key, kind in verdicts if key == "--stun-srv"] == ["taken-over", "no-counterpart"]
    assert dict(verdicts).items() >= {"--turn-tls": "no-counterpart", "--rtcp-mux": "not-needed"}.items()


def test_turn_that_pjsua_does_not_use(tmp_path: Path) -> None:
    """Without ICE there is none."""
    text = NETWORK.replace("--use-ice", "")
    network = loaded(tmp_path, text).sip.network
    assert (network.turn.server, network.ice) == (None, False)
    assert kinds(imported(tmp_path, text))["--turn-passwd"] == "not-needed"


def test_two_accounts(tmp_path: Path) -> None:
    """An instance has one."""
    found = kinds(imported(tmp_path, f"{PJSUA_PRODUCTION}\n--next-account\n--id sip:other@provider.example.com"))
    assert found["--id"] == found["--password"] == found["--next-account"] == "no-counterpart"


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ('"Room 7 <sip:room@p.example;transport=tcp>"', "room@p.example;transport=tcp"),
        ("sips:room@p.example:5071", "room@p.example:5071"),
    ],
)
def test_address_of_the_account(tmp_path: Path, address: str, user: str) -> None:
    """With a name or without."""
    account = loaded(tmp_path, f"{PJSUA_PRODUCTION}\n--id {address}").sip.account
    assert account is not None
    assert account.user == user


def test_no_address_of_the_account(tmp_path: Path) -> None:
    """Told by line."""
    with pytest.raises(ConfigProblems, match="must be a SIP address"):
        imported(tmp_path, f"{PJSUA_PRODUCTION}\n--id=room")


def test_tls(tmp_path: Path) -> None:
    """With certificate and key, TLS listens one port above; both files have to be there."""
    certificate = tmp_path / "cert.pem"
    text = f"--use-tls --local-port=6000\n--tls-cert-file={certificate} --tls-privkey-file {certificate}\n"
    with pytest.raises(ConfigProblems, match="cannot be read"):
        imported(tmp_path, text)
    certificate.write_text("PEM", encoding="utf-8")
    assert kinds(imported(tmp_path, text))["--use-tls"] == "taken-over"
    sip = loaded(tmp_path, text).sip
    assert (sip.tls.certificate_file, sip.tls.key_file, sip.tls_port) == (certificate, certificate, 6001)


@pytest.mark.parametrize(
    ("text", "codecs"),
    [
        ("--add-codec G722", ("G722", "opus", "PCMA", "PCMU")),
        ("--add-codec=pcm", ("PCMU", "PCMA", "opus", "G722")),
        ("--add-codec opus/48000 --add-codec PCMU/8000", ("PCMU", "opus", "G722", "PCMA")),
        ("--dis-codec opus", ("G722", "PCMA", "PCMU")),
        ("--add-codec opus --dis-codec *", ("opus",)),
        ("--add-codec opus --add-codec G722 --add-codec opus --dis-codec all", ("opus", "G722")),
    ],
)
def test_codec_order(tmp_path: Path, text: str, codecs: tuple[str, ...]) -> None:
    """Disabled first, then added, the last added on top; a codec is meant by how its id begins."""
    assert loaded(tmp_path, text).audio.codecs == codecs


def test_no_codec_left(tmp_path: Path) -> None:
    """That is no configuration, and the option is named."""
    with pytest.raises(ConfigProblems, match="dis-codec"):
        imported(tmp_path, "--dis-codec *")


def test_words(tmp_path: Path) -> None:
    """Quotes around words, comments, options cut short; what is no option is told by its line only."""
    text = """\
# --local-port 1
  --local-p 6000   --bound-addr "10.0.0.7" # --no-tcp
--username 'two words' --password canary more
--no-such-option=canary
--l 5
'--ip-addr' '203.0.113.7'
"""
    found = imported(tmp_path, text)
    assert kinds(found) == {
        "--local-port": "taken-over",
        "--bound-addr": "taken-over",
        "--username": "no-counterpart",
        "--password": "no-counterpart",
        "line 3, a word that belongs to no option": "unknown",
        "--no-such-option": "unknown",
        "--l": "unknown",
        "line 5, a word that belongs to no option": "unknown",
        "--ip-addr": "taken-over",
    }
    assert "canary" not in repr(found)
    assert loaded(tmp_path, text).sip.port == 6000


@pytest.mark.parametrize(
    "text", ["--local-port", "--local-port x", "--local-port=0", "--use-srtp 9", "--rtp-port 4001"]
)
def test_values_that_pjsua_would_not_take(tmp_path: Path, text: str) -> None:
    """They are refused by file and line, or by option."""
    with pytest.raises(ConfigProblems, match=r"pjsua\.config:2|--rtp-port"):
        imported(tmp_path, f"\n{text}")


def test_another_place(tmp_path: Path) -> None:
    """The file may be named; then the one beside jibri.conf does not count."""
    imported(tmp_path, "--local-port 1111")
    other = tmp_path / "other"
    other.write_text("--local-port 2222", encoding="utf-8")
    found = import_files(tmp_path / "jibri.conf", other, BASE_URL, {})
    assert found.files == (tmp_path / "jibri.conf", other)
    assert {setting.path: setting.value for setting in found.settings}["sip", "port"] == 2222
