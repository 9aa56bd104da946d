"""Serves an ASGI application in the running event loop, for as long as somebody is inside the context."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

from jibri_sip.config.model import ApiTlsSettings
from jibri_sip.errors import AddressUnavailable, ConfigInvalid, PortInUse

_GRACE_S = 2


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are the application's business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        self.listening.set()


@contextlib.asynccontextmanager
async def serve(app: ASGIApp, host: str, port: int, tls: ApiTlsSettings | None = None) -> AsyncIterator[int]:
    """Serve HTTP, or with a certificate HTTPS, while inside; yields the port (the one chosen, if `port` is 0).

    Raises:
        PortInUse: Another program has the port.
        AddressUnavailable: The address is not this machine's, or not ours to use.
        ConfigInvalid: Certificate, key or authorities are not what they should be.
    """
    config = _config(app, tls or ApiTlsSettings())
    listener = _listen(host, port)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="api")
    try:
        await server.listening.wait()
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


def _config(app: ASGIApp, tls: ApiTlsSettings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        ws="none",
        ssl_certfile=tls.certificate_file,
        ssl_keyfile=tls.key_file,
        ssl_ca_certs=str(tls.client_ca_file) if tls.client_ca_file is not None else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if tls.client_ca_file is not None else ssl.CERT_NONE,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigInvalid(f"api.tls: {error.strerror or error}") from None
    return config


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
    except socket.gaierror as error:
        raise AddressUnavailable(f"api.host {host}: {error.strerror}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        kind_of_error = PortInUse if error.errno == errno.EADDRINUSE else AddressUnavailable
        raise kind_of_error(f"API, tcp {host}:{port}: {error.strerror}") from None
    listener.setblocking(False)
    return listener
