"""A DTLS client for media (RFC 5764), with a certificate as a test wants it, on one socket."""

import asyncio
import contextlib
import datetime as dt
from functools import partial
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from pylibsrtp import Error, Policy, Session

_LABEL = b"EXTRACTOR-dtls_srtp"
_KEY, _SALT = 16, 14
_RTCP = range(192, 224)
_PROFILE = b"SRTP_AES128_CM_SHA1_80"
_MTU = 1200
_RECORD_HEADER = 13
_RETRY_S = 0.5
_VALID = (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2126, 1, 1, tzinfo=dt.UTC))


class MediaCertificate:
    """A self-signed certificate.

    Args:
        padding: bytes of an extension that is nobody's, to make it large.
    """

    def __init__(self, padding: int = 0) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "media")])
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), 1, *_VALID)
        if padding:
            extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(padding))
            builder = builder.add_extension(extension, critical=False)
        self.certificate = builder.sign(self.key, hashes.SHA256())

    @property
    def fingerprint(self) -> str:
        """As SDP has it (RFC 8122 section 5)."""
        return "sha-256 " + self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, client: "DtlsClient") -> None:
        self._client = client

    def datagram_received(self, data: bytes, _address: object) -> None:
        self._client.take(data)


class DtlsClient:
    """A socket that shakes hands; an async context manager.

    Args:
        certificate: to show.

    Attributes:
        port: of the socket.
        packets: what came that is not DTLS.
    """

    def __init__(self, certificate: MediaCertificate) -> None:
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.use_certificate(certificate.certificate)
        context.use_privatekey(certificate.key)
        context.set_tlsext_use_srtp(_PROFILE)
        self.packets: list[bytes] = []
        self.port = 0
        self._connection = SSL.Connection(context)
        self._connection.set_connect_state()
        self._connection.set_ciphertext_mtu(_MTU)
        self._remote = 0
        self._done = asyncio.Event()
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> Self:
        """Open the socket."""
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            partial(_Socket, self), local_addr=("127.0.0.1", 0)
        )
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        self._transport.close()

    def readable(self) -> int:
        """How many of `packets`, RTP or RTCP, the keys of this socket's own handshake open."""
        material = self._connection.export_keying_material(_LABEL, 2 * (_KEY + _SALT))
        servers = material[_KEY : 2 * _KEY] + material[2 * _KEY + _SALT :]
        session = Session(Policy(key=servers, ssrc_type=Policy.SSRC_ANY_INBOUND))
        opened = 0
        for packet in self.packets:
            with contextlib.suppress(Error):
                (session.unprotect_rtcp if packet[1] in _RTCP else session.unprotect)(packet)
                opened += 1
        return opened

    async def shake_hands(self, port: int, timeout_s: float = 10.0) -> None:
        """With who listens on this port of loopback.

        Raises:
            TimeoutError: it did not come about.
        """
        self._remote = port
        self._go_on()
        async with asyncio.timeout(timeout_s):
            while not self._done.is_set():
                try:
                    await asyncio.wait_for(self._done.wait(), _RETRY_S)
                except TimeoutError:
                    self._connection.DTLSv1_handle_timeout()
                    self._flush()

    def take(self, data: bytes) -> None:
        """A datagram came: DTLS by its first octet, or not (RFC 7983)."""
        if not 20 <= data[0] <= 63:
            self.packets.append(data)
        elif not self._done.is_set():
            self._connection.bio_write(data)
            self._go_on()

    def _go_on(self) -> None:
        try:
            self._connection.do_handshake()
            self._done.set()
        except SSL.WantReadError:
            pass
        self._flush()

    def _flush(self) -> None:
        try:
            flight = self._connection.bio_read(65536)
        except SSL.WantReadError:
            return
        while flight:
            size = _RECORD_HEADER + int.from_bytes(flight[11:13], "big")
            self._transport.sendto(flight[:size], ("127.0.0.1", self._remote))
            flight = flight[size:]
