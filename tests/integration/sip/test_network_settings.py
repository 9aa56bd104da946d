"""Settings for networks: each test has an endpoint of its own."""

import asyncio
import contextlib
import re
import socket
from collections.abc import MutableMapping, Sequence
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from jibri_sip.config.network import NetworkSettings
from jibri_sip.dial_plan import SipAccount
from jibri_sip.errors import PortInUse
from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import SOON_S, answered, gateway_with, offer, until
from tests.peer.pcmu import PcmuSocket
from tests.peer.provider import SipProvider
from tests.peer.raw import AUDIO, RawCaller, sdp

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("media_from", "host", "let_in"),
    [
        ("peer", "127.0.0.66", False),
        ("network", "127.0.0.66", True),
        ("network", "127.0.1.66", False),
        ("anywhere", "127.0.1.66", True),
    ],
)
async def test_media_from(media_from: str, host: str, let_in: bool) -> None:
    """The setting says how far from the peer's own addresses its media may come; the log tells what was kept out."""
    settings = SipSettings(port=0, network=NetworkSettings.model_validate({"media_from": media_from}))
    with structlog.testing.capture_logs() as log:
        async with (
            gateway_with(settings) as gateway,
            PcmuSocket(host) as media,
            answered(gateway, offer(media, "127.0.0.1")) as (_, port),
        ):
            await media.send(port, 40)
            # What was kept out is told three seconds after the answer.
            await until(lambda: len(media.heard) > 5 if let_in else bool(warnings(log)))
            assert let_in or len(media.heard) <= 5
    assert bool(warnings(log)) is not let_in
    assert all(line["allowed"] for line in warnings(log))


def warnings(log: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """What a log tells of media that was kept out."""
    return [line for line in log if line["event"] == "media_from_elsewhere"]


async def test_public_address() -> None:
    """With a router of our own that translates one to one, peers are told its address alone."""
    settings = SipSettings(port=0, public_address="192.0.2.9", rtp_port_first=23000, rtp_port_last=23019)
    async with gateway_with(settings) as gateway, RawCaller(gateway.endpoint.ports.udp) as peer:
        call = await gateway.endpoint.dial(f"sip:raw@{peer.local}")
        invite = await peer.awaited("INVITE")
        assert f"Via: SIP/2.0/UDP 192.0.2.9:{gateway.endpoint.ports.udp}" in invite
        assert re.search(r"(?m)^Contact: <sip:[^>]*192\.0\.2\.9:", invite)
        assert set(re.findall(r"(?m)^c=IN IP4 (\S+)", invite)) == {"192.0.2.9"}
        assert "127.0.0.1" not in re.sub(r"(?m)^(INVITE|To).*$", "", invite)
        await call.hangup()


async def test_keep_alive() -> None:
    """CRLF goes out on a connection and, by UDP, to the registrar."""
    settings = SipSettings(port=0, network=NetworkSettings(keep_alive_s=1))
    async with gateway_with(settings) as gateway, SipProvider("room7", None) as provider:
        idle = asyncio.Queue[bytes]()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(4096):
                idle.put_nowait(data)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            call = await gateway.endpoint.dial(f"sip:raw@127.0.0.1:{port};transport=tcp")
            signed_on = await gateway.endpoint.sign_on(SipAccount(provider.account, SecretStr("x")))
            async with asyncio.timeout(SOON_S):
                while (await idle.get()).strip():
                    pass
                await provider.kept_alive()
            await call.hangup()
            await signed_on.close()


async def test_port_range() -> None:
    """Media keeps to its ports; where all are taken, callers hear 500, and why is told."""
    settings = SipSettings(port=0, rtp_port_first=23100, rtp_port_last=23107)
    async with gateway_with(settings) as gateway, PcmuSocket("127.0.0.1") as media:
        for _ in range(5):
            async with answered(gateway, offer(media, "127.0.0.1")) as (_, port):
                assert port in range(23100, 23107, 2)
        with contextlib.ExitStack() as taken, structlog.testing.capture_logs() as log:
            for port in range(23100, 23108):
                sock = taken.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.bind(("127.0.0.1", port))
            async with RawCaller(gateway.endpoint.ports.udp) as caller:
                caller.request("INVITE", sdp(AUDIO))
                assert (await caller.response())[0] == 500
                caller.request("ACK")
            with pytest.raises(PortInUse, match="UDP ports 23100 to 23107"):
                await gateway.endpoint.dial("sip:nobody@127.0.0.1:9")
        assert [line["event"] for line in log if line["log_level"] == "error"] == ["rtp_ports_exhausted"] * 2
        assert len(log) < 40
        async with answered(gateway, offer(media, "127.0.0.1")) as (_, port):
            assert port in range(23100, 23107, 2)
