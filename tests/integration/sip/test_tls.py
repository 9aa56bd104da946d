"""Calls of ours over TLS, without a certificate of our own, to a server whose certificate is checked."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jibri_sip.sip.endpoint import Endpoint
from jibri_sip.sip.events import Ended
from jibri_sip.sip.settings import SipSettings, Tls
from tests.jicofo.server import write_certificate
from tests.peer import gateway_devices
from tests.peer.raw import spelled_out
from tests.running_gateway import free_port

SOON_S = 15.0
BUSY = 486


class TlsServer:
    """Answers each INVITE that comes over TLS with 486.

    Attributes:
        invites: the first lines of them.
        authority: who vouches for it.
    """

    def __init__(self, directory: Path) -> None:
        self.invites: list[str] = []
        self.port = 0
        self.authority = directory / "ca.pem"
        key = directory / "key.pem"
        write_certificate("localhost", self.authority, key)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.authority, key)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        while head := await reader.readuntil(b"\r\n\r\n"):
            message = spelled_out(head.decode())
            length = re.search(r"(?im)^content-length:\s*(\d+)", message)
            await reader.readexactly(int(length[1]) if length else 0)
            if message.startswith("INVITE "):
                self.invites.append(message.partition("\r\n")[0])
                kept = [line for line in message.split("\r\n") if re.match(r"(?i)(via|from|to|call-id|cseq):", line)]
                answer = [f"SIP/2.0 {BUSY} Busy Here", *kept, "Content-Length: 0", "", ""]
                writer.write("\r\n".join(answer).encode())
        writer.close()


@asynccontextmanager
async def calling(directory: Path, *, trusted: bool) -> AsyncIterator[tuple[Endpoint, TlsServer]]:
    """An endpoint that has no certificate, and a server."""
    server = TlsServer(directory)
    tls = Tls(port=free_port(), authorities=server.authority if trusted else None)
    endpoint = Endpoint(SipSettings(port=0, tls=tls), gateway_devices.register, lambda _call: None)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=server.context)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        await endpoint.start()
        try:
            yield endpoint, server
        finally:
            await endpoint.close()


@pytest.mark.parametrize("vouching", ["ca_file", "system", ""])
async def test_out_without_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vouching: str) -> None:
    """The INVITE goes over TLS, to a server that somebody vouches for and to no other."""
    if vouching == "system":
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with calling(tmp_path, trusted=vouching == "ca_file") as (endpoint, server):
        call = await endpoint.dial(f"sip:guest@localhost:{server.port};transport=tls")
        async with asyncio.timeout(SOON_S):
            while not isinstance(event := await call.events.get(), Ended):
                pass
        assert (event.code == BUSY) is bool(vouching)
        assert len(server.invites) == int(bool(vouching))
