"""A web server with the page that stands for Jitsi Meet's, and a few servers that are broken."""

import datetime as dt
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PAGE = (Path(__file__).parent / "page.html").read_bytes()


class _Handler(BaseHTTPRequestHandler):
    """Serves the page everywhere but below `/broken` (502), `/hangs` and `/away` (to another origin)."""

    requests: list[str]

    def do_GET(self) -> None:
        """Answer."""
        self.requests.append(self.path)
        deployment = self.path.split("/")[1]
        if deployment == "hangs":
            threading.Event().wait(20)
            return
        if deployment == "away":
            port = self.headers["Host"].rpartition(":")[2]
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{port}/login/page")
            self.end_headers()
            return
        self.send_response(502 if deployment == "broken" else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_values: object) -> None:
        """Say nothing."""


class Site:
    """Where it listens, and which paths it was asked for."""

    def __init__(self, server: ThreadingHTTPServer, requests: list[str], scheme: str) -> None:
        self.port = server.server_address[1]
        self.url = f"{scheme}://localhost:{self.port}"
        self.requests = requests


def write_certificate(path: Path, name: str) -> None:
    """Write a certificate for a host that nobody vouches for, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))


@contextmanager
def serve(certificate: Path | None = None) -> Iterator[Site]:
    """Serve on a free port of loopback, by TLS if there is a certificate (PEM, with its key)."""
    requests: list[str] = []
    handler = type("Handler", (_Handler,), {"requests": requests})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Site(server, requests, "http" if certificate is None else "https")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
