"""Both APIs under requests made from their own schemas: whatever is sent, the answer is one that they describe."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jibri_sip.api.app import create_app
from jibri_sip.api.jibri_external import PREFIX, jibri_routes
from jibri_sip.api.jibri_schemas import StartService
from jibri_sip.api.server import serve
from jibri_sip.config import load
from jibri_sip.session.facts import Problem
from jibri_sip.session.orders import BY_HTTP
from tests.unit.api.fixed_gateway import FixedGateway
from tests.unit.api.schema_values import ANYTHING, fitting, nearly_fitting
from tests.unit.fixed_control import FixedControl

SETTINGS = load(None, {"JIBRI_SIP__MEETING__BASE_URL": "https://meet.example.com"})
OPENAPI = create_app(FixedGateway(), SETTINGS.api).openapi()
DEFINITIONS = OPENAPI["components"]["schemas"]
START = StartService.model_json_schema(by_alias=True)
FUZZED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


class Asked:
    """The APIs on a socket, asked from outside their event loop."""

    def __init__(self, runner: asyncio.Runner, http: httpx2.AsyncClient, control: FixedControl) -> None:
        self._runner = runner
        self._http = http
        self.control = control

    def ask(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """The answer."""
        return self._runner.run(self._http.request(method, path, content=json.dumps(body).encode(), headers=JSON))


JSON = {"content-type": "application/json"}


@contextmanager
def running() -> Iterator[Asked]:
    """Both APIs on a socket."""
    control = FixedControl()
    app = create_app(FixedGateway(), SETTINGS.api, jibri_routes(control, SETTINGS))
    with asyncio.Runner() as runner:
        serving = serve(app, "127.0.0.1", 0)
        port = runner.run(serving.__aenter__())
        http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        yield Asked(runner, http, control)
        runner.run(http.aclose())
        runner.run(serving.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def api() -> Iterator[Asked]:
    """Both APIs on a socket, for all examples."""
    with running() as asked:
        yield asked


def requests() -> st.SearchStrategy[tuple[str, str, Any]]:
    """Requests to our own API: each route with a body that fits, one that nearly does, or anything."""
    made = []
    for path, methods in OPENAPI["paths"].items():
        for method, route in methods.items():
            body = route.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            bodies = (
                fitting(body, DEFINITIONS) | nearly_fitting(body, DEFINITIONS) | ANYTHING if body else st.just(None)
            )
            ids = st.sampled_from(["s1", "current", "x" * 200, "%00", "..%2f", "\u00fc"])
            made.append(
                st.builds(
                    lambda session_id, body, method=method, path=path: (
                        method.upper(),
                        path.replace("{session_id}", session_id),
                        body,
                    ),
                    ids,
                    bodies,
                )
            )
    return st.one_of(made)


@FUZZED
@given(request=requests())
def test_our_own(api: Asked, request: tuple[str, str, Any]) -> None:
    """Every answer is one that the description has: no 500, and each refusal is a problem with its key."""
    method, path, body = request
    answer = api.ask(method, path, body)
    assert answer.status_code != 500, answer.text
    if answer.status_code >= 400 and not path.startswith("/health"):
        assert Problem.model_validate_json(answer.content).key


def plausible(body: dict[str, Any], sip: dict[str, Any], room: str) -> dict[str, Any]:
    """A request for a SIP gateway and a meeting of ours, whatever else is in it."""
    meeting = {"baseUrl": "https://meet.example.com/team", "callName": room}
    call = {**body["callParams"], "callUrlInfo": {**body["callParams"]["callUrlInfo"], **meeting}}
    return {**body, "sinkType": "gateway", "callParams": call, "sipClientParams": sip}


SIP_CLIENTS = fitting(START["$defs"]["SipClientParams"], {})
PLAUSIBLE = st.builds(plausible, fitting(START, START["$defs"]), SIP_CLIENTS, st.text(max_size=5) | st.just("demo"))


@FUZZED
@given(body=PLAUSIBLE | fitting(START, START["$defs"]) | nearly_fitting(START, START["$defs"]) | ANYTHING)
def test_start_service(api: Asked, body: Any) -> None:
    """What can be read is taken, or refused with 412 and a reason; what cannot be read is 500, as with Jibri."""
    before = len(api.control.ordered)
    answer = api.ask("POST", f"{PREFIX}/startService", body)
    try:
        StartService.model_validate(body)
    except ValidationError:
        assert answer.status_code == 500
    else:
        assert answer.status_code in {200, 412}, answer.text
    assert "internal-error" not in answer.text
    assert bool(answer.text) == (answer.status_code != 200)
    taken = api.control.ordered[before:]
    assert len(taken) == (answer.status_code == 200)
    assert all(order.orderer == BY_HTTP and order.target.room for order in taken)
