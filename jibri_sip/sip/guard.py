"""Who gets in, decided by what a request says and where it came from, before anything is done for it.

Pure decisions over the settings and a bounded memory; nothing of PJSIP in here. Scanners are told nothing at all, for
any answer tells them that there is something to try.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network

import structlog

from jibri_sip.config.access import AccessSettings
from jibri_sip.sip import message
from jibri_sip.sip.digest import Digest, Outcome
from jibri_sip.sip.origin import origin

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 30
_MOST_ADDRESSES = 4096
"""Addresses that are remembered; the one not heard of for longest is forgotten first."""
_MINUTE_S = 60.0
SCANNERS = (
    "friendly-scanner|sipvicious|sipcli|sip-?scan|sundayddr|vaxsipuseragent|pplsip|eyebeam release 3006o|iwar|sipsak|"
    "smap|friendly-request|warvox"
)
"""How scanners name themselves unless told otherwise, as an extended regular expression of POSIX. Those told otherwise
are known by what they do."""
_SCANNERS = re.compile(rf"(?im)^(?:user-agent|server)\s*:.*(?:{SCANNERS})")
_REGISTRAR_ONLY = frozenset({"REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE", "NOTIFY"})
"""What somebody sends who takes us for a registrar or PBX."""
_MOST_SENDINGS = 11
"""How often a request is sent by UDP until it is given up (RFC 3261 sections 17.1.1.2 and 17.1.2.2)."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of a request.

    Attributes:
        code: status of the answer; 0 to let it in, -1 for silence.
        headers: of the answer.
    """

    code: int
    headers: tuple[tuple[str, str], ...] = ()


PASS = Verdict(0)
DROP = Verdict(-1)
FORBIDDEN = Verdict(403)
FAILED = Verdict(500)


@dataclass
class _Visitor:
    """What is remembered of an address.

    Attributes:
        since: when the present minute began.
        requests: in that minute.
        failures: of it, until it succeeds or is banned.
        banned_until: when its ban ends.
        told: what was logged about it already.
        last: its last request, by which a retransmission is known.
        sendings: how often that came.
        flooded: whether that was a call too many.
    """

    since: float
    requests: int = 0
    failures: int = 0
    banned_until: float = 0.0
    told: set[str] = field(default_factory=set)
    last: str = ""
    sendings: int = 0
    flooded: bool = False


class Guard:
    """Judges requests outside of dialogs, one after the other.

    Args:
        access: the settings.
        now: clock, seconds.
    """

    def __init__(self, access: AccessSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._now = now
        self._proxies = [ip_network(text) for text in access.trusted_proxies]
        self._dispatchers = [ip_network(text) for text in access.dispatchers]
        self._allowed = [ip_network(text) for text in access.allow_addresses]
        users = access.users
        self._digest = Digest(access.realm, users, now) if users else None
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()
        self._calls_since = now()
        self._calls = 0

    def judge(self, address: str, text: str) -> Verdict:
        """What becomes of this request.

        Args:
            address: where it came from, without port.
            text: the whole message.
        """
        if not any(ip_address(address) in network for network in self._dispatchers):
            return self._judge_from(address, text)
        came_from = origin(text, address, self._dispatchers)
        if came_from == address:
            return PASS  # its own, as when it looks whether we are there
        verdict = self._judge_from(came_from, text)
        # To a dispatcher silence means that we are dead.
        return FORBIDDEN if verdict == DROP else verdict

    def _judge_from(self, address: str, text: str) -> Verdict:
        source = ip_address(address)
        if any(source in network for network in self._proxies):
            return PASS
        visitor = self._visitor(address)
        if visitor.banned_until > self._now():
            return DROP
        if self._allowed and not any(source in network for network in self._allowed):
            self._tell(visitor, "address_not_allowed", address)
            return DROP
        method = message.method_of(text)
        if method == "ACK":
            return PASS
        if method == "CANCEL":
            # Of a request that was judged; one of none costs an answer.
            return PASS if self._within_rate(visitor) else self._ban(visitor, address, "it sends too many requests")
        return self._judge_known(visitor, address, method, text)

    def _judge_known(self, visitor: _Visitor, address: str, method: str, text: str) -> Verdict:
        if _SCANNERS.search(text[:8192]):
            return self._ban(visitor, address, "it calls itself a scanner")
        request = _identity(text)
        again = _is_again(visitor, request)
        if not again and not self._within_rate(visitor):
            return self._ban(visitor, address, "it sends too many requests")
        if method in _REGISTRAR_ONLY:
            self._tell(visitor, "request_ignored", address, method=method)
            return DROP if again else self._fail(visitor, address, DROP)
        if method != "INVITE":
            return PASS
        if not again:
            visitor.flooded = not self._within_calls()
        if visitor.flooded:
            self._tell(visitor, "call_flood", address)
            return Verdict(503, (("Retry-After", str(RETRY_AFTER_S)),))
        return self._judge_call(visitor, address, text, request)

    def _judge_call(self, visitor: _Visitor, address: str, text: str, request: str) -> Verdict:
        try:
            _, headers = message.parse_request(text)
        except ValueError:
            return Verdict(400)
        if self._access.allow_domains and not self._is_allowed_domain(headers):
            self._tell(visitor, "domain_not_allowed", address)
            return self._fail(visitor, address, Verdict(403))
        if self._digest is None:
            return PASS
        outcome = self._digest.check(headers.get("authorization", ()), "INVITE", address, request)
        if outcome is Outcome.RIGHT:
            visitor.failures = 0
            return PASS
        challenges = self._digest.challenges(address, stale=outcome is Outcome.STALE)
        refused = Verdict(401, tuple(("WWW-Authenticate", value) for value in challenges))
        if outcome is Outcome.WRONG:
            self._tell(visitor, "login_failed", address)
            return self._fail(visitor, address, refused)
        return refused

    def _is_allowed_domain(self, headers: message.Headers) -> bool:
        _, uri = message.split_address(next(iter(headers.get("from", ())), ""))
        try:
            host = message.SipUri.parse(uri).host
        except ValueError:
            return False
        return any(fnmatchcase(host, pattern) for pattern in self._access.allow_domains)

    # Its memory ----------------------------------------------------------------------------------

    def _visitor(self, address: str) -> _Visitor:
        visitor = self._visitors.pop(address, None) or _Visitor(self._now())
        self._visitors[address] = visitor
        if len(self._visitors) > _MOST_ADDRESSES:
            self._visitors.popitem(last=False)
        return visitor

    def _within_rate(self, visitor: _Visitor) -> bool:
        if self._now() - visitor.since >= _MINUTE_S:
            visitor.since, visitor.requests = self._now(), 0
        visitor.requests += 1
        return visitor.requests <= self._access.requests_per_minute

    def _within_calls(self) -> bool:
        if self._now() - self._calls_since >= _MINUTE_S:
            self._calls_since, self._calls = self._now(), 0
        self._calls += 1
        return self._calls <= self._access.calls_per_minute

    def _fail(self, visitor: _Visitor, address: str, verdict: Verdict) -> Verdict:
        visitor.failures += 1
        if visitor.failures >= self._access.failures:
            return self._ban(visitor, address, "it failed too often")
        return verdict

    def _ban(self, visitor: _Visitor, address: str, reason: str) -> Verdict:
        visitor.failures = 0
        visitor.banned_until = self._now() + self._access.ban_s
        self._tell(visitor, "address_banned", address, reason=reason, ban_s=self._access.ban_s)
        return DROP

    def _tell(self, visitor: _Visitor, event: str, address: str, **more: object) -> None:
        """Log it, once for each address."""
        if event not in visitor.told:
            visitor.told.add(event)
            log.warning(event, address=address, **more)


def _is_again(visitor: _Visitor, request: str) -> bool:
    """Whether this is its last request once more; not without end, for nobody means it who sends it for ever."""
    visitor.sendings = visitor.sendings + 1 if request == visitor.last else 1
    visitor.last = request
    return 1 < visitor.sendings <= _MOST_SENDINGS


def _identity(text: str) -> str:
    """The same in a retransmission, which repeats every octet, and in no other request.

    Call-ID and CSeq alone would be anybody's to repeat in calls that are new to PJSIP, by another branch.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
