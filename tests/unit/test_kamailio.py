"""What Kamailio is told: where it listens, whom it sends calls to, and that it can make sense of it."""

import logging
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from jibri_sip.cli import main
from jibri_sip.config import load
from tests.peer.authority import Authority
from tests.proxy import ROUTING

MEETING = '[meeting]\nbase_url = "https://meet.example.com"\n'


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The command sets the log up, for its own standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def made(directory: Path, text: str, instances: int = 2, code: int = 0) -> str:
    """Run `jibri-sip config proxy`; what it printed, or the file of instances."""
    file = directory / "jibri-sip.toml"
    file.write_text(MEETING + text, encoding="utf-8")
    file.chmod(0o600)
    arguments = ["config", "proxy", "--config", str(file), "--instances", str(instances), "--routing", str(ROUTING)]
    result = CliRunner(env={"STATE_DIRECTORY": str(directory / "state")}).invoke(
        main, [*arguments, "--output", str(directory / "out")]
    )
    assert result.exit_code == code, result.output
    return result.output if code else (directory / "out" / "instances.list").read_text()


def check(directory: Path) -> str:
    """What Kamailio says of it, which must be that it is right."""
    file = directory / "out" / "kamailio.cfg"
    command = ["/usr/sbin/kamailio", "-c", "-E", "-f", str(file), "-Y", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not re.search("ERROR|WARNING: <core>", said), said
    return said


def test_loopback(tmp_path: Path) -> None:
    """Without an address it listens on loopback, ten ports below the first instance."""
    listed = made(tmp_path, "[sip.tls]\nenabled = false\n").splitlines()
    assert listed == ["1 sip:127.0.0.1:5070;transport=tcp", "1 sip:127.0.0.1:5080;transport=tcp"]
    said = check(tmp_path)
    assert re.search(r"udp: 127\.0\.0\.1 .*:5060", said)
    assert "tls:" not in said


def test_every_address(tmp_path: Path) -> None:
    """`0.0.0.0` becomes this machine's addresses, and peers are told the public one."""
    made(tmp_path, '[sip]\nhost = "0.0.0.0"\npublic_address = "203.0.113.9"\n', instances=1)
    text = (tmp_path / "out" / "kamailio.cfg").read_text()
    assert re.search(r"^listen=udp:(?!127)[\d.]+:5060 advertise 203\.0\.113\.9:5060$", text, re.MULTILINE)
    assert "listen=tcp:127.0.0.1:5060\n" in text
    check(tmp_path)


def test_tls_and_access(tmp_path: Path) -> None:
    """A certificate opens TLS; who may call is asked at the proxy already."""
    certificate = Authority(tmp_path, "authority").certificate("127.0.0.1")
    made(
        tmp_path,
        f'[sip.tls]\ncertificate_file = "{certificate.file}"\nkey_file = "{certificate.key}"\n'
        '[sip.access]\nallow_addresses = ["198.51.100.0/24", "2001:db8::/32"]\ntrusted_proxies = []\nban_s = 0\n',
    )
    assert re.search(r"tls: 127\.0\.0\.1 .*:5061", check(tmp_path))
    text = (tmp_path / "out" / "kamailio.cfg").read_text()
    assert "#!define ALLOWED src_ip==198.51.100.0/24 || src_ip==2001:db8::/32\n" in text


def test_tls_without_a_certificate(tmp_path: Path) -> None:
    """Callers are shown one of the proxy's own, as an instance would show one."""
    made(tmp_path, "")
    assert re.search(r"tls: 127\.0\.0\.1 .*:5061", check(tmp_path))
    own = tmp_path / "state/tls/self-signed.pem"
    assert f"certificate = {own}\n" in (tmp_path / "out/tls.cfg").read_text()


def test_several_machines(tmp_path: Path) -> None:
    """Instances elsewhere stand in the list beside this machine's."""
    listed = made(tmp_path, '[proxy]\ninstances = ["192.0.2.11:5060", "[2001:db8::11]:5070"]\n', instances=1)
    assert listed.splitlines()[1:] == ["1 sip:192.0.2.11:5060;transport=tcp", "1 sip:[2001:db8::11]:5070;transport=tcp"]
    check(tmp_path)


@pytest.mark.parametrize(("instances", "wait_s", "step_s"), [(2, 30, 2), (2, 10, 1), (12, 120, 20)])
def test_waiting(tmp_path: Path, instances: int, wait_s: int, step_s: int) -> None:
    """Callers wait in steps that are as long as they have to be; without the setting nothing is loaded for it."""
    made(tmp_path, f"[proxy]\nwait_s = {wait_s}\n", instances=instances)
    assert f'#!substdef "!STEP_S!{step_s}!g"' in (tmp_path / "out" / "kamailio.cfg").read_text()
    check(tmp_path)
    made(tmp_path, "", instances=instances)
    assert "WAIT" not in (tmp_path / "out" / "kamailio.cfg").read_text()


@pytest.mark.parametrize(
    ("text", "instances", "said"),
    [
        ("[sip]\nport = 5090\n", 2, "sip.port 5090 is used twice"),
        ("[proxy]\nport = 5070\n", 1, "sip.port 5070 is used twice"),
        ("[sip]\ntcp = false\n", 1, "the proxy speaks TCP"),
        ("", 31, "31 instances are too many"),
        ('[proxy]\ninstances = ["192.0.2.11"]\n', 1, "must be host:port"),
        ("[proxy]\nwait_s = 10\n", 13, "callers cannot wait (proxy.wait_s) for one of 13 instances"),
        ("[proxy]\nwait_s = 121\n", 1, "proxy.wait_s"),
    ],
)
def test_what_cannot_be(tmp_path: Path, text: str, instances: int, said: str) -> None:
    """Told in words, with exit code 78."""
    assert said in made(tmp_path, text, instances, code=78)


def test_instances_behind_the_proxy(tmp_path: Path) -> None:
    """They make room for it, can be reached by it alone, and judge callers by the address that it tells."""
    file = tmp_path / "jibri-sip.toml"
    file.write_text(MEETING + "[instance]\nnumber = 2\n[proxy]\nenabled = true\n[sip.access]\nfailures = 3\n")
    sip = load(file, {}).sip
    assert (sip.port, sip.signalling_host, sip.rtp_port_first) == (5080, "127.0.0.1", 10100)
    assert (sip.access.dispatchers, sip.access.failures) == (("127.0.0.1", "::1"), 3)
