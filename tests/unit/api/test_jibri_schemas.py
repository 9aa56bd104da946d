"""What becomes of a `startService` request, field by field."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from jibri_sip.api.jibri_schemas import PreconditionFailed, StartService, service_order
from jibri_sip.config import load
from jibri_sip.errors import RoomInvalid, RoomNotAllowed
from jibri_sip.session.orders import BY_HTTP, ServiceOrder

HOME = "https://meet.example.com"
CANARY = "canary-91c4"
SETTINGS = load(
    None,
    {
        "JIBRI_SIP__MEETING__BASE_URL": HOME,
        "JIBRI_SIP__MEETING__TENANT": "own",
        "JIBRI_SIP__MEETING__JWT": "own-token",
        "JIBRI_SIP__MEETING__ROOMS": "(?!secret).*",
    },
)
SIP = {"sipAddress": "sip:board@rooms.example.com"}


def merged(over: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, the first over the second."""
    both = {key: over.get(key, base.get(key)) for key in {**base, **over}}
    return {
        key: merged(over[key], base[key])
        if isinstance(over.get(key), dict) and isinstance(base.get(key), dict)
        else value
        for key, value in both.items()
    }


def body(over: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A request that calls somebody, with this over it."""
    least = {
        "sessionId": "session-1",
        "sinkType": "GATEWAY",
        "callParams": {"callUrlInfo": {"baseUrl": HOME, "callName": "demo"}},
        "sipClientParams": SIP,
    }
    return merged(over or {}, least)


def order(over: Mapping[str, Any] | None = None) -> ServiceOrder:
    """The order that it becomes."""
    return service_order(StartService.model_validate(body(over)), SETTINGS)


def test_the_least() -> None:
    """Where only what has to be is given: a call, at once, as a guest, without an account."""
    made = order()
    assert (made.reference, made.orderer, made.sip_address) == ("session-1", BY_HTTP, SIP["sipAddress"])
    assert (made.await_call_s, made.account, made.usage_timeout_s, made.caller_name) == (None, None, 0.0, "")
    target = made.target
    assert (target.base_url, target.tenant, target.room) == (HOME, "", "demo")
    assert (target.email, target.statistics_id, target.login, target.password) == (None, None, None, None)
    assert target.display_name == "sip:board"
    assert target.config_overrides == {}


def test_everything() -> None:
    """Each field goes where it belongs."""
    made = order(
        {
            "callParams": {
                "callUrlInfo": {"callName": "demo", "tenant": "ignored", "urlParams": ["config.ignored=1"]},
                "email": "inbound-sip-jibri@jitsi.net",
                "passcode": CANARY,
                "callStatsUsernameOverride": "nick-1 (inbound)",
                "displayName": "Board room",
                "extraUrlParams": [
                    "config.analytics.rtcstatsEnabled=true",
                    'config.toolbar="a%20b"',
                    "config.plain=text",
                    "interfaceConfig.x=1",
                ],
            },
            "callLoginParams": {"domain": "sipjibri.example.com", "port": "5222", "username": "u", "password": CANARY},
            "sipClientParams": {
                "displayName": "Example Ltd",
                "autoAnswer": True,
                "autoAnswerTimer": "45",
                "userName": "user@pbx.example.com;transport=tcp",
                "password": CANARY,
                "contact": "sip:user@192.0.2.7:5060",
                "proxy": "sip:pbx.example.com;transport=tcp;hide",
            },
        }
    )
    target, account = made.target, made.account
    assert (target.email, target.statistics_id) == ("inbound-sip-jibri@jitsi.net", "nick-1 (inbound)")
    assert target.display_name == "Board room"
    assert target.config_overrides == {"analytics.rtcstatsEnabled": True, "toolbar": "a b", "plain": "text"}
    assert target.login is not None
    assert (target.login.domain, target.login.username) == ("sipjibri.example.com", "u")
    assert account is not None
    assert account.user == "user@pbx.example.com;transport=tcp"
    assert (account.contact, account.proxy) == ("sip:user@192.0.2.7:5060", "sip:pbx.example.com;transport=tcp;hide")
    assert (made.await_call_s, made.caller_name) == (45.0, "Example Ltd")
    secrets = (target.password, target.login.password, account.password)
    assert [secret.get_secret_value() for secret in secrets if secret is not None] == [CANARY] * 3
    assert CANARY not in repr(made)


@pytest.mark.parametrize(
    ("url", "name", "found"),
    [
        (HOME, "demo", (HOME, "", "demo")),
        (f"{HOME}/", "demo", (HOME, "", "demo")),
        (f"{HOME}/team", "demo", (HOME, "team", "demo")),
        (f"{HOME}/a/b", "My%20Room", (HOME, "a/b", "My Room")),
        ("https://other.example.org/x", "demo", ("https://other.example.org/x", "", "demo")),
        ("", "demo", (HOME, "own", "demo")),
    ],
)
def test_the_meeting(url: str, name: str, found: tuple[str, str, str]) -> None:
    """Deployment and tenant come in one address; without one it is our own."""
    target = order({"callParams": {"callUrlInfo": {"baseUrl": url, "callName": name}}}).target
    assert (target.base_url, target.tenant, target.room) == found
    home = url.startswith(HOME) or not url
    assert (target.jwt.get_secret_value() if target.jwt else None) == ("own-token" if home else None)


def test_a_token_in_the_name() -> None:
    """`room?jwt=…` is a room and its token."""
    target = order({"callParams": {"callUrlInfo": {"callName": f"demo?lang=de&jwt={CANARY}"}}}).target
    assert target.room == "demo"
    assert target.jwt is not None
    assert target.jwt.get_secret_value() == CANARY


@pytest.mark.parametrize(
    ("name", "error"), [("", RoomInvalid), ("a/b", RoomInvalid), ("a%2Fb", RoomInvalid), ("secret", RoomNotAllowed)]
)
def test_rooms_refused(name: str, error: type[Exception]) -> None:
    """A room that is none, or that may not be entered."""
    with pytest.raises(error):
        order({"callParams": {"callUrlInfo": {"callName": name}}})


@pytest.mark.parametrize("url", ["ftp://x", "https://u:p@x", "javascript:alert(1)", f"{HOME}/../x", f"{HOME}?a=1", "x"])
def test_deployments_refused(url: str) -> None:
    """What is no address of a deployment."""
    with pytest.raises(PreconditionFailed, match="baseUrl"):
        order({"callParams": {"callUrlInfo": {"baseUrl": url}}})


@pytest.mark.parametrize(
    ("given", "address", "caller", "shown"),
    [
        ("Board", "sip:a@b", "Caller", "Board"),
        ("  ", "a@b", "Caller", "a"),
        ("", "a@b@c", "Caller", "a@b"),
        ("", "", "Caller", "Caller"),
        ("", "", "", "Room system"),
    ],
)
def test_the_name_shown(given: str, address: str, caller: str, shown: str) -> None:
    """As Jibri: the name given, else the address up to the last @, else the caller's name; ours at the very last."""
    sip = {"sipAddress": address, "displayName": caller, "autoAnswer": True}
    assert order({"callParams": {"displayName": given}, "sipClientParams": sip}).target.display_name == shown


@pytest.mark.parametrize(("timer", "seconds"), [(30, 30.0), (None, 30.0), (0, 30.0), (-1, 30.0), (10**9, 3600.0)])
def test_how_long_a_call_is_waited_for(timer: int | None, seconds: float) -> None:
    """Never for ever."""
    made = order({"sipClientParams": {"autoAnswer": True, "autoAnswerTimer": timer}})
    assert made.await_call_s == seconds


def test_a_random_account_name() -> None:
    """`randomizeUsername` makes the account another one each time."""
    login = {"domain": "d", "username": "u", "password": "p", "randomizeUsername": True}
    names = {
        made.target.login.username
        for made in (order({"callLoginParams": login}) for _ in range(5))
        if made.target.login
    }
    assert len(names) == 5
    assert all(name.startswith("u-") and len(name) == 10 for name in names)


@pytest.mark.parametrize("login", [{}, {"domain": "d"}, {"username": "u"}])
def test_half_an_account(login: dict[str, str]) -> None:
    """Without domain or user it is a guest's visit."""
    assert order({"callLoginParams": login}).target.login is None


@pytest.mark.parametrize(
    ("over", "text"),
    [
        ({"sipClientParams": None}, "SIP client params missing"),
        ({"sinkType": "file"}, "Call login params missing"),
        ({"sinkType": "stream"}, "Stream key missing"),
        ({"sinkType": "STREAM", "youTubeStreamKey": "k"}, "Call login params missing"),
        ({"sinkType": "FILE", "callLoginParams": {}}, "neither records nor streams"),
    ],
)
def test_what_is_missing(over: dict[str, Any], text: str) -> None:
    """What cannot be carried out is told, where Jibri tells it in Jibri's words."""
    with pytest.raises(PreconditionFailed, match=text):
        order(over)


@pytest.mark.parametrize(
    "over", [{"userName": "u@d", "autoAnswer": True}, {"password": "p"}, {"proxy": "", "contact": ""}]
)
def test_no_account(over: dict[str, Any]) -> None:
    """Half an account that means nothing is none, as with Jibri."""
    assert order({"sipClientParams": over}).account is None


@pytest.mark.parametrize(
    ("over", "contact", "proxy"),
    [
        ({"proxy": "sip:p;lr"}, None, "sip:p;lr"),
        ({"contact": "sip:c"}, "sip:c", None),
        ({"contact": "sip:c", "proxy": "", "userName": "u@d"}, "sip:c", ""),
        ({"contact": "sip:c", "proxy": "sip:p", "autoAnswer": True}, "sip:c", "sip:p"),
        ({"userName": "u@d"}, None, "sip:d;transport=tcp;hide"),
        ({"userName": "sip:u@d;transport=udp", "password": None}, None, "sip:d;transport=udp;hide"),
    ],
)
def test_another_way_without_an_account(over: dict[str, Any], contact: str | None, proxy: str | None) -> None:
    """Contact and proxy are followed where nothing registers, and so is the domain of a user without a password."""
    account = order({"sipClientParams": over}).account
    assert account is not None
    assert (account.user, account.password, account.contact, account.proxy) == ("", None, contact, proxy)


@pytest.mark.parametrize(
    ("user", "address", "proxy"),
    [
        ("u@pbx.example.com", "a@b", "sip:pbx.example.com;transport=tcp;hide"),
        ("u@pbx.example.com;transport=tcp", "a@b", "sip:pbx.example.com;transport=tcp;hide"),
        ("u@pbx.example.com:5070;transport=UDP", "a@b", "sip:pbx.example.com:5070;transport=UDP;hide"),
        ("u@pbx.example.com", "sips:a@b", "sips:pbx.example.com;hide"),
    ],
)
def test_the_provider_is_the_proxy(user: str, address: str, proxy: str) -> None:
    """Calls with an account go through its domain unless another proxy, or with an empty text none, is given."""
    sip = {"sipAddress": address, "userName": user, "password": "p"}
    found = [
        made.proxy
        for more in ({}, {"proxy": "sip:other"}, {"proxy": ""}, {"autoAnswer": True})
        if (made := order({"sipClientParams": {**sip, **more}}).account) is not None
    ]
    assert found == [proxy, "sip:other", "", None]


def test_the_proxy_without_tcp() -> None:
    """Where the gateway has no TCP, it does not ask for it."""
    settings = SETTINGS.model_copy(update={"sip": SETTINGS.sip.model_copy(update={"tcp": False})})
    sip = {"sipClientParams": {"userName": "u@pbx.example.com", "password": "p"}}
    account = service_order(StartService.model_validate(body(sip)), settings).account
    assert account is not None
    assert account.proxy == "sip:pbx.example.com;hide"


def test_a_scheme_before_the_account() -> None:
    """An account may be given as a SIP address."""
    account = order({"sipClientParams": {"userName": "SIP:u@d", "password": "p", "proxy": ""}}).account
    assert account is not None
    assert (account.user, account.proxy) == ("u@d", "")


@pytest.mark.parametrize(
    "over",
    [
        {"extra": 1},
        {"callParams": {"extra": 1}},
        {"callParams": {"callUrlInfo": {"extra": 1}}},
        {"callParams": {"callUrlInfo": {"base_url": HOME}}},
        {"sipClientParams": {"extra": 1}},
        {"callLoginParams": {"extra": 1}},
        {"sessionId": None},
        {"callParams": None},
        {"sinkType": None},
        {"sinkType": "video"},
        {"sinkType": 1},
        {"callParams": {"email": None}},
        {"sipClientParams": {"sipAddress": None}},
        {"sipClientParams": {"autoAnswerTimer": "soon"}},
        {"sipClientParams": {"displayName": ["a"]}},
    ],
)
def test_what_jackson_refuses(over: dict[str, Any]) -> None:
    """Unknown fields, null where Kotlin has none, and the wrong kind of value."""
    with pytest.raises(ValidationError):
        StartService.model_validate(body(over))


@pytest.mark.parametrize(
    "over",
    [
        {"sinkType": "gateway"},
        {"sessionId": 17},
        {"callParams": {"passcode": 1234}},
        {"callParams": {"callUrlInfo": {"callUrl": "https://x/y"}}},
        {"sipClientParams": {"autoAnswer": None}},
        {"sipClientParams": {"autoAnswer": "true"}},
        {"sipClientParams": {"userName": None, "password": None, "contact": None, "proxy": None}},
    ],
)
def test_what_jackson_takes(over: dict[str, Any]) -> None:
    """Numbers for text and text for numbers, null where Kotlin has it, and what Jibri says of itself."""
    StartService.model_validate(body(over))
