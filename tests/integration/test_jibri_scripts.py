"""The scripts that the autoscaler's side runs, against the internal API on a real socket."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jibri_sip.api import serve
from jibri_sip.api.jibri_internal import create_internal_app
from jibri_sip.config import load
from jibri_sip.config.control import JibriSettings
from jibri_sip.errors import GatewayError
from jibri_sip.session.news import Availability, InstanceNews
from tests.running_gateway import free_port
from tests.unit.fixed_control import FixedControl

SCRIPTS = Path(__file__).parents[2] / "scripts" / "jibri"
SETTINGS = load(None, {"JIBRI_SIP__MEETING__BASE_URL": "https://meet.example.com"})
PORT = "JIBRI_SIP__JIBRI__INTERNAL_PORT"
HOST = "JIBRI_SIP__JIBRI__INTERNAL_HOST"


class Retiring(FixedControl):
    """A gateway that goes when it was told to and its session has been ended."""

    def __init__(self) -> None:
        super().__init__()
        self.instance = InstanceNews(Availability.BUSY)
        self.told = asyncio.Event()
        self.gone = asyncio.Event()

    def retire(self, exit_code: int, *, at_once: bool = False) -> None:
        """Remember how."""
        super().retire(exit_code, at_once=at_once)
        self.told.set()

    async def stop_service(self, error: GatewayError) -> None:
        """End the session, and go."""
        await super().stop_service(error)
        if self.retired:
            self.gone.set()


async def run(name: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a script."""
    process = await asyncio.create_subprocess_exec(
        SCRIPTS / name,
        *arguments,
        env={"PATH": os.environ["PATH"], "JIBRI_SIP_CONFIG": "/nowhere.toml", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output.decode(), complaints.decode()


@pytest.fixture
def control() -> Retiring:
    """A gateway with a session."""
    return Retiring()


@pytest.fixture
async def port(control: Retiring) -> AsyncIterator[int]:
    """The internal API's port, for as long as the gateway is there."""
    async with AsyncExitStack() as stack:
        listening = await stack.enter_async_context(serve(create_internal_app(control, SETTINGS), "127.0.0.1", 0))

        async def go() -> None:
            await control.gone.wait()
            await stack.aclose()

        going = asyncio.create_task(go())
        yield listening
        going.cancel()


@pytest.mark.parametrize(("script", "code"), [("graceful_shutdown.sh", 255), ("reload.sh", 0)])
async def test_told(control: Retiring, port: int, script: str, code: int) -> None:
    """Each tells its one thing and returns, with nothing on its output."""
    assert await run(script, **{PORT: str(port)}) == (0, "", "")
    assert control.retired == [(code, False)]


@pytest.mark.parametrize("script", ["graceful_shutdown.sh", "reload.sh", "wait_graceful_shutdown.sh"])
async def test_nobody_there(script: str) -> None:
    """Without a gateway they fail and say so."""
    status, _, complaints = await run(script, **{PORT: str(free_port())})
    assert status != 0
    assert complaints


async def test_port_of_the_configuration(control: Retiring, port: int, tmp_path: Path) -> None:
    """The port is looked up in the configuration, and in the environment as the gateway does."""
    file = tmp_path / "jibri-sip.toml"
    file.write_text(f'[meeting]\nbase_url = "https://meet.example.com"\n[jibri]\ninternal_port = {port}\n')
    assert (await run("reload.sh", JIBRI_SIP_CONFIG=str(file)))[0] == 0
    file.write_text(f"[instance]\nnumber = {port - 3332}\n")
    assert (await run("reload.sh", JIBRI_SIP_CONFIG=str(file)))[0] == 0
    assert (await run("reload.sh", JIBRI_SIP__INSTANCE__NUMBER=str(port - 3332)))[0] == 0
    assert len(control.retired) == 3


async def test_address_of_the_configuration(control: Retiring, tmp_path: Path) -> None:
    """The internal API is found wherever on loopback it listens, IPv6 included; what cannot be read is named."""
    file = tmp_path / "jibri-sip.toml"
    app = create_internal_app(control, SETTINGS.model_copy(update={"jibri": JibriSettings(internal_host="::1")}))
    async with serve(app, "::1", 0) as port:
        file.write_text(f'[jibri]\ninternal_host = "::1"\ninternal_port = {port}\n')
        assert await run("reload.sh", JIBRI_SIP_CONFIG=str(file)) == (0, "", "")
        assert await run("reload.sh", **{HOST: "::1", PORT: str(port)}) == (0, "", "")
    assert len(control.retired) == 2
    file.write_text("[jibri")
    status, _, complaints = await run("reload.sh", JIBRI_SIP_CONFIG=str(file))
    assert status != 0
    assert complaints.startswith(f"{file}: ")


async def test_waiting_for_the_session(control: Retiring, port: int) -> None:
    """It returns when the session has ended by itself and the gateway has gone, and not before."""
    waiting = asyncio.create_task(run("wait_graceful_shutdown.sh", **{PORT: str(port)}))
    await asyncio.wait_for(control.told.wait(), 60)
    await asyncio.sleep(2)
    assert control.retired == [(255, False)]
    assert not waiting.done()
    control.gone.set()
    status, output, _ = await waiting
    assert (status, control.stopped) == (0, [])
    assert output.splitlines()[-1] == "the gateway has shut down"


async def test_a_session_that_takes_too_long(control: Retiring, port: int) -> None:
    """After the longest time the session is ended."""
    assert await run("wait_graceful_shutdown.sh", "-w", "1", "-s", **{PORT: str(port)}) == (0, "", "")
    assert control.stopped == ["orderer-stopped"]
