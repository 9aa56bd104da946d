"""The API over a real socket: what it answers, and to whom it does not."""

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from jibri_sip import errors
from jibri_sip.api import Gateway, create_app, serve
from jibri_sip.api.guard import refuse
from jibri_sip.config import ApiSettings
from jibri_sip.session.facts import DialOrder, PrepareOrder
from tests.unit.api.fixed_gateway import FixedGateway

TOKEN = "a-token-of-some-length"  # noqa: S105  (opens a server of this test)
DIAL = {"room": "demo", "to": "sip:board@rooms.example.com", "password": "canary-7f3a"}


@pytest.fixture
def gateway() -> FixedGateway:
    """The gateway behind the API."""
    return FixedGateway()


@pytest.fixture
async def http(gateway: FixedGateway) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an API that listens on loopback and wants no token."""
    port_of_the_api: Gateway = gateway
    async with (
        serve(create_app(port_of_the_api, ApiSettings()), "127.0.0.1", 0) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


@pytest.fixture
async def guarded(gateway: FixedGateway) -> AsyncIterator[httpx2.AsyncClient]:
    """A client, which shows no token yet, of an API that wants one, set up as for a network."""
    settings = ApiSettings.model_validate({"host": "192.0.2.1", "token": TOKEN})
    async with (
        serve(create_app(gateway, settings), "127.0.0.1", 0) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


async def test_status(http: httpx2.AsyncClient) -> None:
    """The status is the gateway's."""
    response = await http.get("/api/v1/status")
    assert response.status_code == 200
    assert response.json()["slot"] == "idle"
    assert response.headers["content-type"] == "application/json"
    assert "server" not in response.headers


async def test_a_session_from_dialling_to_hanging_up(http: httpx2.AsyncClient, gateway: FixedGateway) -> None:
    """A session is begun, found where the answer says, listed, ended once, and then tells why it ended."""
    created = await http.post("/api/v1/sessions", json=DIAL)
    assert created.status_code == 201
    where = created.headers["location"]
    assert (await http.get(where)).json()["room"] == "demo"
    assert [session["id"] for session in (await http.get("/api/v1/sessions")).json()] == ["s1"]
    ended = await http.delete(where)
    assert (ended.status_code, ended.json()["end"]["key"]) == (200, "operator-hung-up")
    order = gateway.asked[0]
    assert isinstance(order, DialOrder)
    assert order.password is not None
    assert order.password.get_secret_value() == DIAL["password"]
    assert DIAL["password"] not in created.text + repr(order)


async def test_hanging_up_the_present_session(http: httpx2.AsyncClient, gateway: FixedGateway) -> None:
    """`current` stands for the session that there is."""
    missing = await http.delete("/api/v1/sessions/current")
    assert (missing.status_code, missing.json()["key"]) == (404, "session-unknown")
    await http.post("/api/v1/sessions", json=DIAL)
    assert (await http.delete("/api/v1/sessions/current")).status_code == 200
    assert gateway.asked[-1] == "hang up None"


async def test_a_session_that_goes_on(http: httpx2.AsyncClient, gateway: FixedGateway) -> None:
    """It can be muted and unmuted, each medium by itself, and keys can be pressed towards its peer."""
    where = (await http.post("/api/v1/sessions", json=DIAL)).headers["location"]
    assert (await http.post(f"{where}/mute", json={"audio": True})).json()["id"] == "s1"
    assert (await http.post(f"{where}/mute", json={"audio": None, "video": False})).status_code == 200
    assert (await http.post(f"{where}/dtmf", json={"digits": "12A*#"})).status_code == 200
    assert (await http.post(f"{where}/video", json={"video": True})).status_code == 200
    assert gateway.asked[1:] == ["mute True None", "mute None False", "keys 12A*#", "video True"]
    missing = await http.post("/api/v1/sessions/other/dtmf", json={"digits": "1"})
    assert (missing.status_code, missing.json()["key"]) == (404, "session-unknown")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("dtmf", {}),
        ("dtmf", {"digits": ""}),
        ("dtmf", {"digits": "1x"}),
        ("dtmf", {"digits": "1\n"}),
        ("dtmf", {"digits": "1" * 65}),
        ("mute", {"audio": "loud"}),
        ("mute", {"sound": True}),
        ("video", {}),
    ],
)
async def test_keys_that_there_are_not(
    http: httpx2.AsyncClient, gateway: FixedGateway, path: str, body: dict[str, Any]
) -> None:
    """What is no key, or says nothing of what to mute, is refused."""
    where = (await http.post("/api/v1/sessions", json=DIAL)).headers["location"]
    answer = await http.post(f"{where}/{path}", json=body)
    assert (answer.status_code, answer.json()["key"]) == (422, "request-invalid")
    assert len(gateway.asked) == 1


async def test_preparing(http: httpx2.AsyncClient, gateway: FixedGateway) -> None:
    """A room can be prepared for the next call, for a while."""
    response = await http.post("/api/v1/prepared", json={"room": "demo", "within_s": 5})
    assert response.status_code == 202
    assert gateway.asked == [PrepareOrder(room="demo", within_s=5.0)]


async def test_health(http: httpx2.AsyncClient, gateway: FixedGateway) -> None:
    """Live always; ready only while a call would be taken."""
    assert (await http.get("/health/live")).status_code == 200
    assert (await http.get("/health/ready")).status_code == 200
    assert (await http.post("/api/v1/drain")).json()["draining"] is True
    ready = await http.get("/health/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
    assert (await http.get("/health/live")).status_code == 200
    assert gateway.draining


async def test_errors_have_key_message_and_remedy(http: httpx2.AsyncClient, gateway: FixedGateway) -> None:
    """Every error is told with its own status, key, message and remedy."""
    for cls in errors.all_errors():
        gateway.error = cls("in particular")
        response = await http.post("/api/v1/sessions", json=DIAL)
        assert response.status_code == cls.http_status
        expected = {"key": cls.key, "message": f"{cls.summary}: in particular", "remedy": cls.remedy}
        assert response.json() == expected


async def test_a_mistake_of_ours(http: httpx2.AsyncClient, gateway: FixedGateway) -> None:
    """What nobody foresaw is an internal error without details, and the API goes on."""
    gateway.error = RuntimeError("secret innards")
    response = await http.get("/api/v1/status")
    assert (response.status_code, response.json()["key"]) == (500, "internal-error")
    assert "innards" not in response.text
    gateway.error = None
    assert (await http.get("/api/v1/status")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"room": "demo"},
        {**DIAL, "rom": "x"},
        {**DIAL, "room": "x" * 5000},
        {**DIAL, "tenant": "../x"},
        {**DIAL, "password": 5},
        [],
        "canary-7f3a",
    ],
)
async def test_requests_that_are_not_valid(http: httpx2.AsyncClient, gateway: FixedGateway, body: Any) -> None:
    """A request with fields missing, unknown or wrong is refused and says which, without repeating secrets."""
    response = await http.post("/api/v1/sessions", json=body)
    assert (response.status_code, response.json()["key"]) == (422, "request-invalid")
    assert "canary-7f3a" not in response.text
    assert gateway.asked == []


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("PUT", "/api/v1/status", 405), ("GET", "/docs", 404)]
)
async def test_what_there_is_not(http: httpx2.AsyncClient, method: str, path: str, status: int) -> None:
    """Unknown paths and methods are told like other errors."""
    response = await http.request(method, path)
    assert response.status_code == status
    assert set(response.json()) == {"key", "message", "remedy"}


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"room": "\\ud800", "to": "x"}', b"[" * 10000])
async def test_bodies_that_are_no_json(http: httpx2.AsyncClient, content: bytes) -> None:
    """What is no JSON is refused."""
    response = await http.post("/api/v1/sessions", content=content, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500


@pytest.mark.parametrize("host", ["evil.example", "evil.example:2222", "127.0.0.1.evil.example", "", "[", "10.0.0.1"])
async def test_rebound_names(http: httpx2.AsyncClient, host: str) -> None:
    """On loopback, a page that has its own name pointed at 127.0.0.1 gets nothing."""
    response = await http.get("/api/v1/status", headers={"host": host})
    assert (response.status_code, response.json()["key"]) == (421, "host-refused")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:2222", "127.0.0.1:80", "[::1]:2222"])
async def test_own_names(http: httpx2.AsyncClient, host: str) -> None:
    """On loopback, the names of loopback are answered."""
    assert (await http.get("/api/v1/status", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_pages_of_other_origins(http: httpx2.AsyncClient, gateway: FixedGateway, headers: dict[str, str]) -> None:
    """A web page of another origin can neither read nor do anything."""
    response = await http.post("/api/v1/sessions", json=DIAL, headers=headers)
    assert (response.status_code, response.json()["key"]) == (403, "origin-refused")
    assert gateway.asked == []
    preflight = await http.options("/api/v1/sessions", headers={**headers, "access-control-request-method": "POST"})
    assert not [name for name in preflight.headers if name.startswith("access-control")]


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.sampled_from([None, TOKEN]))
def test_any_headers_are_decided(host: str, origin: str, authorization: str, token: str | None) -> None:
    """Whatever stands in the headers, nobody gets in by it: under another name, from a page, without the token."""
    raw = [
        (b"host", host.encode()),
        (b"origin", origin.encode()),
        (b"authorization", authorization.encode()),
    ]
    settings = ApiSettings.model_validate({"token": token})
    assert refuse("/api/v1/status", Headers(raw=raw), settings) is not None
    assert refuse("/api/v1/status", Headers(raw=raw[2:]), settings) is not None


async def test_own_origin(http: httpx2.AsyncClient) -> None:
    """A page of the API's own origin may ask it."""
    origin = str(http.base_url).rstrip("/")
    headers = {"origin": origin, "sec-fetch-site": "same-origin"}
    assert (await http.get("/api/v1/status", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer t\u00f6ken", TOKEN],
)
async def test_token_is_needed(guarded: httpx2.AsyncClient, authorization: str | None) -> None:
    """On a network, nothing but health is told without the right token."""
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    response = await guarded.get("/api/v1/status", headers=headers)  # type: ignore[arg-type]  # bytes are for the umlaut
    assert (response.status_code, response.json()["key"]) == (401, "unauthorised")
    assert response.headers["www-authenticate"] == "Bearer"
    assert (await guarded.get("/api/openapi.json", headers=headers)).status_code == 401  # type: ignore[arg-type]  # same
    assert (await guarded.get("/health/ready")).status_code == 200


async def test_token_opens(guarded: httpx2.AsyncClient) -> None:
    """With the token everything is answered, under any name."""
    headers = {"authorization": f"bearer {TOKEN}", "host": "gw.example.com"}
    assert (await guarded.get("/api/v1/status", headers=headers)).status_code == 200


async def test_no_websockets(http: httpx2.AsyncClient) -> None:
    """A handshake for a WebSocket is answered like the plain request that it is."""
    headers = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": "x"}
    assert (await http.get("/api/v1/status", headers=headers)).status_code in {200, 400, 403, 426}


async def test_openapi_describes_all_routes(http: httpx2.AsyncClient) -> None:
    """The description of the API has each route, with its errors."""
    paths = json.loads((await http.get("/api/openapi.json")).text)["paths"]
    assert {"/api/v1/status", "/api/v1/sessions", "/api/v1/sessions/{session_id}", "/health/ready"} <= set(paths)
    assert "4XX" in paths["/api/v1/sessions"]["post"]["responses"]


async def test_port_in_use(gateway: FixedGateway) -> None:
    """A taken port is an error that names it."""
    app = create_app(gateway, ApiSettings())
    async with serve(app, "127.0.0.1", 0) as port:
        with pytest.raises(errors.PortInUse, match=f"127.0.0.1:{port}"):
            async with serve(app, "127.0.0.1", port):
                pass


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
async def test_address_that_is_not_ours(gateway: FixedGateway, host: str) -> None:
    """An address that this machine does not have is an error that names it."""
    with pytest.raises(errors.AddressUnavailable, match=host):
        async with serve(create_app(gateway, ApiSettings()), host, 0):
            pass


async def test_the_port_is_free_afterwards(gateway: FixedGateway) -> None:
    """Once the context is left, nothing listens any more, and the next one can."""
    app = create_app(gateway, ApiSettings())
    async with serve(app, "127.0.0.1", 0) as port:
        pass
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))
    async with serve(app, "127.0.0.1", port) as again:
        assert again == port
