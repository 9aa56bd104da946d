"""Digest authentication of callers, as their server (RFC 3261 section 22, RFC 7616, RFC 8760)."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum

from pydantic import SecretStr

NONCE_S = 60
"""Validity of a nonce in seconds: the time to type a password."""
_MOST_NONCES = 10_000
_ALGORITHMS: dict[str, Callable[[bytes], "hashlib._Hash"]] = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
"""The best first: clients take the first that they know (RFC 8760 section 2.3)."""
_PAIR = re.compile(r"([A-Za-z][\w-]*)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+))")


class Outcome(Enum):
    """What credentials are worth."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"
    STALE = "stale"


class Digest:
    """Knows the users, and makes and checks challenges; a nonce serves one request of one address.

    Args:
        realm: the realm.
        users: passwords by user.
        now: clock, seconds.
    """

    def __init__(self, realm: str, users: Mapping[str, SecretStr], now: Callable[[], float] = time.monotonic) -> None:
        self._realm = realm
        self._users = users
        self._now = now
        self._key = secrets.token_bytes(32)
        self._used: dict[str, str] = {}

    def challenges(self, address: str, *, stale: bool = False) -> tuple[str, ...]:
        """Values of WWW-Authenticate, one an algorithm."""
        nonce = self._nonce(address, int(self._now()))
        more = ", stale=true" if stale else ""
        return tuple(
            f'Digest realm="{self._realm}", nonce="{nonce}", qop="auth", algorithm={name}{more}' for name in _ALGORITHMS
        )

    def check(self, headers: Iterable[str], method: str, address: str, request: str) -> Outcome:
        """What the first Authorization header field for our realm is worth; others may be for a proxy on the way.

        Args:
            headers: the values of all that there are.
            method: of the request.
            address: where the request came from.
            request: what is the same in a retransmission, and in no other request.
        """
        outcomes = (self._check_one(header, method, address, request) for header in headers)
        return next((outcome for outcome in outcomes if outcome is not Outcome.MISSING), Outcome.MISSING)

    def _check_one(self, header: str, method: str, address: str, request: str) -> Outcome:
        if header[:7].lower() != "digest ":
            return Outcome.MISSING
        given = {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(header[7:])}
        if given.get("realm") != self._realm:
            return Outcome.MISSING
        nonce = given.get("nonce", "")
        if not self._is_ours(nonce, address) or self._used.get(nonce, request) != request:
            return Outcome.STALE
        if not self._is_right(given, method):
            return Outcome.WRONG
        self._remember(nonce, request)
        return Outcome.RIGHT

    def _is_right(self, given: Mapping[str, str], method: str) -> bool:
        name = given.get("algorithm", "MD5").upper()
        if name not in _ALGORITHMS or given.get("qop") != "auth":
            return False
        user = given.get("username", "")
        # An unknown user costs as much as a wrong password.
        password = self._users.get(user, SecretStr(self._key.hex())).get_secret_value()
        first = _hashed(name, f"{user}:{self._realm}:{password}")
        second = _hashed(name, f"{method}:{given.get('uri', '')}")
        parts = (first, given.get("nonce", ""), given.get("nc", ""), given.get("cnonce", ""), "auth", second)
        right = _hashed(name, ":".join(parts))
        return hmac.compare_digest(right.encode(), given.get("response", "").lower().encode()) and user in self._users

    def _nonce(self, address: str, second: int) -> str:
        stamp = f"{second:x}"
        mark = hmac.new(self._key, f"{stamp} {address}".encode(), hashlib.sha256).hexdigest()[:32]
        return f"{stamp}.{secrets.token_hex(4)}.{mark}"

    def _is_ours(self, nonce: str, address: str) -> bool:
        match = re.fullmatch(r"([0-9a-f]{1,12})\.[0-9a-f]{8}\.([0-9a-f]{32})", nonce)
        if match is None or not 0 <= self._now() - int(match[1], 16) <= NONCE_S + 1:
            return False
        mark = hmac.new(self._key, f"{match[1]} {address}".encode(), hashlib.sha256).hexdigest()[:32]
        return hmac.compare_digest(mark, match[2])

    def _remember(self, nonce: str, request: str) -> None:
        if len(self._used) >= _MOST_NONCES:
            self._used = {
                used: by for used, by in self._used.items() if self._now() - int(used.split(".")[0], 16) <= NONCE_S
            }
        self._used[nonce] = request


def _hashed(algorithm: str, text: str) -> str:
    return _ALGORITHMS[algorithm](text.encode("utf-8", "surrogateescape")).hexdigest()
