"""The token that webhooks are sent with: a JWT (RFC 7519), RS256 (RFC 7518 section 3.3), made anew in time."""

from collections.abc import Callable
from datetime import datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from jibri_sip.clock import utc_now
from jibri_sip.config.control import WebhookToken
from jibri_sip.errors import ConfigInvalid, FileUnreadable

_RENEW_BEFORE = timedelta(minutes=5)
"""As Jibri does; the shortest validity is ten minutes."""


class TokenSource:
    """Makes tokens, each used for as long as it is well valid.

    Args:
        settings: Key, claims and validity.
        now: The wall clock.

    Raises:
        FileUnreadable: The key's file is not there or not readable.
        ConfigInvalid: It does not hold a private RSA key without a password.
    """

    def __init__(self, settings: WebhookToken, now: Callable[[], datetime] = utc_now) -> None:
        self._settings = settings
        self._now = now
        self._key = _private_key(settings)
        self._token = ""
        self._made: datetime | None = None

    def token(self) -> str:
        """A token that is valid for some minutes at least."""
        now = self._now()
        ttl = timedelta(seconds=self._settings.ttl_s)
        # Also when the wall clock was set back to before the token was made.
        if self._made is None or not self._made <= now < self._made + ttl - _RENEW_BEFORE:
            self._made = now
            self._token = jwt.encode(
                {"iss": self._settings.issuer, "aud": self._settings.audience, "iat": now, "exp": now + ttl},
                self._key,
                algorithm="RS256",
                headers={"kid": self._settings.kid},
            )
        return self._token

    def forget(self) -> None:
        """The token was refused: make another next time."""
        self._made = None


def _private_key(settings: WebhookToken) -> RSAPrivateKey:
    path = settings.signing_key_file
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise FileUnreadable(f"webhooks.token.signing_key_file {path}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ConfigInvalid(
            f"webhooks.token.signing_key_file {path} is no PEM file of a key without password"
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigInvalid(f"webhooks.token.signing_key_file {path} holds no RSA key")
    return key
