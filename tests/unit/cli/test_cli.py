"""The commands, run as a user runs them: exit codes, what is printed, and a running gateway at the other end."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import jibri_sip
from jibri_sip import errors
from jibri_sip.api import create_app, serve
from jibri_sip.cli import main
from jibri_sip.config import ApiSettings
from jibri_sip.session.facts import DialOrder
from jibri_sip.session.state import State
from tests.unit.api.fixed_gateway import FixedGateway

ROOT = Path(__file__).parents[3]
TOKEN = "a-token-of-some-length"  # noqa: S105  (opens a server of this test)


@dataclass
class Done:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, as JSON."""
        return json.loads(self.out)


async def jibri_sip_command(*arguments: str, given: str = "", **environment: str) -> Done:
    """Run a command to its end, without any JIBRI_SIP variables but those given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JIBRI_SIP")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "jibri_sip",
        *arguments,
        cwd=ROOT,
        env={**clean, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
def gateway() -> FixedGateway:
    """The gateway that the commands find."""
    return FixedGateway(course=(State.JOINING, State.RINGING, State.BRIDGED))


@pytest.fixture
async def config(gateway: FixedGateway, tmp_path: Path) -> AsyncIterator[str]:
    """The configuration of a running gateway, as far as commands need it; its API wants a token."""
    secret = tmp_path / "token"
    secret.write_text(TOKEN, encoding="utf-8")
    secret.chmod(0o600)
    settings = ApiSettings.model_validate({"token_file": str(secret)})
    async with serve(create_app(gateway, settings), "127.0.0.1", 0) as port:
        file = tmp_path / "jibri-sip.toml"
        file.write_text(f'[api]\nport = {port}\ntoken_file = "{secret}"\n', encoding="utf-8")
        yield str(file)


async def test_status(config: str) -> None:
    """The status is told to people and, with --json, to machines."""
    told = await jibri_sip_command("status", "--config", config)
    assert told.code == 0
    assert told.out.startswith("jibri-sip 1.2.3, instance 1: idle, up ")
    machine = await jibri_sip_command("status", "--json", JIBRI_SIP_CONFIG=config)
    assert (machine.code, machine.json["slot"], machine.json["session"]) == (0, "idle", None)


async def test_look(config: str, tmp_path: Path) -> None:
    """What passes through the devices is told to people and machines, and pictures are saved where that is asked."""
    pictures = tmp_path / "new" / "pictures"
    told = await jibri_sip_command("look", "--pictures", str(pictures), "--config", config)
    assert told.code == 0, told.err
    assert told.out.startswith("sound to SIP -6 dBFS, to the meeting silent\n")
    assert "\x1b" not in told.out
    assert {file.name: file.read_text() for file in pictures.iterdir()} == {
        f"{view}.png": view for view in ("display", "to_sip", "to_meet")
    }
    machine = await jibri_sip_command("look", "--json", "--config", config)
    assert (machine.code, machine.json["to_sip_peak"]) == (0, 0.5)


async def test_look_where_nothing_can_be_saved(config: str, tmp_path: Path, gateway: FixedGateway) -> None:
    """A file in the way, or no slot: a clear error."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    told = await jibri_sip_command("look", "--pictures", str(in_the_way / "pictures"), "--config", config)
    assert told.code == 1
    assert str(in_the_way) in told.err
    gateway.error = errors.NotReady()
    told = await jibri_sip_command("look", "--config", config)
    assert told.code == 1
    assert told.err.startswith("not-ready: ")


async def test_dial_until_connected(config: str, gateway: FixedGateway, tmp_path: Path) -> None:
    """Dialling waits until both sides are connected, and tells the states on the way on standard error."""
    password = tmp_path / "password"
    password.write_text("hunter2\n", encoding="utf-8")
    arguments = ("--room", "Büro", "--to", "sip:b@rooms.example.com", "--password-file", str(password))
    told = await jibri_sip_command("dial", *arguments, "--config", config)
    assert told.code == 0, told.err
    assert told.err.split("\n")[:3] == ["requested …", "joining …", "ringing …"]
    assert told.out.startswith("session s1: dial-out sip:b@rooms.example.com in Büro, bridged")
    (order,) = gateway.asked
    assert isinstance(order, DialOrder)
    assert (order.room, order.password and order.password.get_secret_value()) == ("Büro", "hunter2")


async def test_dial_that_fails(config: str, gateway: FixedGateway) -> None:
    """A call that nobody takes is a failure that says why and what to do."""
    gateway.course = [State.RINGING, State.ENDING, State.ENDED]
    gateway.on_end = lambda: errors.PeerBusy("486 Busy Here")
    told = await jibri_sip_command("dial", "--room", "demo", "--to", "sip:b@r.example", "--config", config)
    assert told.code == 1
    assert "peer-busy: The called party is busy: 486 Busy Here" in told.out


async def test_dial_without_waiting(config: str) -> None:
    """--no-wait tells the session as it begins."""
    told = await jibri_sip_command(
        "dial", "--no-wait", "--json", "--room", "d", "--to", "x@y.example", "--config", config
    )
    assert (told.code, told.json["state"], told.err) == (0, "requested", "")


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_refusals(config: str, gateway: FixedGateway, flags: tuple[str, ...]) -> None:
    """What the gateway refuses is a failure with key, message and remedy."""
    gateway.error = errors.DestinationNotAllowed("b@r.example")
    told = await jibri_sip_command("dial", "--room", "d", "--to", "sip:b@r.example", "--config", config, *flags)
    assert told.code == 1
    if flags:
        assert told.json["key"] == "destination-not-allowed"
    else:
        assert told.err.startswith("destination-not-allowed: This address may not be called: b@r.example\n    Allow it")


async def test_hang_up(config: str, gateway: FixedGateway) -> None:
    """The present session is ended without an id, or one by its id; none is a failure."""
    nothing = await jibri_sip_command("hangup", "--config", config)
    assert (nothing.code, nothing.err.split(":")[0]) == (1, "session-unknown")
    await jibri_sip_command("dial", "--no-wait", "--room", "d", "--to", "x@y.example", "--config", config)
    other = await jibri_sip_command("hangup", "../../health/live", "--config", config)
    assert (other.code, other.err.split(":")[0]) == (1, "request-invalid")
    ended = await jibri_sip_command("hangup", "s1", "--config", config)
    assert ended.code == 0
    assert "operator-hung-up" in ended.out
    assert gateway.asked[-1] == "hang up s1"


async def test_wrong_token(config: str, tmp_path: Path) -> None:
    """A token that is not the gateway's is a failure that names the setting."""
    (tmp_path / "token").write_text("another-token-of-some-length", encoding="utf-8")
    told = await jibri_sip_command("status", "--config", config)
    assert told.code == 1
    assert "unauthorised" in told.err
    assert "api.token_file" in told.err


async def test_terminal_escapes(config: str, gateway: FixedGateway) -> None:
    """What strangers chose is printed without what a terminal would take for commands."""
    await gateway.dial(DialOrder(room="a\x1b]0;b\x07", to="sip:\x1b[31m@y.example"))
    told = await jibri_sip_command("status", "--config", config)
    assert told.code == 0
    assert "sip:7@provider.example: not registered (403 " in told.out
    assert "\x1b" not in told.out
    assert "\x07" not in told.out


async def test_no_gateway() -> None:
    """Without a gateway, commands fail and say how to start one; through no proxy."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        told = await jibri_sip_command("status", JIBRI_SIP__API__PORT=port, http_proxy="http://127.0.0.1:9")
    assert told.code == 1
    assert told.err.startswith(f"gateway-not-running: No gateway answers: http://127.0.0.1:{port}")
    assert "jibri-sip run" in told.err


async def test_something_else_on_the_port() -> None:
    """Something that is no gateway is told as that."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        told = await jibri_sip_command("status", JIBRI_SIP__API__PORT=port)
    assert (told.code, told.err.split(":")[0]) == (1, "gateway-not-running")


@asynccontextmanager
async def answering(status: dict[str, Any]) -> AsyncIterator[str]:
    """A server that answers this to everything; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps(status).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield str(server.sockets[0].getsockname()[1])


async def test_gateway_of_another_release() -> None:
    """One that tells more, as during an upgrade, is understood; one that tells otherwise is told as that."""
    status: dict[str, Any] = {"version": "9.9", "instance": 1, "slot": "idle", "sip": [], "meeting": "m", "uptime_s": 1}
    account = {"address": "sip:7@provider.example", "registered": True, "answer": "", "later": 1}
    async with answering({**status, "account": account, "mood": "good"}) as port:
        told = await jibri_sip_command("status", JIBRI_SIP__API__PORT=port)
    assert (told.code, told.out.split(",")[0]) == (0, "jibri-sip 9.9"), told.err
    async with answering({**status, "slot": "asleep"}) as port:
        told = await jibri_sip_command("status", JIBRI_SIP__API__PORT=port)
    assert (told.code, told.err.split(":")[0]) == (1, "gateway-not-running")
    assert "release" in told.err


async def test_check_config(tmp_path: Path) -> None:
    """A valid configuration is told with its file; a wrong one with all that is wrong, and exit code 78."""
    file = tmp_path / "jibri-sip.toml"
    file.write_text('[meeting]\nbase_url = "https://meet.example.com"\n', encoding="utf-8")
    good = await jibri_sip_command("check-config", "--config", str(file))
    assert (good.code, good.out) == (0, f"ok: {file}, https://meet.example.com\n")
    file.write_text('[meeting]\nbase_ulr = "https://meet.example.com"\n[sip]\nport = 0\n', encoding="utf-8")
    bad = await jibri_sip_command("check-config", "--config", str(file))
    assert (bad.code, bad.out) == (78, "")
    assert f"{file}:2:1: meeting.base_ulr" in bad.err
    assert "did you mean meeting.base_url?" in bad.err
    assert f"{file}:4:1: sip.port" in bad.err
    machine = await jibri_sip_command("check-config", "--json", "--config", str(file))
    assert machine.code == 78
    assert [problem["key"] for problem in machine.json["problems"]] == [
        "meeting.base_url",
        "meeting.base_ulr",
        "sip.port",
    ]


@pytest.mark.parametrize("command", ["check-config", "status", "run"])
async def test_file_that_is_not_there(command: str, tmp_path: Path) -> None:
    """A configuration file that is not there is told by name."""
    told = await jibri_sip_command(command, "--config", str(tmp_path / "nowhere.toml"))
    assert told.code == 78
    assert "nowhere.toml: No such file" in told.err


async def test_run_without_a_meeting() -> None:
    """The gateway does not start without knowing its deployment, and says so."""
    told = await jibri_sip_command("run", JIBRI_SIP_CONFIG="/dev/null")
    assert told.code == 78
    assert "meeting.base_url" in told.err


async def test_interrupt_while_waiting(config: str, gateway: FixedGateway) -> None:
    """Ctrl-C while waiting ends the command, with no traceback, and leaves the call to the gateway."""
    gateway.course = []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jibri_sip", "dial", "--room", "d", "--to", "x@y.example", "--config", config,
        cwd=ROOT, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        # A shell's background job ignores it, and so would what we start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    assert await process.stderr.readline() == "requested …\n".encode()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"Traceback" not in err
    assert len(gateway.asked) == 1


@pytest.mark.parametrize("command", [None, *sorted(main.commands)])
def test_help(command: str | None) -> None:
    """Every command explains itself, in lines of a terminal's width."""
    result = CliRunner().invoke(main, [*([command] if command else []), "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["dial"], ["dial", "--room", "x"], ["status", "--wrong"], ["hangup", "a", "b"]]
)
def test_wrong_use(arguments: list[str]) -> None:
    """Wrong use has exit code 2."""
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, "Usage: " in result.output) == (2, True)


def test_version() -> None:
    """The version is the package's."""
    assert CliRunner().invoke(main, ["version"]).output.startswith(f"jibri-sip {jibri_sip.__version__} (Python 3.")
    facts = json.loads(CliRunner().invoke(main, ["version", "--json"]).output)
    assert facts["version"] == jibri_sip.__version__
