"""An XMPP server with a brewery, and whoever orders there, shared by the tests of a module."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from jibri_sip.config.control import XmppSettings
from tests.jicofo import BreweryServer, Jicofo
from tests.jicofo.server import AUTH_DOMAIN, BREWERY, BREWERY_DOMAIN

ACCOUNTS = {"focus": "f0cus", "jibri": "j1bri", "other": "0ther"}
HIBERNATION_S = 20


def environment(
    server: BreweryServer, nickname: str, *, port: int = 0, user: str = "jibri", **more: Any
) -> dict[str, Any]:
    """The raw settings of an environment at this server, or behind another port."""
    return {
        "name": nickname,
        "hosts": [f"127.0.0.1:{port or server.port}"],
        "domain": "meet.example.com",
        "strip_from_room_domain": "conference.",
        "ca_file": str(server.authority),
        "control_login": {"domain": AUTH_DOMAIN, "username": user, "password": ACCOUNTS[user]},
        # Addresses are compared without regard to case (RFC 6122).
        "control_muc": {"domain": BREWERY_DOMAIN.title(), "room": BREWERY.upper(), "nickname": nickname},
        **more,
    }


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
