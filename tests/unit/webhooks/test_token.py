"""The token of webhooks, with a real key."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from jibri_sip.clock import utc_now
from jibri_sip.config.control import WebhookToken
from jibri_sip.errors import ConfigInvalid, FileUnreadable
from jibri_sip.webhooks.token import TokenSource
from tests.subscriber import SigningKey


def settings(file: Path, **more: Any) -> WebhookToken:
    """Settings with this key."""
    return WebhookToken.model_validate({"signing_key_file": str(file), "kid": "jibri/key-1", **more})


class Wall:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = utc_now().replace(microsecond=0)

    def __call__(self) -> datetime:
        """What it shows."""
        return self.now


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """A real RSA key."""
    return SigningKey(tmp_path_factory.mktemp("keys") / "key.pem")


def test_claims(key: SigningKey) -> None:
    """RS256, with the key's id, issuer, audience and validity."""
    wall = Wall()
    source = TokenSource(settings(key.file, issuer="jibri-7", audience="queue", ttl_s=600), wall)
    claims = key.verified(source.token(), "queue")
    header = claims.pop("header")
    assert (header["alg"], header["kid"]) == ("RS256", "jibri/key-1")
    begun = int(wall.now.timestamp())
    assert claims == {"iss": "jibri-7", "aud": "queue", "iat": begun, "exp": begun + 600}


def test_renewal(key: SigningKey) -> None:
    """One token is used until five minutes before its end, and then another; also when the clock is set back."""
    wall = Wall()
    source = TokenSource(settings(key.file, ttl_s=3600), wall)
    first = source.token()
    wall.now += timedelta(seconds=3299)
    assert source.token() == first
    wall.now += timedelta(seconds=1)
    second = source.token()
    assert second != first
    wall.now -= timedelta(days=1)
    assert source.token() not in {first, second}


def test_forgetting(key: SigningKey) -> None:
    """A token that was refused is not shown again."""
    wall = Wall()
    source = TokenSource(settings(key.file), wall)
    first = source.token()
    wall.now += timedelta(seconds=1)
    source.forget()
    assert source.token() != first


def test_another_key_does_not_verify(key: SigningKey, tmp_path: Path) -> None:
    """The check that these tests make can fail."""
    token = TokenSource(settings(SigningKey(tmp_path / "other.pem").file)).token()
    with pytest.raises(jwt.InvalidSignatureError):
        key.verified(token)
    old = TokenSource(settings(key.file), lambda: datetime(2026, 1, 1, tzinfo=UTC)).token()
    with pytest.raises(jwt.ExpiredSignatureError):
        key.verified(old)


def test_unusable_keys(tmp_path: Path) -> None:
    """No file, no key, a key with a password, a key of another kind: told when the gateway starts."""
    with pytest.raises(FileUnreadable, match=r"signing_key_file"):
        TokenSource(settings(tmp_path / "nowhere.pem"))
    encrypted = serialization.BestAvailableEncryption(b"password")
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    contents = {
        "nonsense.pem": b"nonsense",
        "password.pem": rsa.generate_private_key(65537, 2048).private_bytes(pem, pkcs8, encrypted),
        "elliptic.pem": ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, plain),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigInvalid, match=name):
            TokenSource(settings(tmp_path / name))
