"""The handshake of DTLS-SRTP with a peer that does it itself, on sockets of its own."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jibri_sip.sip.settings import SipSettings
from tests.integration.sip.conftest import Gateway, gateway_with, until
from tests.peer.dtls import DtlsClient, MediaCertificate
from tests.peer.lossy import LossyNetwork
from tests.peer.measured import MeasuredPeer
from tests.peer.raw import AUDIO, RawCaller, sdp

pytestmark = pytest.mark.asyncio

REPORTS_S = 3.0
"""PJMEDIA reports every second, more or less."""


@asynccontextmanager
async def call_of(
    gateway: Gateway, certificate: MediaCertificate, rtp: DtlsClient, rtcp: DtlsClient
) -> AsyncIterator[int]:
    """A call of a peer that says to have this certificate; the gateway's port of RTP."""
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        lines = (
            AUDIO.replace("30000 RTP/AVP", f"{rtp.port} UDP/TLS/RTP/SAVP").strip(),
            f"a=rtcp:{rtcp.port}",
            "a=setup:active",
            f"a=fingerprint:{certificate.fingerprint}",
        )
        caller.request("INVITE", sdp("\n".join(lines) + "\n"))
        call = await gateway.take()
        await call.answer()
        _, answer = await caller.response()
        caller.request("ACK")
        port = re.search(r"m=audio (\d+)", answer)
        assert port is not None
        yield int(port[1])
        assert call.ended is None
        await call.hangup()
        caller.respond(await caller.awaited("BYE"), "200 OK")
        await call.wait_ended()


@pytest.mark.parametrize("padding", [0, 600, 1200], ids=["small", "near-a-packet", "larger"])
async def test_large_certificate(padding: int) -> None:
    """A certificate may be large: what answers it has it within, too, and is more than a packet holds."""
    certificate = MediaCertificate(padding)
    async with (
        gateway_with(SipSettings(port=0, srtp="required")) as gateway,
        DtlsClient(certificate) as rtp,
        DtlsClient(certificate) as rtcp,
        call_of(gateway, certificate, rtp, rtcp) as port,
    ):
        await rtcp.shake_hands(port + 1)
        await rtp.shake_hands(port)
        await until(lambda: rtp.readable() > 0 and rtcp.readable() > 0)


@pytest.mark.parametrize("foreign", ["rtp", "rtcp"])
async def test_certificate_of_a_stranger(foreign: str) -> None:
    """Who shakes hands with another certificate than the peer said gets nothing to read, on either port."""
    said, other = MediaCertificate(), MediaCertificate()
    async with (
        gateway_with(SipSettings(port=0, srtp="required")) as gateway,
        DtlsClient(other if foreign == "rtp" else said) as rtp,
        DtlsClient(other if foreign == "rtcp" else said) as rtcp,
        call_of(gateway, said, rtp, rtcp) as port,
    ):
        await rtp.shake_hands(port)
        await rtcp.shake_hands(port + 1)
        await asyncio.sleep(REPORTS_S)
        assert (rtp if foreign == "rtp" else rtcp).readable() == 0


async def test_answered_while_sent_again(tmp_path: Path) -> None:
    """What ends the handshake may come while it is sent again: neither waits for the other, and the end goes out, too.

    In the peer, which has our PJMEDIA and is the server.
    """
    network = LossyNetwork(tmp_path / "network")
    network.stall_handshake(3)  # the client repeats itself after one second, and two more
    async with (
        gateway_with(SipSettings(port=0, srtp="required")) as gateway,
        MeasuredPeer(width=320, height=180, fps=15, bitrate=300_000, srtp=2, keys="dtls", network=network) as peer,
    ):
        await peer.call(gateway.uri)
        call = await gateway.take()
        await call.answer()
        await peer.wait_up()
        async with asyncio.timeout(15):
            while not all(stream["received"] for stream in (await peer.report()).streams):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await call.hangup()
        await peer.wait_over()
