"""The certificate for callers where there is no other."""

import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from jibri_sip.sip.self_signed import self_signed


def test_kept(tmp_path: Path) -> None:
    """It is made once, belongs to its owner alone, and TLS takes it."""
    directory = tmp_path / "state" / "tls"
    path = self_signed(directory)
    first = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert self_signed(directory).read_bytes() == first
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(path, path)
    assert x509.load_pem_x509_certificate(first).subject


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_made_anew(tmp_path: Path, damage: bytes) -> None:
    """One that cannot be read is replaced."""
    path = self_signed(tmp_path)
    first = path.read_bytes()
    path.write_bytes(damage)
    assert self_signed(tmp_path).read_bytes() not in {first, damage}


def test_directory_that_cannot_be(tmp_path: Path) -> None:
    """Where it cannot be kept, there is one for this run, and nothing of it afterwards."""
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "tls"
    program = f"""
import pathlib
from jibri_sip.sip.self_signed import self_signed
path = self_signed(pathlib.Path({str(directory)!r}))
assert path.is_file()
assert path.parents[1] == pathlib.Path({str(tmp_path)!r})
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert self_signed(directory, tmp_path).parent == tmp_path
