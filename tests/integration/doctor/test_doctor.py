"""The doctor, on this machine with one thing after the other really broken."""

import asyncio
import datetime as dt
import email.utils
import json
import os
import re
import shutil
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jibri_sip.api import create_app, serve
from jibri_sip.config import load
from jibri_sip.config.model import Settings
from jibri_sip.doctor import CHECKS, Finding, Standing, clock, examine, reach, space
from jibri_sip.doctor.finding import Patient
from jibri_sip.session.facts import AccountFacts, Problem, StatusFacts
from tests.peer.authority import Authority, Certificate
from tests.running_gateway import free_port
from tests.unit.api.fixed_gateway import FixedGateway

PROGRAMS = ("chromium", "chromedriver", "Xvfb", "xauth", "pulseaudio", "pipewire", "dbus-daemon", "setpriv", "sh")


LATIN = Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf")
WRONG = Standing.WRONG


class Ports:
    """Ports of an instance that nobody else has."""

    def __init__(self) -> None:
        self.sip, self.api, self.internal = free_port(), free_port(), free_port()

    def environment(self, base_url: str) -> dict[str, str]:
        """The settings of an instance with these ports, for a process."""
        return {
            "JIBRI_SIP__MEETING__BASE_URL": base_url,
            "JIBRI_SIP__SIP__PORT": str(self.sip),
            "JIBRI_SIP__API__PORT": str(self.api),
            "JIBRI_SIP__JIBRI__INTERNAL_PORT": str(self.internal),
            "JIBRI_SIP__SIP__RTP_PORT_FIRST": "18000",
        }

    def settings(self, base_url: str = "http://127.0.0.1:9", **more: str) -> Settings:
        """The same, read."""
        return load(None, {**self.environment(base_url), **more})


@pytest.fixture
def ports() -> Ports:
    """Ports for one test."""
    return Ports()


@asynccontextmanager
async def web_server(
    certificate: Certificate | None = None, *, status: str = "200 OK", ahead_s: float = 0
) -> AsyncIterator[int]:
    """A web server of a deployment; its port.

    Args:
        certificate: for HTTPS; HTTP without.
        status: of its answers.
        ahead_s: how far its clock is ahead of ours.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():
            now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=ahead_s)  # noqa: TID251  (of another machine)
            date = email.utils.format_datetime(now, usegmt=True)
            writer.write(f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.file, certificate.key)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def of(check: str, settings: Settings) -> list[Finding]:
    """What one check finds, with nothing started."""
    return await CHECKS[check](Patient(settings, None, start=False))


async def the_one(check: str, settings: Settings, standing: Standing) -> Finding:
    """The one thing that a check finds, which stands so; with a remedy where it is not well."""
    [finding] = await of(check, settings)
    assert finding.standing is standing, finding
    assert bool(finding.remedy) is (standing is not Standing.OK)
    return finding


async def command(*arguments: str, environment: Mapping[str, str], wrapper: tuple[str, ...] = ()) -> tuple[int, Any]:
    """Exit code and JSON of `jibri-sip doctor`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JIBRI_SIP")}
    process = await asyncio.create_subprocess_exec(
        *wrapper,
        *(sys.executable, "-m", "jibri_sip", "doctor", "--json", *arguments),
        env={**clean, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(output)


def standings(report: Any) -> dict[str, set[str]]:
    """By check, what its findings are."""
    found: dict[str, set[str]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["check"], set()).add(finding["standing"])
    return found


@pytest.mark.heavy
async def test_well(ports: Ports) -> None:
    """On a machine where tests pass, all programs start and nothing is wrong; and nothing is left of it."""
    with tempfile.TemporaryDirectory(prefix="d") as directory:  # tmp_path is too long for sockets
        async with web_server() as port:
            environment = {**ports.environment(f"http://127.0.0.1:{port}"), "TMPDIR": directory}
            code, report = await command(environment=environment)
        assert not tuple(os.scandir(directory))
    found = standings(report)
    assert (code, report["ok"]) == (0, True), report
    for check in ("user", "parts", "gateway", "display", "sound", "camera", "browser", "ports", "deployment"):
        assert found[check] == {"ok"}, report
    assert set(found) >= set(CHECKS) - {"devices", "certificates"}
    starts = next(each["message"] for each in report["findings"] if each["check"] == "browser")
    assert "starts, in its sandbox" in starts


@pytest.mark.parametrize(("missing", "package"), [("chromium", "chromium"), ("chromedriver", "chromium-driver")])
async def test_missing_browser(ports: Ports, tmp_path: Path, missing: str, package: str) -> None:
    """What is missing of it is named, with its package."""
    environment = {**ports.environment("http://127.0.0.1:9"), "PATH": str(programs(tmp_path, but={missing}))}
    code, report = await command("--no-start", environment=environment)
    [finding] = [each for each in report["findings"] if each["check"] == "browser"]
    assert code == 1
    assert finding == {
        "check": "browser",
        "standing": "wrong",
        "message": f"{missing} was not found",
        "remedy": f"Install {package}.",
    }


async def test_missing_daemons(ports: Ports, tmp_path: Path) -> None:
    """Each is named, with the package that has it."""
    daemons = {"display": "Xvfb", "sound": "pulseaudio", "camera": "pipewire"}
    directory = programs(tmp_path, but=set(daemons.values()))
    environment = {**ports.environment("http://127.0.0.1:9"), "PATH": str(directory)}
    code, report = await command(environment=environment)
    found = {each["check"]: each for each in report["findings"]}
    assert code == 1
    for check, program in daemons.items():
        assert found[check]["standing"] == "wrong"
        assert program in found[check]["message"]
        assert program.lower() in found[check]["remedy"]
    assert "Mend the display first" in found["browser"]["remedy"]


def programs(directory: Path, but: set[str]) -> Path:
    """A directory with all programs that a slot takes but some."""
    for name in PROGRAMS:
        path = shutil.which(name)
        assert path is not None
        if name not in but:
            (directory / name).symlink_to(path)
    return directory


async def test_versions(ports: Ports, tmp_path: Path) -> None:
    """A driver of another version is told as such before anything is started."""
    programs(tmp_path, but={"chromedriver"})
    driver = tmp_path / "chromedriver"
    driver.write_text("#!/bin/sh\necho ChromeDriver 99.0.4844.51\n")
    driver.chmod(0o755)
    environment = {**ports.environment("http://127.0.0.1:9"), "PATH": str(tmp_path)}
    _, report = await command("--no-start", environment=environment)
    [finding] = [each for each in report["findings"] if each["check"] == "browser"]
    assert finding["standing"] == "wrong"
    assert "99.0.4844.51" in finding["message"]


async def test_ports(ports: Ports) -> None:
    """A taken port, an address that is not this machine's, and one that is not ours to use."""
    await the_one("ports", ports.settings(), Standing.OK)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", ports.sip))
        finding = await the_one("ports", ports.settings(), WRONG)
        assert f"udp 127.0.0.1:{ports.sip}" in finding.message
        assert "ss -lntup" in finding.remedy
    for finding in await of("ports", ports.settings(JIBRI_SIP__SIP__HOST="192.0.2.1")):
        assert finding.standing is Standing.WRONG
        assert "ip address" in finding.remedy


async def test_media_ports(ports: Ports) -> None:
    """A few taken ports of media do no harm; most of them do."""
    taken = []
    try:
        for number in range(20):
            other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            taken.append(other)
            other.bind(("127.0.0.1", 18000 + number))
            if number == 5:
                await the_one("ports", ports.settings(), Standing.OK)
        assert "20 of the ports for media" in (await the_one("ports", ports.settings(), WRONG)).message
    finally:
        for other in taken:
            other.close()


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        ("https://nowhere.invalid", "nowhere.invalid is not found"),
        ("http://127.0.0.1:9", "cannot be reached on port 9: Connect"),
    ],
)
async def test_deployment_that_is_not_there(ports: Ports, base_url: str, told: str) -> None:
    """A name that nobody knows, a port that nobody listens on."""
    assert told in (await the_one("deployment", ports.settings(base_url), WRONG)).message


async def test_deployment_that_is_ill(ports: Ports) -> None:
    """A web server whose backend is down; one that speaks no TLS where it is asked for."""
    async with web_server(status="502 Bad Gateway") as port:
        assert "502" in (await the_one("deployment", ports.settings(f"http://127.0.0.1:{port}"), WRONG)).message
        finding = await the_one("deployment", ports.settings(f"https://127.0.0.1:{port}"), WRONG)
        assert "no HTTP answer" in finding.message
        assert "scheme" in finding.remedy


async def test_silence(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and says nothing is given up."""
    monkeypatch.setattr(reach, "TIMEOUT_S", 2.0)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        assert "no HTTP answer" in (await the_one("deployment", ports.settings(url), WRONG)).message


@pytest.mark.parametrize(
    ("names", "expired", "trusted", "told"),
    [
        (("127.0.0.1",), False, True, None),
        (("127.0.0.1",), False, False, "self-signed certificate in certificate chain"),
        (("127.0.0.1",), True, True, "expired"),
        (("meet.example.com",), False, True, "IP address mismatch"),
    ],
)
async def test_certificates_of_the_deployment(
    ports: Ports,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    told: str | None,
    *,
    expired: bool,
    trusted: bool,
) -> None:
    """One that is good; nobody's; out of date; another's."""
    authority = Authority(tmp_path, "ours")
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with web_server(authority.certificate(*names, expired=expired)) as port:
        settings = ports.settings(f"https://127.0.0.1:{port}")
        if told is None:
            await the_one("deployment", settings, Standing.OK)
        else:
            assert told in (await the_one("deployment", settings, WRONG)).message


async def test_other_servers(tmp_path: Path) -> None:
    """XMPP hosts, other deployments of the dial plan, webhooks and the SIP provider are looked at, too."""
    async with web_server() as port:
        url = f"http://127.0.0.1:{port}"
        file = tmp_path / "jibri-sip.toml"
        file.write_text(f"""
[meeting]
base_url = "{url}"
[webhooks]
subscribers = ["{url}/hook", "http://127.0.0.1:9/hook"]
[sip.account]
user = "room7@provider.invalid;transport=tcp"
password = "secret"
[[dial_in.rules]]
user = "other-.*"
base_url = "https://other.invalid"
[[xmpp]]
name = "first"
hosts = ["127.0.0.1:{port}", "127.0.0.1", "::1", "[::1]"]
domain = "meet.example.com"
control_login = {{ domain = "auth.example.com", port = 9, username = "jibri", password = "secret" }}
control_muc = {{ domain = "internal.example.com", room = "brewery", nickname = "one" }}
""")
        file.chmod(0o600)
        found = {finding.message: finding.standing for finding in await of("deployment", load(file))}
    assert found == {
        f"{url} answers": Standing.OK,
        "other.invalid is not found: Name or service not known": Standing.WRONG,
        f"XMPP of first: 127.0.0.1 takes connections on port {port}": Standing.OK,
        "XMPP of first: 127.0.0.1 (127.0.0.1) cannot be reached on port 9: Connect call failed ('127.0.0.1', 9)": (
            Standing.WRONG
        ),
        "XMPP of first: ::1 (::1) cannot be reached on port 9: Connect call failed ('::1', 9, 0, 0)": Standing.WRONG,
        f"subscriber {url}/hook answers": Standing.OK,
        "subscriber: 127.0.0.1 (127.0.0.1) cannot be reached on port 9: Connect call failed ('127.0.0.1', 9)": (
            Standing.WARNING
        ),
        "SIP provider provider.invalid is not found": Standing.WRONG,
    }


@pytest.mark.parametrize(
    ("ahead_s", "told"),
    [(0, "within 10 s"), (-30, r"3\d s before"), (3600, r"3[56]\d\d s behind")],
)
async def test_clock(ports: Ports, ahead_s: int, told: str) -> None:
    """Compared with the deployment's; what a time service does, the kernel knows."""
    async with web_server(ahead_s=ahead_s) as port:
        [finding] = await of("clock", ports.settings(f"http://127.0.0.1:{port}"))
    assert re.search(told, finding.message)
    kept = Standing.OK if clock.synchronised() else Standing.WARNING
    assert finding.standing is {0: kept, -30: Standing.WARNING, 3600: Standing.WRONG}[ahead_s]


async def test_own_certificates(ports: Ports, tmp_path: Path) -> None:
    """Good, out of date, and no certificate at all."""
    authority = Authority(tmp_path, "ours")

    def settings(certificate: Certificate) -> Settings:
        return ports.settings(
            JIBRI_SIP__SIP__TLS__CERTIFICATE_FILE=str(certificate.file),
            JIBRI_SIP__SIP__TLS__KEY_FILE=str(certificate.key),
        )

    good = authority.certificate("gw.example.com")
    await the_one("certificates", settings(good), Standing.OK)
    expired = await the_one("certificates", settings(authority.certificate("old.example.com", expired=True)), WRONG)
    assert "has ended on 2021-01-01" in expired.message
    await the_one("certificates", settings(replace(good, file=good.key)), WRONG)


async def test_runtime_directory(ports: Ports, tmp_path: Path) -> None:
    """One that others may write into, and one that cannot be made."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    told = {str(open_to_all): "others may write", "/proc/jibri-sip/1": "cannot be made"}
    for directory, message in told.items():
        settings = ports.settings(JIBRI_SIP__INSTANCE__RUNTIME_DIR=directory)
        assert message in (await the_one("gateway", settings, WRONG)).message
    settings = ports.settings(JIBRI_SIP__INSTANCE__RUNTIME_DIR=str(tmp_path / "not" / "yet"))
    await the_one("gateway", settings, Standing.OK)
    assert not (tmp_path / "not").exists()


async def test_no_room(ports: Ports, tmp_path: Path) -> None:
    """A disk on which no profile fits, and shared memory as containers have it."""
    script = 'mount -t tmpfs -o size=16m small "$0" && mount -t tmpfs -o size=64m small /dev/shm && exec "$@"'
    wrapper = ("unshare", "--map-root-user", "--mount", "sh", "-c", script, str(tmp_path))
    environment = {
        **ports.environment("http://127.0.0.1:9"),
        "JIBRI_SIP__INSTANCE__RUNTIME_DIR": str(tmp_path / "run"),
    }
    _, report = await command("--no-start", environment=environment, wrapper=wrapper)
    disk, shared = [finding for finding in report["findings"] if finding["check"] == "space"]
    assert (disk["standing"], disk["message"]) == ("wrong", f"16 MiB are free at {tmp_path}; a call takes 32")
    assert (shared["standing"], shared["message"].split(",")[0]) == (
        "warning",
        f"{space.SHARED_MEMORY} has 64 MiB in all",
    )
    assert standings(report)["user"] == {"wrong"}  # that namespace's root is root


class Ill(FixedGateway):
    """A gateway whose slot cannot be made ready."""

    async def status(self) -> StatusFacts:
        """Its status with a problem."""
        problem = Problem(key="disk-full", message="The disk is full", remedy="Make room.")
        return (await super().status()).model_copy(update={"slot": "failed", "problem": problem})


class Calling(FixedGateway):
    """A gateway whose account registers nowhere."""

    async def status(self) -> StatusFacts:
        """Its status with that account."""
        account = AccountFacts(address="sip:7@provider.example", registered=None, answer="")
        return (await super().status()).model_copy(update={"account": account})


async def test_beside_a_gateway_without_a_registrar(ports: Ports) -> None:
    """An account that is not to be registered is none that is not registered."""
    async with serve(create_app(Calling(), ports.settings().api), "127.0.0.1", ports.api):
        findings = await examine(ports.settings())
    _slot, account = [finding for finding in findings if finding.check == "gateway"]
    assert (account.standing, account.message) == (Standing.OK, "calls go as sip:7@provider.example")


@pytest.mark.parametrize(("gateway", "told"), [(FixedGateway(), "is idle"), (Ill(), "The disk is full")])
async def test_beside_a_gateway(ports: Ports, gateway: FixedGateway, told: str) -> None:
    """One that runs is asked; what it holds is not tried a second time, and what it says is passed on."""
    async with serve(create_app(gateway, ports.settings().api), "127.0.0.1", ports.api):
        findings = await examine(ports.settings())
    slot, account = [finding for finding in findings if finding.check == "gateway"]
    assert told in slot.message
    assert (account.standing, "not registered" in account.message) == (WRONG, True)
    by_check = {finding.check: finding for finding in findings}
    assert by_check["ports"].standing is by_check["camera"].standing is Standing.OK
    assert not {"display", "sound"} & set(by_check)


async def test_other_programs_at_our_port(ports: Ports) -> None:
    """What listens at the API's port and is no gateway of ours is told, and nothing else is said."""
    token = {"JIBRI_SIP__API__TOKEN": "another-token-of-some-length"}
    guarded = ports.settings(**token).api.model_copy(update={"host": "192.0.2.1"})
    async with serve(create_app(FixedGateway(), guarded), "127.0.0.1", ports.api):
        [finding] = await examine(ports.settings())
    assert finding.standing is WRONG
    assert "refuses us" in finding.message


async def test_a_check_that_fails(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as wrong, and hides nothing of what the others found."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: 1 / 0)
    findings = await examine(ports.settings(), start=False)
    [failed] = [finding for finding in findings if finding.check == "space"]
    assert "ZeroDivisionError" in failed.message
    assert {finding.check for finding in findings} >= {"user", "parts", "fonts", "clock"}


@pytest.mark.parametrize("fonts", ["nothing", "latin"])
async def test_fonts(ports: Ports, tmp_path: Path, fonts: str) -> None:
    """Without any font, and with one of Latin letters only."""
    directory = tmp_path / "fonts"
    directory.mkdir()
    if fonts == "latin":
        (directory / LATIN.name).symlink_to(LATIN)
    conf = tmp_path / "fonts.conf"
    conf.write_text(f"<fontconfig><dir>{directory}</dir><cachedir>{tmp_path / 'cache'}</cachedir></fontconfig>")
    environment = {**ports.environment("http://127.0.0.1:9"), "FONTCONFIG_FILE": str(conf)}
    _, report = await command("--no-start", environment=environment)
    [finding] = [each for each in report["findings"] if each["check"] == "fonts"]
    if fonts == "nothing":
        assert (finding["standing"], finding["message"]) == ("wrong", "there are no fonts")
    else:
        assert finding["standing"] == "warning"
        assert "Chinese" in finding["message"]
        assert "Latin" not in finding["message"]
        assert "fonts-noto-cjk" in finding["remedy"]
