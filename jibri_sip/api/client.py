"""Asks a running gateway's API, for the commands."""

from typing import Any, Self
from urllib.parse import quote

import httpx2

from jibri_sip.config.model import ApiSettings
from jibri_sip.errors import GatewayNotRunning
from jibri_sip.session.facts import DialOrder, Problem, SessionFacts, StatusFacts

_TIMEOUT_S = 20.0  # hanging up waits until the session has ended


class ApiProblem(Exception):  # noqa: N818  (says what it is: the Problem that the API answered)
    """The gateway refused.

    Attributes:
        problem: What it said.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Client:
    """A connection to the gateway that these settings describe.

    Args:
        settings: Where the API listens, and the token.
    """

    def __init__(self, settings: ApiSettings) -> None:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  (only looked up)
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
        token = settings.secret
        self._http = httpx2.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None else {},
            timeout=_TIMEOUT_S,
            trust_env=False,  # a proxy has no business between us and ourselves
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def status(self) -> StatusFacts:
        """How the gateway stands."""
        return StatusFacts.model_validate(self._ask("GET", "/api/v1/status"))

    def dial(self, order: DialOrder) -> SessionFacts:
        """Begin a session; the answer of the called party is not waited for."""
        body = order.model_dump(exclude_none=True)
        if order.password is not None:
            body["password"] = order.password.get_secret_value()
        return SessionFacts.model_validate(self._ask("POST", "/api/v1/sessions", body))

    def session(self, session_id: str) -> SessionFacts:
        """One session."""
        return SessionFacts.model_validate(self._ask("GET", f"/api/v1/sessions/{_quoted(session_id)}"))

    def hang_up(self, session_id: str | None) -> SessionFacts:
        """End a session, or the present one."""
        return SessionFacts.model_validate(self._ask("DELETE", f"/api/v1/sessions/{_quoted(session_id or 'current')}"))

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON that the gateway answers.

        Raises:
            GatewayNotRunning: Nobody answers, or not a gateway.
            ApiProblem: The gateway refused.
        """
        try:
            response = self._http.request(method, path, json=body)
            answer = response.json()
        except httpx2.TimeoutException:
            raise GatewayNotRunning(f"{self._url} takes too long") from None
        except (httpx2.TransportError, ValueError) as error:
            raise GatewayNotRunning(f"{self._url}: {error}") from None
        if response.is_success:
            return answer
        try:
            raise ApiProblem(Problem.model_validate(answer))
        except ValueError:
            raise GatewayNotRunning(f"what answers at {self._url} is not a gateway") from None


def _quoted(segment: str) -> str:
    return quote(segment, safe="")
