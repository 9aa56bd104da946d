"""SIPp, a foreign SIP stack with a foreign idea of what a call looks like, calls and is called, again and again."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from jibri_sip.sip.events import Answered
from tests.integration.sip.conftest import Gateway, until
from tests.integration.sip.raw_calls import event
from tests.peer.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLS = 10
LIMIT_S = 30.0


async def sipp(directory: Path, *arguments: str) -> tuple[int, str]:
    """Run it; its exit code (0: every message of every call was as its scenario has it) and its last words."""
    process = await asyncio.create_subprocess_exec(
        "sipp",
        *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin", "-timeout", f"{LIMIT_S:.0f}s", "-timeout_error"),
        *arguments,
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), LIMIT_S + 5)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return process.returncode or 0, output.decode(errors="replace")[-3000:]


@pytest.mark.parametrize("transport", ["u1", "t1"], ids=["UDP", "TCP"])
async def test_sipp_calls(gateway: Gateway, tmp_path: Path, transport: str) -> None:
    """Ten calls, ten in a second: ringing, answered, hung up by the caller, none left over."""

    async def answer() -> None:
        for _ in range(CALLS):
            call = await gateway.take()
            await call.ring()
            await call.answer()

    answering = asyncio.create_task(answer())
    code, words = await sipp(
        tmp_path,
        *("-sn", "uac", "-t", transport, "-p", str(free_port()), "-s", "demo"),
        *("-m", str(CALLS), "-r", "10", "-d", "200", f"127.0.0.1:{gateway.endpoint.ports.udp}"),
    )
    answering.cancel()
    assert code == 0, words


async def test_sipp_is_called(gateway: Gateway, tmp_path: Path) -> None:
    """Five calls of ours are answered and hung up by us; SIPp finds nothing wrong with any message."""
    port = free_port()
    serving = asyncio.create_task(sipp(tmp_path, "-sn", "uas", "-p", str(port), "-m", "5"))
    await until(lambda: f":{port:04X} " in Path("/proc/net/udp").read_text())
    for _ in range(5):
        call = await gateway.endpoint.dial(f"sip:service@127.0.0.1:{port}", video=False)
        assert await event(call, Answered)
        await call.hangup()
        await call.wait_ended()
    code, words = await serving
    assert code == 0, words
