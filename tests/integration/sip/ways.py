"""Ways that media takes other than straight from socket to socket: a relay, and a network with ICE in it."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jibri_sip.config.network import NetworkSettings
from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import Gateway, gateway_with
from tests.peer.netns import Net, cable, ip, net
from tests.peer.turn import USER

PASSWORD = "turn pa$$"  # noqa: S105  (a test's)
RTP: dict[str, Any] = {"rtp_port_first": 23200, "rtp_port_last": 23299}
BESIDE = "198.51.100.7"
FAR = "198.51.100.1"


def relayed(port: int, directory: Path, transport: str = "udp") -> NetworkSettings:
    """Settings to use this server as a relay."""
    secret = directory / "turn-password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    turn = {"server": f"127.0.0.1:{port}", "transport": transport, "user": USER, "password_file": str(secret)}
    return NetworkSettings.model_validate({"ice": True, "turn": turn})


@asynccontextmanager
async def on_a_cable(settings: SipSettings) -> AsyncIterator[tuple[Gateway, Net]]:
    """An endpoint with an address that is not loopback's, which ICE passes over, and a network beside it."""
    ip("link", "set", "lo", "up")
    with net() as far:
        cable("near", "far", far)
        ip("address", "add", f"{BESIDE}/24", "dev", "near")
        ip("address", "add", f"{FAR}/24", "dev", "far", inside=far)
        async with gateway_with(dataclasses.replace(settings, host=BESIDE, port=5060, **RTP)) as gateway:
            yield gateway, far
