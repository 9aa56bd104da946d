"""What users, operators and machines get wrong: one clear error, the right answer, and the slot usable again."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2
import psutil
import pytest

from tests.e2e.waiting import ended, in_state, until
from tests.integration.browser.site import serve, write_certificate
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, MeetingOptions
from tests.peer.measured import MeasuredPeer
from tests.peer.raw import AUDIO, RawCaller, sdp
from tests.running_gateway import RunningGateway, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

EX_FAILURE = 1
EX_CONFIG = 78
FORBIDDEN = 403
NOT_FOUND = 404
BAD_GATEWAY = 502
UNAVAILABLE = 503
SOON_S = 60.0
NOBODY = "http://127.0.0.1:9"  # discard: nobody listens there
UNHURRIED = {"dial_in": {"answer_within_s": 30}}  # the answer says why not, however long the page takes
PASSWORD = "canary-of-the-room"  # noqa: S105  (of a meeting of the tests)
TOKEN = "canary-of-the-deployment"  # noqa: S105


async def answer(gateway: RunningGateway, user: str) -> int:
    """The final response to an INVITE for this user part."""
    async with RawCaller(gateway.sip_port, user) as caller:
        caller.request("INVITE", sdp(AUDIO))
        code, _ = await caller.response(timeout_s=SOON_S)
        caller.request("ACK")
    return code


async def refusal_to_start(gateway: RunningGateway) -> tuple[int, str]:
    """Start it; its exit status and all that it wrote."""
    await gateway.start()
    try:
        return await gateway.exit_status(), gateway.log_file.read_text()
    finally:
        await gateway.stop()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"sip": {"prot": 5060}}, ["sip.prot", "port"]),
        ({"limits": {"ring_timeout_s": "long"}}, ["limits.ring_timeout_s", "number"]),
        ({"meeting": {"password_file": "/nonexistent/secret"}}, ["meeting.password_file", "/nonexistent/secret"]),
    ],
)
async def test_wrong_configuration(settings: dict[str, Any], told: list[str]) -> None:
    """Nothing is started; the message names the file, the line and the setting, without a stack trace."""
    gateway = RunningGateway(NOBODY, settings)
    status, log = await refusal_to_start(gateway)
    assert status == EX_CONFIG
    assert all(word in log for word in [*told, gateway.config_file.name]), log
    assert "Traceback" not in log


@contextlib.contextmanager
def taken(kind: socket.SocketKind) -> Iterator[int]:
    """A port of loopback that somebody listens on."""
    with socket.socket(socket.AF_INET, kind) as other:
        port = free_port()
        other.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            other.listen()
        yield port


@pytest.mark.parametrize(("section", "kind"), [("sip", socket.SOCK_DGRAM), ("api", socket.SOCK_STREAM)])
async def test_port_in_use(section: str, kind: socket.SocketKind) -> None:
    """It ends, names the port, and leaves nothing."""
    with taken(kind) as port:
        gateway = RunningGateway(NOBODY, {section: {"port": port}})
        status, log = await refusal_to_start(gateway)
    assert status == EX_FAILURE
    assert "A port is already in use" in log
    assert str(port) in log
    assert "Traceback" not in log
    assert not [path for path in gateway.runtime_dir.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize("name", ["x" * 100, "with blank", "comma,comma"])
async def test_directory_without_room_for_sockets(tmp_path: Path, name: str) -> None:
    """A path that no socket can have, or no daemon takes: it ends, says so, and makes nothing."""
    directory = tmp_path / name
    status, log = await refusal_to_start(RunningGateway(NOBODY, {"instance": {"runtime_dir": str(directory)}}))
    assert status == EX_FAILURE
    assert "instance.runtime_dir" in log
    assert str(directory) in log
    assert "Traceback" not in log
    assert not directory.exists()


async def test_second_gateway_of_the_same_instance(shared_gateway: RunningGateway) -> None:
    """The second one ends and says why; the first one does not notice."""
    second = RunningGateway(NOBODY, {"instance": {"runtime_dir": str(shared_gateway.runtime_dir)}})
    status, log = await refusal_to_start(second)
    assert status == EX_FAILURE
    assert "already" in log
    await shared_gateway.ready(1)


def linked_programs(directory: Path) -> Path:
    """The directory, filled with links to all programs on PATH."""
    for other in reversed(os.environ["PATH"].split(":")):
        for program in Path(other).glob("*"):
            link = directory / program.name
            link.unlink(missing_ok=True)
            link.symlink_to(program)
    return directory


async def test_missing_program(tmp_path: Path) -> None:
    """Without PulseAudio the gateway stays up, says what to install and refuses calls; once it is there all is well."""
    pulseaudio = linked_programs(tmp_path) / "pulseaudio"
    there = pulseaudio.readlink()
    pulseaudio.unlink()
    gateway = RunningGateway(NOBODY, env={"PATH": str(tmp_path)})
    await gateway.start()
    try:
        await until(gateway_status(gateway), lambda status: status.get("slot") == "failed", "failed slot", SOON_S)
        problem = (await gateway.status())["problem"]
        assert problem["key"] == "device-failed"
        assert "pulseaudio" in problem["message"]
        assert "install" in problem["remedy"]
        assert await answer(gateway, "demo") == UNAVAILABLE
        pulseaudio.symlink_to(there)
        await gateway.ready(SOON_S)
    finally:
        await gateway.stop()


def gateway_status(gateway: RunningGateway) -> Any:
    """A probe for what the gateway says of itself; nothing as long as it does not answer."""

    async def probe() -> dict[str, Any]:
        try:
            status: dict[str, Any] = await gateway.status()
        except httpx2.TransportError:
            return {}
        return status

    return probe


async def test_meeting_server_down(logs: Path) -> None:
    """Each caller hears 502, the log says what to check, and the next call is taken all the same."""
    async with RunningGateway(NOBODY, UNHURRIED, log_file=logs / "nobody.log") as gateway:
        for _ in range(2):
            await gateway.ready(SOON_S)
            assert await answer(gateway, "demo") == BAD_GATEWAY
            session = await ended(gateway, "meeting-unreachable")
            assert "base_url" in session["end"]["remedy"]


async def test_certificate_of_another_name(logs: Path, tmp_path: Path) -> None:
    """A meeting server with a certificate of another name gets no request; the caller hears 502, the log what to do."""
    write_certificate(tmp_path / "server.pem", "elsewhere.example")
    with serve(tmp_path / "server.pem") as site:
        async with RunningGateway(site.url, UNHURRIED, log_file=logs / "certificate.log") as gateway:
            assert await answer(gateway, "demo") == BAD_GATEWAY
            session = await ended(gateway, "meeting-certificate-refused")
            assert "certificate" in session["end"]["remedy"]
            await gateway.ready(SOON_S)
    assert not site.requests


@pytest.mark.parametrize(
    "user",
    [
        *("x" * 1000, "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "a%22b", "it's", "$(reboot)", "a%2Fb", "..%2F..%2Fetc"),
        *("%00", "%FF", "%20", "a%0D%0Ab", "%2541"),
    ],
)
async def test_what_is_no_room(gateway: RunningGateway, user: str) -> None:
    """What cannot be a room's name is answered 404 at once, and the slot is not even used."""
    before = await gateway.api("GET", "/api/v1/sessions")
    assert await answer(gateway, user) == NOT_FOUND
    assert await gateway.api("GET", "/api/v1/sessions") == before
    await gateway.ready(1)


@pytest.mark.parametrize("room", ["two%20words", "m%C3%B6tley%20%F0%9F%8E%B8", "y" * 200])
async def test_odd_rooms_are_rooms(
    gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting, room: str
) -> None:
    """Blanks, other scripts and length make no difference to a room's name."""
    await peer.call(f"sip:{room}@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    assert (await in_state(gateway, "bridged"))["room"] == unquote(room)
    # The one of the call before may be there a moment longer.
    await until(meeting.rooms, lambda rooms: len(rooms) == 1, "one room alone")


async def test_locked_room(logs: Path, peer: MeasuredPeer) -> None:
    """No password: 403; a wrong one: 403 with another reason; the right one, given with the call: in."""
    options = MeetingOptions(password=PASSWORD)
    async with (
        EmbeddedMeeting(None, library_directory(), options) as meeting,
        RunningGateway(meeting.base_url, UNHURRIED, log_file=logs / "locked.log") as gateway,
    ):
        assert await answer(gateway, "vault") == FORBIDDEN
        await ended(gateway, "room-locked")
        await gateway.ready(SOON_S)
        await gateway.api("POST", "/api/v1/prepared", json={"room": "vault", "password": "guessed"})
        assert await answer(gateway, "anything") == FORBIDDEN
        await ended(gateway, "room-password-wrong")
        await gateway.ready(SOON_S)
        await gateway.api("POST", "/api/v1/prepared", json={"room": "vault", "password": PASSWORD})
        await peer.call(f"sip:anything@127.0.0.1:{gateway.sip_port}")
        await peer.wait_up(SOON_S)
        assert (await in_state(gateway, "bridged"))["room"] == "vault"


async def test_secrets_stay_secret(logs: Path, peer: MeasuredPeer, tmp_path: Path) -> None:
    """Password and token from the configuration are in no log, no command line and no answer of the API."""
    files = {"password_file": tmp_path / "password", "jwt_file": tmp_path / "jwt"}
    for file, secret in zip(files.values(), (PASSWORD, TOKEN), strict=True):
        file.write_text(secret)
        file.chmod(0o600)
    log = logs / "canary.log"
    options = MeetingOptions(password=PASSWORD)
    async with (
        EmbeddedMeeting(None, library_directory(), options) as meeting,
        RunningGateway(
            meeting.base_url, {"meeting": {name: str(file) for name, file in files.items()}}, log_file=log
        ) as gateway,
    ):
        await peer.call(f"sip:vault@127.0.0.1:{gateway.sip_port}")
        await peer.wait_up()
        await in_state(gateway, "bridged")
        told = [str(await gateway.status()), str(await gateway.api("GET", "/api/v1/sessions"))]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                told.append(" ".join(process.cmdline()))
        for process in gateway.processes():
            with contextlib.suppress(psutil.Error):
                told.append(str(process.environ()))
    told.append(log.read_text())
    for secret in (PASSWORD, TOKEN):
        assert not [text for text in told if secret in text]
