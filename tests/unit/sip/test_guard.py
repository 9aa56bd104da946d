"""Who gets in, who is answered, who is banned: the guard's decisions, with a clock of the test's."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from jibri_sip.config.access import AccessSettings
from jibri_sip.sip.digest import NONCE_S, Digest, Outcome
from jibri_sip.sip.guard import DROP, PASS, Guard, Verdict

STRANGER = "192.0.2.66"
CALLER = "192.0.2.7"
PASSWORD = "pa:ss word"  # noqa: S105  (a test's)


@dataclass
class Clock:
    """Seconds, as the test wants them."""

    now: float = 1000.0

    def __call__(self) -> float:
        """What time it is."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


def guard(clock: Clock, **settings: Any) -> Guard:
    """A guard with these settings, which trusts no proxy unless they say so."""
    return Guard(AccessSettings.model_validate({"trusted_proxies": [], **settings}), clock)


def request(method: str = "INVITE", number: int = 1, sender: str = "sip:a@example.com", **headers: str) -> str:
    """A request, as text; another `number` is another request."""
    fields = {"From": f"<{sender}>;tag=1", "To": "<sip:demo@gw>", "Call-ID": f"c{number}", "CSeq": f"1 {method}"}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in (fields | headers).items()]
    return "\r\n".join([f"{method} sip:demo@gw SIP/2.0", *lines, "", ""])


DRESSED = {
    "tab before": "\tINVITE sip:demo@gw SIP/2.0",
    "space before": " INVITE sip:demo@gw SIP/2.0",
    "tab after": "INVITE\tsip:demo@gw SIP/2.0",
    "folded": "INVITE\r\n sip:demo@gw SIP/2.0",
    "lower case": "invite sip:demo@gw SIP/2.0",
}
"""Request lines that PJSIP takes for that of an ordinary INVITE."""


def dressed(text: str, first: str) -> str:
    """The request with this first line."""
    return text.replace(text.split("\r\n", 1)[0], first, 1)


@pytest.fixture
def users(tmp_path: Path) -> str:
    """A file with one user."""
    file = tmp_path / "users"
    file.write_text(f"# who may call\nroom7:{PASSWORD}\n")
    file.chmod(0o600)
    return str(file)


def answer(challenge: str, password: str = PASSWORD, user: str = "room7") -> str:
    """Credentials for a challenge, made as a client makes them (RFC 7616 section 3.4)."""
    given = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
    hashed = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[given["algorithm"]]

    def digest(text: str) -> str:
        return hashed(text.encode()).hexdigest()

    first, second = digest(f"{user}:{given['realm']}:{password}"), digest("INVITE:sip:demo@gw")
    response = digest(f"{first}:{given['nonce']}:00000001:c:auth:{second}")
    return (
        f'Digest username="{user}", realm="{given["realm"]}", nonce="{given["nonce"]}", uri="sip:demo@gw", '
        f'response="{response}", algorithm={given["algorithm"]}, cnonce="c", qop=auth, nc=00000001'
    )


def challenges(verdict: Verdict) -> list[str]:
    """The challenges of a 401."""
    assert verdict.code == 401
    return [value for name, value in verdict.headers if name == "WWW-Authenticate"]


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "CANCEL", "ACK", "BYE"])
def test_open_by_default(clock: Clock, method: str) -> None:
    """Without settings, ordinary requests get in."""
    assert guard(clock).judge(CALLER, request(method)) == PASS


def test_allowed_addresses(clock: Clock) -> None:
    """Who is not on the list hears nothing, whatever it sends; who is, by address or network, of either family, may."""
    door = guard(clock, allow_addresses=["192.0.2.7", "2001:db8::/32"])
    assert door.judge(CALLER, request()) == PASS
    assert door.judge("2001:db8::7", request()) == PASS
    for method in ("INVITE", "OPTIONS", "ACK", "CANCEL", "REGISTER"):
        assert door.judge(STRANGER, request(method)) == DROP
    assert door.judge("2001:db9::1", request()) == DROP


@pytest.mark.parametrize(
    ("sender", "code"),
    [
        ("sip:a@example.com", 0),
        ("sip:a@EXAMPLE.com:5070", 0),
        ("sip:a@x.rooms.example.org", 0),
        ("sip:a@example.com.evil.net", 403),
        ("sip:example.com@evil.net", 403),
        ("tel:+123", 403),
    ],
)
def test_allowed_domains(clock: Clock, sender: str, code: int) -> None:
    """The host of From counts, as a whole."""
    door = guard(clock, allow_domains=["example.com", "*.rooms.example.org"])
    assert door.judge(CALLER, request(sender=sender)).code == code


def test_trusted_proxies_are_asked_nothing(clock: Clock, users: str) -> None:
    """Neither a login nor a rate."""
    door = guard(clock, trusted_proxies=["192.0.2.0/28"], users_file=users, requests_per_minute=1)
    assert {door.judge(CALLER, request(number=n)).code for n in range(50)} == {0}
    assert door.judge(STRANGER, request()).code == 401


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_login(clock: Clock, users: str, algorithm: str) -> None:
    """The right password gets in, by either algorithm, also when the message is sent again."""
    door = guard(clock, users_file=users)
    offered = challenges(door.judge(CALLER, request()))
    assert ["SHA-256" in offered[0], "MD5" in offered[1]] == [True, True]
    challenge = next(one for one in offered if f"algorithm={algorithm}" in one)
    again = request(number=2, Authorization=answer(challenge))
    assert door.judge(CALLER, again) == PASS
    assert door.judge(CALLER, again) == PASS


def test_login_beside_that_for_a_proxy(clock: Clock, users: str) -> None:
    """Another server's credentials may come first; of those for us, the first alone are looked at."""
    door = guard(clock, users_file=users)
    first, second = challenges(door.judge(CALLER, request()))
    theirs = answer(first).replace('realm="jibri-sip"', 'realm="proxy"')
    several = f"{theirs}\r\nAuthorization: {answer(first)}\r\nAuthorization: {answer(second, 'x')}"
    assert door.judge(CALLER, request(number=2, Authorization=several)) == PASS
    guesses = "\r\nAuthorization: ".join(answer(second, guess) for guess in ("x", "y", PASSWORD))
    assert door.judge(CALLER, request(number=3, Authorization=guesses)).code == 401


@pytest.mark.parametrize("first", DRESSED.values(), ids=DRESSED)
def test_an_invite_is_one_however_it_is_written(clock: Clock, users: str, first: str) -> None:
    """PJSIP minds neither case nor blanks in a request line, so nobody gets past a login or a list by them."""
    for settings in ({"users_file": users}, {"allow_domains": ["rooms.example.org"]}):
        assert guard(clock, **settings).judge(CALLER, dressed(request(), first)).code in {400, 401, 403}


@pytest.mark.parametrize("wrong", [{"password": "x"}, {"user": "nobody"}, {"user": "nobody", "password": ""}])
def test_wrong_logins_end_in_a_ban(clock: Clock, users: str, wrong: dict[str, str]) -> None:
    """A wrong password and an unknown user get the same answer, and after the fifth none; it ends after a while."""
    door = guard(clock, users_file=users, ban_s=60)
    codes = []
    for n in range(8):
        challenge = Digest("jibri-sip", {}, clock).challenges(CALLER)[0]
        asked = door.judge(CALLER, request(number=2 * n))
        challenge = challenges(asked)[0] if asked.code > 0 else challenge
        codes.append(door.judge(CALLER, request(number=2 * n + 1, Authorization=answer(challenge, **wrong))).code)
    assert codes == [401, 401, 401, 401, -1, -1, -1, -1]
    clock.now += 61
    assert door.judge(CALLER, request(number=99)).code == 401


def test_credentials_serve_once(clock: Clock, users: str) -> None:
    """What somebody overheard is worth nothing in another call, from another address, or a minute later."""
    door = guard(clock, users_file=users)
    value = answer(challenges(door.judge(CALLER, request()))[0])
    assert door.judge(CALLER, request(number=2, Authorization=value)) == PASS
    assert "stale=true" in challenges(door.judge(CALLER, request(number=3, Authorization=value)))[0]
    fresh = answer(challenges(door.judge(CALLER, request(number=4)))[0])
    assert "stale=true" in challenges(door.judge(STRANGER, request(number=5, Authorization=fresh)))[0]
    clock.now += NONCE_S + 2
    assert "stale=true" in challenges(door.judge(CALLER, request(number=6, Authorization=fresh)))[0]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic cm9vbTc6eA==",
        "Digest",
        "Digest realm=",
        'Digest realm="jibri-sip", nonce="x"',
        "Digest " + "a=b," * 5000,
    ],
)
def test_what_is_no_login(header: str) -> None:
    """Odd values are no login, and no error."""
    assert Digest("jibri-sip", {}).check([header], "INVITE", CALLER, "1") in {Outcome.MISSING, Outcome.STALE}


def test_scanner_by_name(clock: Clock) -> None:
    """One that says what it is gets nothing at all, not even for its first request, and is logged once."""
    door = guard(clock)
    with structlog.testing.capture_logs() as log:
        for n in range(50):
            assert door.judge(STRANGER, request("OPTIONS", n, User_Agent="friendly-scanner")) == DROP
        assert door.judge(STRANGER, request("INVITE", 99)) == DROP
    assert [line["event"] for line in log] == ["address_banned"]
    assert door.judge(CALLER, request()) == PASS


@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH"])
def test_scanner_by_deed(clock: Clock, method: str) -> None:
    """Who takes us for a PBX is not answered, and soon banned."""
    door = guard(clock)
    with structlog.testing.capture_logs() as log:
        assert {door.judge(STRANGER, request(method, n)) for n in range(10)} == {DROP}
        assert door.judge(STRANGER, request("OPTIONS", 11)) == DROP
    assert [line["event"] for line in log] == ["request_ignored", "address_banned"]


def test_too_many_requests(clock: Clock) -> None:
    """So many a minute, then a ban; a retransmission is no other request, unless there is no end of it."""
    door = guard(clock, requests_per_minute=10, ban_s=30)
    codes = [door.judge(CALLER, request(number=7)).code for _ in range(25)]
    assert codes == [0] * 20 + [-1] * 5
    codes = [door.judge(STRANGER, request("OPTIONS", n)).code for n in range(12)]
    assert codes == [0] * 10 + [-1] * 2
    clock.now += 31
    assert door.judge(STRANGER, request("OPTIONS", 100)) == DROP
    clock.now += 60
    assert door.judge(STRANGER, request("OPTIONS", 101)) == PASS


def test_too_many_cancels(clock: Clock) -> None:
    """They count as all requests do, for each gets an answer; an ACK gets none."""
    door = guard(clock, requests_per_minute=10)
    assert {door.judge(CALLER, request("ACK", n)).code for n in range(50)} == {0}
    assert [door.judge(STRANGER, request("CANCEL", n)).code for n in range(12)] == [0] * 10 + [-1] * 2


def test_call_flood_from_everywhere(clock: Clock) -> None:
    """Calls from many addresses get 503 and when to come again, beyond the limit; the next minute is a new one."""
    door = guard(clock, calls_per_minute=20)
    verdicts = [door.judge(f"198.51.100.{n}", request(number=n)) for n in range(30)]
    assert [verdict.code for verdict in verdicts] == [0] * 20 + [503] * 10
    assert verdicts[-1].headers == (("Retry-After", "30"),)
    clock.now += 61
    assert door.judge(CALLER, request(number=40)) == PASS


def test_call_flood_sent_twice(clock: Clock) -> None:
    """A call too many is one again when it is sent again; one that was taken in goes on."""
    door = guard(clock, calls_per_minute=1)
    assert [door.judge(CALLER, request()).code for _ in range(3)] == [0] * 3
    assert [door.judge(STRANGER, request(number=2)).code for _ in range(3)] == [503] * 3
    assert door.judge(CALLER, request()).code == 0


def test_call_flood_under_one_number(clock: Clock) -> None:
    """Calls that differ in the branch and the tag alone are calls to PJSIP, and so they are counted."""
    door = guard(clock, calls_per_minute=5)
    calls = [request(Via=f"SIP/2.0/UDP {CALLER};branch=z9hG4bK{n}", From=f"<sip:a@b>;tag={n}") for n in range(8)]
    assert [door.judge(CALLER, call).code for call in calls] == [0] * 5 + [503] * 3


def test_memory_is_bounded(clock: Clock) -> None:
    """As many addresses as a forger can think of do not fill the memory."""
    door = guard(clock, calls_per_minute=100_000)
    for n in range(10_000):
        door.judge(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", request(number=n))
    assert len(door._visitors) <= 4096


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"allow_addresses": ["192.0.2.0/33"]}, "address or a network"),
        ({"trusted_proxies": ["proxy.example.com"]}, "address or a network"),
        ({"allow_domains": ["exa mple.com"]}, "must be a domain"),
        ({"realm": 'a"b'}, "realm"),
    ],
)
def test_settings_refused(settings: dict[str, Any], told: str) -> None:
    """What is no address, domain or realm."""
    with pytest.raises(ValueError, match=told):
        AccessSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("text", "told"), [("# nobody\n", "names no user"), ("room7\n", "line 1"), ("a:b\nc\n", "line 2")]
)
def test_users_refused(tmp_path: Path, text: str, told: str) -> None:
    """A file without users, and a line that is none; what it says is not repeated."""
    file = tmp_path / "users"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ValueError, match=told):
        AccessSettings.model_validate({"users_file": str(file)})


def passed_on(text: str, *hops: str) -> str:
    """The request as a proxy at 192.0.2.1 passes it on: its own Via above those given."""
    vias = [f"Via: {hop}" for hop in ("SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1", *hops)]
    first, rest = text.split("\r\n", 1)
    return "\r\n".join([first, *vias, rest])


DISPATCHER = "192.0.2.1"


def test_a_dispatcher_is_looked_through(clock: Clock, users: str) -> None:
    """What it passes on is judged by the address that it has it from; its own probes come in."""
    door = guard(clock, dispatchers=[DISPATCHER], users_file=users)
    assert door.judge(DISPATCHER, passed_on(request("OPTIONS"))) == PASS
    seen = f"SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK2;received={STRANGER};rport=4711"
    challenges(door.judge(DISPATCHER, passed_on(request(), seen)))
    assert door.judge(DISPATCHER, passed_on(request(User_Agent="friendly-scanner"), seen)).code == 403
    # It is banned now, and told so: silence would have the dispatcher take us for dead.
    assert door.judge(DISPATCHER, passed_on(request(number=2), seen)).code == 403
    challenges(door.judge(DISPATCHER, passed_on(request(number=3), f"SIP/2.0/UDP {CALLER};branch=z9hG4bK3")))


def test_only_a_dispatcher_is_looked_through(clock: Clock) -> None:
    """Somebody else may write into Via what they like."""
    door = guard(clock, dispatchers=[DISPATCHER], allow_addresses=[CALLER])
    forged = passed_on(request(), f"SIP/2.0/UDP {CALLER};branch=z9hG4bK2")
    assert door.judge(STRANGER, forged) == DROP
    stranger = f"SIP/2.0/UDP {STRANGER};branch=z9hG4bK2"
    assert door.judge(DISPATCHER, passed_on(request(), stranger, f"SIP/2.0/UDP {CALLER}")).code == 403
    assert door.judge(DISPATCHER, passed_on(request(), f"SIP/2.0/UDP {CALLER}")) == PASS


def test_a_dispatcher_that_has_it_from_a_trusted_proxy(clock: Clock) -> None:
    """Then nothing is asked, as if it had come from there directly."""
    door = guard(clock, dispatchers=[DISPATCHER], trusted_proxies=["192.0.2.20"], allow_domains=["example.org"])
    hop = "SIP/2.0/TLS sbc.example.com;received=192.0.2.20, SIP/2.0/UDP 10.0.0.1"
    assert door.judge(DISPATCHER, passed_on(request(), hop)) == PASS
