"""What `startService` takes, as Jibri's Jackson reads it, and the order that it is to us.

Jackson's ways are kept: unknown fields are refused, a number is taken where text is expected and text that is a number
where a number is, and null only where Kotlin allows it.
"""

import json
import re
import secrets
import string
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from jibri_sip import log
from jibri_sip.config.model import Settings
from jibri_sip.config.types import BaseUrl, Tenant
from jibri_sip.dial_plan import Login, SipAccount, Target, decoded_user, room_target
from jibri_sip.session.orders import BY_HTTP, ServiceOrder

_log = log.logger("api")

AWAIT_CALL_S = 30.0
"""How long Jibri waits for a call that it was told to answer."""
_LONGEST_AWAIT_S = 3600.0
_CONFIG_PARAM = re.compile(r"config\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)=(.*)", re.DOTALL)
_SIP_SCHEME = re.compile("sips?:", re.IGNORECASE)
_RANDOM_CHARACTERS = 8


def _false_for_null(value: Any) -> Any:
    return False if value is None else value


_Text = Annotated[str, Field(max_length=4096)]
_Flag = Annotated[bool, BeforeValidator(_false_for_null)]


class _Given(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True, populate_by_name=False
    )


class CallUrlInfo(_Given):
    """Which meeting. Jibri puts other parameters in the place of `urlParams`, and looks at `tenant` for nothing."""

    base_url: _Text = Field(default="", alias="baseUrl")
    call_name: _Text = Field(default="", alias="callName")
    tenant: _Text = ""
    url_params: tuple[_Text, ...] = Field(default=(), alias="urlParams")
    call_url: Any = Field(default=None, alias="callUrl")
    """What Jibri says itself, and passes over when it is told."""


class CallParams(_Given):
    """How to enter it."""

    call_url_info: CallUrlInfo = Field(alias="callUrlInfo")
    email: _Text = ""
    passcode: SecretStr | None = None
    call_stats_username_override: _Text = Field(default="", alias="callStatsUsernameOverride")
    display_name: _Text = Field(default="", alias="displayName")
    extra_url_params: tuple[_Text, ...] = Field(default=(), alias="extraUrlParams")


class CallLoginParams(_Given):
    """The XMPP account to enter it with."""

    domain: _Text = ""
    port: int | None = None
    username: _Text = ""
    password: SecretStr = SecretStr("")
    randomize_username: _Flag = Field(default=False, alias="randomizeUsername")


class SipClientParams(_Given):
    """Whom to call, or to be called by, and as whom."""

    sip_address: _Text = Field(default="", alias="sipAddress")
    display_name: _Text = Field(default="", alias="displayName")
    auto_answer: _Flag = Field(default=False, alias="autoAnswer")
    auto_answer_timer: int | None = Field(default=30, alias="autoAnswerTimer")
    user_name: _Text | None = Field(default=None, alias="userName")
    password: SecretStr | None = None
    contact: _Text | None = None
    proxy: _Text | None = None


class StartService(_Given):
    """The whole request."""

    session_id: _Text = Field(alias="sessionId")
    call_params: CallParams = Field(alias="callParams")
    call_login_params: CallLoginParams | None = Field(default=None, alias="callLoginParams")
    sink_type: Annotated[str, BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)] = (
        Field(alias="sinkType", pattern="^(GATEWAY|FILE|STREAM)$")
    )
    you_tube_stream_key: SecretStr | None = Field(default=None, alias="youTubeStreamKey")
    sip_client_params: SipClientParams | None = Field(default=None, alias="sipClientParams")


class PreconditionFailed(Exception):  # noqa: N818  (the name of the status that it is answered with)
    """The request can be read, but not be carried out; the text says why."""


def service_order(request: StartService, settings: Settings) -> ServiceOrder:
    """The session that is asked for.

    Raises:
        PreconditionFailed: Something is missing, or is not what this gateway does.
        RoomInvalid, RoomNotAllowed: The meeting may not be entered.
    """
    sip = _sip_client(request)
    return ServiceOrder(
        reference=request.session_id,
        orderer=BY_HTTP,
        target=_target(request, sip, settings),
        sip_address=sip.sip_address,
        caller_name=sip.display_name,
        account=_account(sip, tcp=settings.sip.tcp),
        await_call_s=_await_call_s(sip) if sip.auto_answer else None,
    )


def _sip_client(request: StartService) -> SipClientParams:
    """What Jibri checks, in its words and order; and that it is no recording."""
    if request.sink_type == "STREAM" and request.you_tube_stream_key is None:
        raise PreconditionFailed("Stream key missing")
    if request.sink_type != "GATEWAY":
        if request.call_login_params is None:
            raise PreconditionFailed("Call login params missing")
        raise PreconditionFailed("This is a SIP gateway: it neither records nor streams")
    if request.sip_client_params is None:
        raise PreconditionFailed("SIP client params missing")
    return request.sip_client_params


def _await_call_s(sip: SipClientParams) -> float:
    timer = sip.auto_answer_timer
    return min(float(timer), _LONGEST_AWAIT_S) if timer is not None and timer > 0 else AWAIT_CALL_S


def _account(sip: SipClientParams, *, tcp: bool) -> SipAccount | None:
    """How the call goes; as with Jibri, an account registers only with both user and password."""
    user = sip.user_name or ""
    if (match := _SIP_SCHEME.match(user)) is not None:
        user = user[match.end() :]
    proxy = sip.proxy
    if proxy is None and sip.user_name is not None and not sip.auto_answer:
        proxy = _domain_as_proxy(user, sip.sip_address, tcp=tcp)
    if sip.user_name is not None and sip.password is not None:
        return SipAccount(user=user, password=sip.password, contact=sip.contact or None, proxy=proxy)
    if sip.contact or proxy:
        return SipAccount(contact=sip.contact or None, proxy=proxy)
    return None


def _domain_as_proxy(user: str, address: str, *, tcp: bool) -> str:
    """The account's domain as outbound proxy: calls go through the provider, whatever host is called.

    `hide` keeps PJSIP from telling the proxy its own Route (RFC 3261 section 16.12), which providers dislike.
    """
    match = _SIP_SCHEME.match(address)
    scheme = match[0].lower() if match is not None else "sip:"
    domain = user.rpartition("@")[2]
    transport = ";transport=tcp" if tcp and scheme == "sip:" and ";transport=" not in domain.lower() else ""
    return f"{scheme}{domain}{transport};hide"


def _target(request: StartService, sip: SipClientParams, settings: Settings) -> Target:
    call = request.call_params
    base_url, tenant = _deployment(call.call_url_info, settings)
    name, _, query = call.call_url_info.call_name.partition("?")
    target = room_target(
        decoded_user(name),
        settings,
        display_name=call.display_name.strip() or sip.sip_address.rpartition("@")[0] or sip.display_name,
        base_url=base_url,
        tenant=tenant,
        password=call.passcode,
        jwt=_jwt(query),
    )
    return replace(
        target,
        email=call.email or None,
        statistics_id=call.call_stats_username_override or None,
        login=_login(request.call_login_params),
        config_overrides=_config_overrides(call.extra_url_params),
    )


def _deployment(info: CallUrlInfo, settings: Settings) -> tuple[str | None, str | None]:
    """Address and tenant: Jibri is given both in one, `https://meet.example.com/tenant`."""
    if not info.base_url:
        return None, None
    try:
        url = TypeAdapter(BaseUrl).validate_python(info.base_url)
        home = settings.meeting.base_url
        if url.startswith(f"{home}/"):
            return home, TypeAdapter(Tenant).validate_python(url.removeprefix(f"{home}/"))
    except ValidationError as error:
        raise PreconditionFailed(f"baseUrl {error.errors()[0]['msg']}") from None
    return url, ""


def _jwt(query: str) -> SecretStr | None:
    """The token that Jibri's callers smuggle in as `room?jwt=…`."""
    found = parse_qs(query).get("jwt")
    return SecretStr(found[0]) if found else None


def _login(login: CallLoginParams | None) -> Login | None:
    if login is None or not (login.domain and login.username):
        return None
    characters = string.ascii_lowercase + string.digits
    suffix = "".join(secrets.choice(characters) for _ in range(_RANDOM_CHARACTERS)) if login.randomize_username else ""
    username = f"{login.username}-{suffix}" if suffix else login.username
    return Login(domain=login.domain, username=username, password=login.password)


def _config_overrides(params: tuple[str, ...]) -> dict[str, Any]:
    """`config.a.b=value` as settings of the page; other parameters are not for a gateway."""
    overrides: dict[str, Any] = {}
    for param in params:
        if (match := _CONFIG_PARAM.fullmatch(param)) is None:
            _log.info("url_param_ignored", name=param.partition("=")[0][:100])
            continue
        value = unquote(match[2])
        try:
            overrides[match[1]] = json.loads(value)
        except ValueError:
            overrides[match[1]] = value
    return overrides
