"""Jibri's two HTTP APIs over real sockets: status codes, texts and JSON."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from jibri_sip import errors
from jibri_sip.api import serve
from jibri_sip.api.app import create_app
from jibri_sip.api.jibri_external import jibri_routes
from jibri_sip.api.jibri_internal import create_internal_app
from jibri_sip.api.metrics_route import metrics_route
from jibri_sip.config import load
from jibri_sip.control import Control
from jibri_sip.dial_plan import Target
from jibri_sip.errors import GatewayError
from jibri_sip.metrics import Metrics
from jibri_sip.session.news import Availability, Happening, InstanceNews
from jibri_sip.session.orders import ServiceOrder
from tests.unit.api.fixed_gateway import FixedGateway
from tests.unit.fixed_control import FixedControl

EXTERNAL = "/jibri/api/v1.0"
INTERNAL = "/jibri/api/internal/v1.0"
CANARY = "canary-5b1d"
SETTINGS = load(None, {"JIBRI_SIP__MEETING__BASE_URL": "https://meet.example.com"})
START: dict[str, Any] = {
    "sessionId": "session-1",
    "sinkType": "GATEWAY",
    "callParams": {"callUrlInfo": {"baseUrl": "https://meet.example.com", "callName": "demo"}, "passcode": CANARY},
    "sipClientParams": {"sipAddress": "sip:board@rooms.example.com"},
}


@pytest.fixture
def control() -> FixedControl:
    """The gateway behind both APIs."""
    return FixedControl()


@pytest.fixture
def metrics() -> Metrics:
    """What counts refusals."""
    return Metrics()


@pytest.fixture
async def external(control: FixedControl, metrics: Metrics) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the external API, which is served beside our own."""
    seam: Control = control
    routes = jibri_routes(seam, SETTINGS, metrics.order_refused)
    app = create_app(FixedGateway(), SETTINGS.api, routes, metrics_route(metrics.registry, metrics.jibri_figures))
    async with (
        serve(app, "127.0.0.1", 0) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


@pytest.fixture
async def internal(control: FixedControl) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the internal API."""
    async with (
        serve(create_internal_app(control, SETTINGS), "127.0.0.1", 0) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


@pytest.mark.parametrize("availability", list(Availability))
async def test_health(external: httpx2.AsyncClient, control: FixedControl, availability: Availability) -> None:
    """Always 200, and byte for byte what Jibri says."""
    control.stand(InstanceNews(availability))
    answer = await external.get(f"{EXTERNAL}/health")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    status = {"busyStatus": availability.name, "health": {"healthStatus": "HEALTHY", "details": {}}}
    assert answer.json() == {"status": status}


async def test_health_of_the_ill(external: httpx2.AsyncClient, control: FixedControl) -> None:
    """What keeps the box from working is told under the name of Jibri's only component."""
    control.stand(InstanceNews(Availability.BUSY, errors.DeviceFailed("no /dev/video9")))
    answer = await external.get(f"{EXTERNAL}/health")
    health = answer.json()["status"]["health"]
    assert (answer.status_code, health["healthStatus"]) == (200, "UNHEALTHY")
    detail = "A virtual device does not start: no /dev/video9"
    assert health["details"] == {"JibriManager": {"healthStatus": "UNHEALTHY", "detail": detail}}


async def test_health_names_the_environment(external: httpx2.AsyncClient, control: FixedControl) -> None:
    """While a session goes on that came by XMPP, and only then, its environment is told."""
    target = Target("https://meet.example.com", "", "demo", "board")
    order = ServiceOrder(
        reference="x", orderer="brewery", target=target, sip_address="a@b", environment="prod-xmpp1.example.com"
    )
    control.tell(Happening.REQUESTED, order)
    answer = (await external.get(f"{EXTERNAL}/health")).json()
    assert answer["environmentContext"] == {"name": "prod-xmpp1.example.com"}
    control.tell(Happening.ENDED, order, errors.PeerHungUp())
    assert "environmentContext" not in (await external.get(f"{EXTERNAL}/health")).json()
    control.tell(Happening.REQUESTED)
    assert "environmentContext" not in (await external.get(f"{EXTERNAL}/health")).json()


async def test_start(external: httpx2.AsyncClient, control: FixedControl) -> None:
    """A session is begun, and the answer is empty, as Jibri's is."""
    answer = await external.post(f"{EXTERNAL}/startService", json=START)
    assert (answer.status_code, answer.content) == (200, b"")
    assert [order.reference for order in control.ordered] == ["session-1"]


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (errors.Busy(), 412, "Jibri is currently busy"),
        (errors.NotReady(), 412, "Jibri is currently busy"),
        (errors.Draining(), 412, "Jibri is currently busy"),
        (errors.Expired(), 412, "expired: This instance was for a single session and has had it"),
        (errors.DestinationNotAllowed("a@b"), 412, "destination-not-allowed: "),
        (errors.DialInOff(), 412, "dial-in-off: "),
        (errors.DeviceFailed("x"), 500, "device-failed: "),
    ],
)
async def test_refusals(
    external: httpx2.AsyncClient, control: FixedControl, error: GatewayError, status: int, text: str
) -> None:
    """412 where Jibri has it, in its words where it has some; 500 when the box is ill. Each is counted."""
    control.error = error
    answer = await external.post(f"{EXTERNAL}/startService", json=START)
    assert answer.status_code == status
    assert answer.text.startswith(text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    figures = (await external.get("/metrics")).text
    busy = error.key in {"busy", "not-ready"}
    assert f"jitsi_jibri_busy_total {float(busy)}" in figures
    assert f'jibri_sip_orders_refused_total{{reason="{error.key}"}} 1.0' in figures


@pytest.mark.parametrize(
    ("over", "text"),
    [({"sipClientParams": None}, "SIP client params missing"), ({"sinkType": "file"}, "Call login params missing")],
)
async def test_missing(external: httpx2.AsyncClient, control: FixedControl, over: dict[str, Any], text: str) -> None:
    """What Jibri misses, it tells before it tells that it is busy."""
    control.error = errors.Busy()
    answer = await external.post(f"{EXTERNAL}/startService", json={**START, **over})
    assert (answer.status_code, answer.text) == (412, text)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b'"' + CANARY.encode() + b'"',
        b"[" * 10000,
        b'{"sessionId": "' + b"x" * 300_000 + b'"}',
        json.dumps({**START, "unknown": CANARY}).encode(),
        json.dumps({**START, "sessionId": [CANARY]}).encode(),
    ],
)
async def test_unreadable(external: httpx2.AsyncClient, control: FixedControl, content: bytes) -> None:
    """500, as Jibri; and what was in it is not told."""
    headers = {"content-type": "application/json; charset=utf-8"}
    answer = await external.post(f"{EXTERNAL}/startService", content=content, headers=headers)
    assert answer.status_code == 500
    assert answer.text
    assert CANARY not in answer.text
    assert control.ordered == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_other_than_json(external: httpx2.AsyncClient, control: FixedControl, kind: str) -> None:
    """What does not say that it is JSON is not looked at: a form in somebody's browser could send it."""
    content = json.dumps(START)
    answer = await external.post(f"{EXTERNAL}/startService", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.text) == (500, "Content-Type must be application/json")
    assert control.ordered == []


@pytest.mark.parametrize("content", [b"", b"{}", b"anything"])
async def test_stop(external: httpx2.AsyncClient, control: FixedControl, content: bytes) -> None:
    """Whatever the body: 200, once the session has ended."""
    answer = await external.post(f"{EXTERNAL}/stopService", content=content)
    assert (answer.status_code, answer.content) == (200, b"")
    assert control.stopped == ["orderer-stopped"]


@pytest.mark.parametrize(
    ("path", "asked"),
    [("gracefulShutdown", (255, False)), ("notifyConfigChanged", (0, False)), ("shutdown", (255, True))],
)
async def test_internal(
    internal: httpx2.AsyncClient, control: FixedControl, path: str, asked: tuple[int, bool]
) -> None:
    """The answer comes, and then the gateway goes, with Jibri's exit code."""
    answer = await internal.post(f"{INTERNAL}/{path}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await internal.get(f"{EXTERNAL}/health")).status_code == 200
    assert control.retired == [asked]


async def test_internal_begins_nothing(internal: httpx2.AsyncClient, control: FixedControl) -> None:
    """The internal API has no token, so it has no way to begin a session either; ending one is what it is for."""
    assert (await internal.post(f"{EXTERNAL}/startService", json=START)).status_code == 404
    assert (await internal.post(f"{EXTERNAL}/stopService", json={})).status_code == 200
    assert control.ordered == []
    assert control.stopped == ["orderer-stopped"]


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}],
)
async def test_internal_is_not_for_web_pages(
    internal: httpx2.AsyncClient, external: httpx2.AsyncClient, control: FixedControl, headers: dict[str, str]
) -> None:
    """No page in somebody's browser can shut the gateway down or make it call."""
    assert (await internal.post(f"{INTERNAL}/shutdown", headers=headers)).status_code in {403, 421}
    assert (await external.post(f"{EXTERNAL}/startService", json=START, headers=headers)).status_code in {403, 421}
    assert (control.retired, control.ordered) == ([], [])


async def test_external_has_no_internal_routes(external: httpx2.AsyncClient) -> None:
    """Who may order sessions may not end the process."""
    assert (await external.post(f"{INTERNAL}/shutdown")).status_code == 404


async def test_metrics_formats(external: httpx2.AsyncClient) -> None:
    """Prometheus' text, or OpenMetrics for those who ask for it."""
    plain = await external.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\njitsi_jibri_sessions_started_total 0.0\n" in plain.text
    new = await external.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert new.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert new.text.endswith("# EOF\n")


async def test_metrics_as_json(external: httpx2.AsyncClient, metrics: Metrics) -> None:
    """Who asks for JSON gets Jibri's figures under Jibri's names, and nothing else."""
    metrics.xmpp("xmpp_connected", "127.0.0.1")
    answer = await external.get("/metrics", headers={"accept": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    counters = (
        *("sessions_started", "sessions_stopped", "errors", "busy", "xmpp_reconnecting", "xmpp_ping_failed"),
        *("xmpp_reconnection_failed", "xmpp_closed", "xmpp_closed_on_error", "stopped_on_xmpp_closed"),
    )
    flags = {"healthy": True, "recording": True}
    assert answer.json() == {**{f"{name}_total": 0 for name in counters}, "xmpp_connected_total": 1, **flags}
    preferring = await external.get("/metrics", headers={"accept": "text/plain, application/json;q=0.5"})
    assert preferring.headers["content-type"].startswith("text/plain")


CONTRACT_HEALTH = b'{"status":{"busyStatus":"IDLE","health":{"healthStatus":"HEALTHY","details":{}}}}'
CONTRACT_ILL = (
    b'{"status":{"busyStatus":"EXPIRED","health":{"healthStatus":"UNHEALTHY","details":'
    b'{"JibriManager":{"healthStatus":"UNHEALTHY","detail":"The disk is full"}}}},'
    b'"environmentContext":{"name":"prod-xmpp1.example.com"}}'
)


async def test_health_byte_for_byte(external: httpx2.AsyncClient, control: FixedControl) -> None:
    """As Jackson writes it: without blanks, in the order of the fields."""
    assert (await external.get(f"{EXTERNAL}/health")).content == CONTRACT_HEALTH
    control.stand(InstanceNews(Availability.EXPIRED, errors.DiskFull()))
    target = Target("https://meet.example.com", "", "demo", "board")
    order = ServiceOrder(
        reference="x", orderer="brewery", target=target, sip_address="a@b", environment="prod-xmpp1.example.com"
    )
    control.tell(Happening.REQUESTED, order)
    assert (await external.get(f"{EXTERNAL}/health")).content == CONTRACT_ILL


CONTRACT_START = """
{"sessionId":"id","sinkType":"GATEWAY",
 "callParams":{"callUrlInfo":{"baseUrl":"https://meet.example.com/team","callName":"room","tenant":"","urlParams":[]},
   "email":"","passcode":null,"callStatsUsernameOverride":"","displayName":"","extraUrlParams":[]},
 "callLoginParams":{"domain":"sipjibri.x","port":null,"username":"u","password":"p","randomizeUsername":false},
 "youTubeStreamKey":null,
 "sipClientParams":{"sipAddress":"sip:a@b","displayName":"","autoAnswer":false,"autoAnswerTimer":30,"userName":null,
   "password":null,"contact":null,"proxy":null}}
"""


async def test_start_as_the_sidecar_writes_it(external: httpx2.AsyncClient, control: FixedControl) -> None:
    """Every field of Jibri's, each with its default, null where it may be."""
    answer = await external.post(
        f"{EXTERNAL}/startService", content=CONTRACT_START, headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.content) == (200, b"")
    (order,) = control.ordered
    assert (order.reference, order.sip_address, order.await_call_s, order.account) == ("id", "sip:a@b", None, None)
    assert (order.usage_timeout_s, order.environment) == (0, "")
    target = order.target
    assert (target.base_url, target.tenant, target.room) == ("https://meet.example.com", "team", "room")
    assert target.login is not None
    assert (target.login.domain, target.login.username) == ("sipjibri.x", "u")
    assert (target.display_name, target.email, target.password) == ("sip:a", None, None)
