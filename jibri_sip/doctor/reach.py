"""How far one gets to a server: its name, its port, its certificate, its answer."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

TIMEOUT_S = 8.0
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Barrier:
    """What is in the way.

    Attributes:
        message: what, with the name or address.
        remedy: what to do about it.
    """

    message: str
    remedy: str


async def connected(host: str, port: int) -> Barrier | None:
    """What keeps us from a TCP connection; None when there is one."""
    loop = asyncio.get_running_loop()
    try:
        found = await asyncio.wait_for(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), TIMEOUT_S)
    except TimeoutError:
        return Barrier(f"no DNS server says where {host} is", "See /etc/resolv.conf, and whether the network is up.")
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
        return Barrier(f"{host} is not found: {reason}", "Check the name, and this machine's DNS servers.")
    addresses = ", ".join(dict.fromkeys(str(address[0]) for *_, address in found))
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), TIMEOUT_S)
    except TimeoutError:
        return Barrier(
            f"{host} ({addresses}) does not answer on port {port}",
            "See whether a firewall drops it, here, there, or on the way.",
        )
    except OSError as error:
        reason = error.strerror or "every address refuses"
        return Barrier(
            f"{host} ({addresses}) cannot be reached on port {port}: {reason}",
            "See whether the server runs, and the route to it.",
        )
    writer.close()
    return None


async def answered(url: str) -> Barrier | httpx2.Response:
    """What keeps us from an answer to a GET by HTTP; else the answer. Certificates are the system's to vouch for."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    barrier = await connected(host, parts.port or _PORTS.get(parts.scheme, 443))
    if barrier is not None:
        return barrier
    try:
        context = ssl.create_default_context()
        async with httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False, verify=context) as client:
            return await client.get(url)
    except httpx2.HTTPError as error:
        refused = _certificate_error(error)
        if refused is not None:
            return Barrier(
                f"the certificate of {host} is refused: {refused}",
                "Have a certificate of that name by a public authority there, complete with its chain.",
            )
        return Barrier(
            f"{host} takes the connection, but gives no HTTP answer: {error or type(error).__name__}",
            "See whether the address says the right scheme and port.",
        )


def _certificate_error(error: BaseException | None) -> str | None:
    """What OpenSSL says of the certificate, somewhere among the causes."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None
