"""The API by HTTPS, and with mutual TLS: who gets in, and whom the commands believe."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from jibri_sip.api import create_app, serve
from jibri_sip.api.client import Client
from jibri_sip.config import ApiSettings
from jibri_sip.errors import ConfigInvalid, GatewayNotRunning
from tests.peer.authority import Authority, Certificate
from tests.unit.api.fixed_gateway import FixedGateway


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whose certificates the gateway wants."""
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whose certificates mean nothing to it."""
    return Authority(tmp_path_factory.mktemp("tls"), "stranger")


@pytest.fixture(scope="module")
def settings(authority: Authority) -> ApiSettings:
    """Open to a network, without a token: the client's certificate is all."""
    own = authority.certificate("gw.example.com")
    tls = {"certificate_file": str(own.file), "key_file": str(own.key), "client_ca_file": str(authority.file)}
    return ApiSettings.model_validate({"host": "0.0.0.0", "tls": tls})  # noqa: S104  (that it is open is the point)


@pytest.fixture
async def port(settings: ApiSettings) -> AsyncIterator[int]:
    """Where such an API listens."""
    async with serve(create_app(FixedGateway(), settings), "127.0.0.1", 0, settings.tls) as listening:
        yield listening


async def asked(port: int, trusted: Path, shown: Certificate | None) -> int:
    """The status that somebody gets who trusts this authority and shows this certificate."""
    context = ssl.create_default_context(cafile=trusted)
    context.check_hostname = False
    if shown is not None:
        context.load_cert_chain(shown.file, shown.key)
    async with httpx2.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False) as http:
        return (await http.get("/api/v1/status")).status_code


async def test_who_gets_in(port: int, authority: Authority, stranger: Authority) -> None:
    """A certificate of the right authority opens; none, or another's, ends in TLS."""
    assert await asked(port, authority.file, authority.certificate("operator")) == 200
    for shown in (None, stranger.certificate("operator")):
        with pytest.raises(httpx2.TransportError):
            await asked(port, authority.file, shown)


async def test_no_plain_http(port: int) -> None:
    """Plain HTTP is not answered."""
    with pytest.raises(httpx2.TransportError):
        async with httpx2.AsyncClient(trust_env=False) as http:
            await http.get(f"http://127.0.0.1:{port}/api/v1/status")


async def test_commands(settings: ApiSettings, port: int) -> None:
    """The commands find the API, with the gateway's own certificate, under whatever name that is."""
    here = settings.model_copy(update={"port": port})
    assert (await in_thread(here)) == "idle"


async def test_commands_believe_nobody_else(settings: ApiSettings, authority: Authority) -> None:
    """Another server of the same authority is not the gateway: it gets no token."""
    theirs = authority.certificate("other.example.com")
    tls = {"certificate_file": str(theirs.file), "key_file": str(theirs.key)}
    other = ApiSettings.model_validate({"tls": tls})
    async with serve(create_app(FixedGateway(), other), "127.0.0.1", 0, other.tls) as port:
        with pytest.raises(GatewayNotRunning):
            await in_thread(settings.model_copy(update={"port": port}))


async def test_what_is_no_certificate(settings: ApiSettings, tmp_path: Path) -> None:
    """A file that holds something else is told at once, by the gateway and by the commands."""
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    tls = settings.tls.model_copy(update={"certificate_file": nonsense})
    with pytest.raises(ConfigInvalid, match=r"api\.tls"):
        async with serve(create_app(FixedGateway(), settings), "127.0.0.1", 0, tls):
            pass
    with pytest.raises(ConfigInvalid, match=r"api\.tls"):
        Client(settings.model_copy(update={"tls": tls}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"certificate_file": "x.pem"}, "needs both certificate_file and key_file"),
        ({"command_key_file": "x.pem"}, "needs both command_certificate_file and command_key_file"),
        ({"client_ca_file": "x.pem"}, "needs certificate_file"),
        ({"certificate_file": "/nowhere.pem", "key_file": "/nowhere.pem"}, "cannot be read"),
    ],
)
def test_settings_refused(given: dict[str, str], told: str) -> None:
    """Halves, and files that are not there."""
    with pytest.raises(ValueError, match=told):
        ApiSettings.model_validate({"tls": given})


def test_open_needs_a_guard(authority: Authority) -> None:
    """A certificate of its own does not guard an API that is open to a network."""
    own = authority.certificate("gw2")
    tls = {"certificate_file": str(own.file), "key_file": str(own.key)}
    with pytest.raises(ValueError, match="token_file is needed"):
        ApiSettings.model_validate({"host": "192.0.2.1", "tls": tls})


async def in_thread(settings: ApiSettings) -> str:
    """What the command `status` sees; it waits as commands do, so not in the server's event loop."""

    def ask() -> str:
        with Client(settings) as client:
            return client.status().slot

    return await asyncio.to_thread(ask)
