"""The installation's own certificate, for callers by TLS where the operator has given none."""

import atexit
import datetime as dt
import fcntl
import os
import shutil
import socket
import tempfile
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jibri_sip.clock import utc_now

log = structlog.get_logger(__name__)

_NAME = "self-signed.pem"
_VALID = dt.timedelta(days=3650)
_RENEWED = dt.timedelta(days=90)
"""Before its end."""
_REMEDY = (
    "Peers that check certificates refuse it, unless they were told its fingerprint. Name one of an authority in "
    "sip.tls.certificate_file and sip.tls.key_file."
)


def self_signed(directory: Path, otherwise: Path | None = None) -> Path:
    """The PEM file that holds certificate and key, readable by its owner only; made when there is none that is valid.

    All instances of an installation share it. Where the directory cannot be written to, it is one for this run.

    Args:
        directory: where it is kept; made with mode 0700.
        otherwise: where it lies if that cannot be written to, made if need be; None for a directory that is gone when
            this process is.

    Raises:
        OSError: neither can be written to.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = _kept(directory)
    except OSError as error:
        otherwise = otherwise or _for_this_run()
        otherwise.mkdir(parents=True, exist_ok=True)
        path = _write(otherwise, _made())
        log.warning("self_signed_certificate_not_kept", directory=str(directory), reason=error.strerror)
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    log.warning("tls_certificate_self_signed", file=str(path), sha256=fingerprint, remedy=_REMEDY)
    return path


def _for_this_run() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="jibri-sip-tls-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _kept(directory: Path) -> Path:
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Instances start at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = directory / _NAME
        return path if _is_good(path) else _write(directory, _made())
    finally:
        os.close(lock)


def _is_good(path: Path) -> bool:
    try:
        data = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(data)
        key = serialization.load_pem_private_key(data, None)
    except (OSError, ValueError):
        return False
    return certificate.public_key() == key.public_key() and certificate.not_valid_after_utc - _RENEWED > utc_now()


def _made() -> bytes:
    host = socket.gethostname()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    now = utc_now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Peers' clocks may be behind.
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(directory: Path, data: bytes) -> Path:
    # mkstemp makes it readable by its owner only; renamed, for another instance may be reading.
    descriptor, fresh = tempfile.mkstemp(dir=directory)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return Path(fresh).replace(directory / _NAME)
