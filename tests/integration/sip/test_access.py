"""Strangers at the door of a real endpoint: scanners, floods, callers with and without a password."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
import structlog

from jibri_sip.config.access import AccessSettings
from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import Gateway, until
from tests.peer.measured import MeasuredPeer
from tests.peer.ports import free_port
from tests.peer.provider import field
from tests.peer.raw import AUDIO, RawCaller, sdp
from tests.peer.raw_stream import RawStreamCaller
from tests.unit.sip.test_guard import DRESSED, answer, dressed

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRANGER = "127.0.0.66"
CALLER = "127.0.0.7"


@pytest_asyncio.fixture(loop_scope="module")
async def guarded(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    """An endpoint that trusts no proxy, with whatever settings a test asks for by `indirect`."""
    users = tmp_path / "users"
    users.write_text("room7:pa:ss word\n")
    users.chmod(0o600)
    settings: dict[str, Any] = {"trusted_proxies": [], **getattr(request, "param", {})}
    if settings.pop("login", False):
        settings["users_file"] = str(users)
    gateway = Gateway(SipSettings(port=0, access=AccessSettings.model_validate(settings)))
    await gateway.endpoint.start()
    yield gateway
    await gateway.endpoint.close()


async def is_served(gateway: Gateway) -> bool:
    """Whether the next ordinary call, from an address that did nothing yet, comes in."""
    async with RawCaller(gateway.endpoint.ports.udp, host=CALLER) as caller:
        caller.request("INVITE", sdp(AUDIO))
        call = await gateway.take()
        await call.reject(603, "Not now")
        code, _ = await caller.response()
        caller.request("ACK")
        await call.wait_ended()
        return code == 603


@pytest.mark.parametrize(
    "command",
    [
        ["svmap"],
        ["svwar", "-e", "100-160", "-m", "INVITE", "--force"],
        ["svcrack", "-u", "100", "-r", "100-160"],
    ],
    ids=lambda command: "-".join(command).replace("--", "-"),
)
async def test_sipvicious_gets_nothing(guarded: Gateway, command: list[str], tmp_path: Path) -> None:
    """The scanners of that suite find no device, no user, no password; they are logged once, and the call goes on."""
    async with MeasuredPeer(width=320, height=180, fps=5) as peer:
        await peer.call(guarded.uri)
        call = await guarded.take()
        await call.answer()
        await peer.wait_up()
        before = psutil.Process().num_fds()
        with structlog.testing.capture_logs() as log:
            # On a port of its own: at 5060 it would take for an answer what others send to where nobody named a port.
            ports = ["-p", str(guarded.endpoint.ports.udp), "-P", str(free_port())]
            output = await run(
                [*command, *ports, "127.0.0.1"],
                tmp_path,
                lambda: any(line["event"] == "address_banned" for line in log),
            )
        # Its tables of finds have bars.
        assert "|" not in output
        assert [line["event"] for line in log if line["log_level"] == "warning"] == ["address_banned"]
        assert guarded.incoming.empty()
        assert psutil.Process().num_fds() <= before
        assert await is_served(guarded)
        assert call.ended is None
        await pictures_arrive(peer)
        await call.hangup()
        await peer.wait_over()


async def pictures_arrive(peer: MeasuredPeer) -> None:
    """See that there are new ones at the peer."""
    await peer.report()
    async with asyncio.timeout(10):
        while not (await peer.report()).video.intact:  # noqa: ASYNC110  (nobody tells of it)
            await asyncio.sleep(0.2)


async def run(command: list[str], directory: Path, is_known: Callable[[], bool]) -> str:
    """What a program printed until five seconds after it was known."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env={"HOME": str(directory), "PATH": "/usr/bin:/bin", "TERM": "dumb"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed = asyncio.create_task(process.communicate())
    try:
        await until(is_known)
        await asyncio.wait({printed}, timeout=5)
    finally:
        if process.returncode is None:
            process.terminate()
        output, _ = await printed
    return output.decode()


@pytest.mark.parametrize("guarded", [{"calls_per_minute": 15, "requests_per_minute": 10_000}], indirect=True)
async def test_call_flood(guarded: Gateway) -> None:
    """Of 300 calls at once each has its answer, most of them 503 with when to come again; the running call goes on."""
    async with MeasuredPeer(width=320, height=180, fps=5) as peer:
        await peer.call(guarded.uri)
        running = await guarded.take()
        await running.answer()
        await peer.wait_up()
        callers = [RawCaller(guarded.endpoint.ports.udp, host=f"127.0.1.{n + 1}") for n in range(30)]
        taken = 0
        finals: list[str] = []

        def answered() -> int:
            """How many calls have their answer; a refusal is repeated until it is acknowledged."""
            for caller in callers:
                while not caller.received.empty():
                    finals.extend(re.findall(r"\ASIP/2\.0 [45][\s\S]*", caller.received.get_nowait()))
            return len({field(text, "Call-ID") for text in finals})

        for caller in callers:
            await caller.__aenter__()
        for rounds in range(10):
            # A socket holds some ninety; what is more would be lost where nobody has time to read it.
            await until(lambda: answered() >= 30 * (rounds - 1))  # noqa: B023  (it is over before the next)
            for caller in callers:
                caller.call_id, caller.remote_tag = secrets.token_hex(8), ""
                caller.request("INVITE", sdp(AUDIO))
            while taken < 14:
                await (await guarded.take()).reject(486, "Busy")
                taken += 1
            await asyncio.sleep(0.05)
        await until(lambda: answered() == 300)
        assert sum(text.startswith("SIP/2.0 503") for text in finals) >= 280
        for caller in callers:
            await caller.__aexit__()
        assert all("Retry-After: 30" in text for text in finals)
        assert running.ended is None
        await pictures_arrive(peer)
        await running.hangup()
        await peer.wait_over()


async def test_crowd_on_tcp(guarded: Gateway) -> None:
    """Connections that a stranger holds and says nothing on keep nobody out, and make room for each other."""
    port = guarded.endpoint.ports.tcp
    assert port is not None
    async with AsyncExitStack() as stack, RawStreamCaller(port) as friend:
        crowd: list[asyncio.StreamReader] = []
        for _ in range(2):
            for _ in range(45):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(STRANGER, 0))
                stack.callback(writer.close)
                crowd.append(reader)
            # What was closed is out of PJSIP's hands half a second later.
            await until(lambda: sum(not reader.at_eof() for reader in crowd) <= 32)
            await asyncio.sleep(1)
            async with RawStreamCaller(port) as caller:
                for one in (caller, friend):
                    one.remote_tag = ""
                    one.request("OPTIONS")
                    assert (await one.response())[0] == 200
        await until(lambda: 25 <= sum(not reader.at_eof() for reader in crowd) <= 32)


@pytest.mark.parametrize("guarded", [{"login": True}], indirect=True)
@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
async def test_login(guarded: Gateway, algorithm: str) -> None:
    """A caller with the password gets in; one without gets no further than the challenge."""
    async with RawCaller(guarded.endpoint.ports.udp, host=CALLER) as caller:
        caller.request("INVITE", sdp(AUDIO))
        code, text = await caller.response()
        caller.request("ACK")
        assert code == 401
        assert guarded.incoming.empty()
        offered = re.findall(r"WWW-Authenticate: ([^\r]*)", text)
        assert len(offered) == 2
        challenge = next(one for one in offered if f"algorithm={algorithm}" in one)
        caller.remote_tag = ""
        caller.request("INVITE", sdp(AUDIO), {"Authorization": answer(challenge)})
        call = await guarded.take()
        await call.answer()
        code, _ = await caller.response()
        assert code == 200
        caller.request("ACK")
        await call.hangup()
        await call.wait_ended()


class DressedCaller(RawCaller):
    """Writes the first line of its INVITEs as `first`."""

    first = ""

    def send(self, message: str) -> None:
        """Send it so."""
        super().send(dressed(message, self.first) if message.startswith("INVITE ") else message)


@pytest.mark.parametrize(
    "guarded", [{"login": True}, {"allow_domains": ["example.org"], "failures": 100}], indirect=True
)
async def test_blanks_open_no_door(guarded: Gateway) -> None:
    """What PJSIP takes for an INVITE is one to the guard too, whatever stands around the method."""
    async with DressedCaller(guarded.endpoint.ports.udp, host=CALLER) as caller:
        for caller.first in DRESSED.values():
            caller.call_id, caller.remote_tag = secrets.token_hex(8), ""
            caller.request("INVITE", sdp(AUDIO))
            assert (await caller.response())[0] in {400, 401, 403}
            caller.request("ACK")
    assert guarded.incoming.empty()


@pytest.mark.parametrize("guarded", [{"allow_addresses": ["127.0.0.7"]}], indirect=True)
async def test_allowed_addresses(guarded: Gateway) -> None:
    """Who is on the list is served, who is not hears nothing."""
    async with RawCaller(guarded.endpoint.ports.udp, host=STRANGER) as stranger:
        for method in ("OPTIONS", "INVITE", "REGISTER", "BYE"):
            stranger.request(method)
        await asyncio.sleep(0.5)
        assert stranger.received.empty()
    assert await is_served(guarded)


@pytest.mark.parametrize(
    ("guarded", "told"),
    [
        ({"trusted_proxies": [CALLER]}, ('Board <b>"room"', "sip:board@example.com")),
        ({}, ("", "sip:raw@")),
    ],
    ids=["trusted", "stranger"],
    indirect=["guarded"],
)
async def test_asserted_identity(guarded: Gateway, told: tuple[str, str]) -> None:
    """Who a proxy says the caller is counts where the proxy is trusted (RFC 3325); others may claim what they like."""
    who = r'<tel:+15551234>, "Board <b>\"room\"" <sip:board@example.com>'
    async with RawCaller(guarded.endpoint.ports.udp, host=CALLER) as caller:
        caller.request("INVITE", sdp(AUDIO), {"P-Asserted-Identity": who})
        call = await guarded.take()
        assert call.remote_name == told[0]
        assert call.remote_uri.startswith(told[1])
        await call.reject(603, "Not now")
        caller.request("ACK")
        await call.wait_ended()


@pytest.mark.parametrize("guarded", [{"trusted_proxies": [CALLER], "failures": 1}], indirect=True)
async def test_trusted_proxy_is_not_banned(guarded: Gateway) -> None:
    """Whatever others send by way of it: a ban would lock everybody out."""
    async with RawCaller(guarded.endpoint.ports.udp, host=CALLER) as proxy:
        for _ in range(130):
            for method in ("REGISTER", "OPTIONS"):
                proxy.remote_tag = ""
                proxy.request(method, headers={"User-Agent": "friendly-scanner"})
            await proxy.response()
    assert await is_served(guarded)
