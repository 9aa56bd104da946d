"""An XMPP server with a brewery, and whoever orders there, shared by the tests of a module."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from jibri_sip.config.control import XmppSettings
from tests.jicofo import BreweryServer, Jicofo

ACCOUNTS = {"focus": "f0cus", "jibri": "j1bri", "other": "0ther"}
HIBERNATION_S = 20


def environment(server: BreweryServer, nickname: str, *, user: str = "jibri", **more: Any) -> dict[str, Any]:
    """The raw settings of an environment at this server."""
    return server.environment(user, nickname, **{"domain": "meet.example.com", **more})


def xmpp_settings(server: BreweryServer, nickname: str, **more: Any) -> XmppSettings:
    """The same, validated."""
    return XmppSettings.model_validate(environment(server, nickname, **more))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BreweryServer]:
    """The XMPP server."""
    directory = tmp_path_factory.mktemp("brewery")
    async with BreweryServer(directory, ACCOUNTS, hibernation_s=HIBERNATION_S) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def jicofo(server: BreweryServer) -> AsyncIterator[Jicofo]:
    """Jicofo, in the brewery."""
    async with Jicofo(server.port, "focus", ACCOUNTS["focus"], server.authority) as running:
        yield running
