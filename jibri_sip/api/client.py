"""Asks a running gateway's API, for the commands."""

import ssl
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from jibri_sip.config.model import ApiSettings, ApiTlsSettings
from jibri_sip.errors import ConfigInvalid, GatewayNotRunning
from jibri_sip.session.facts import DialOrder, Problem, SessionFacts, SlotLook, StatusFacts, View

_Facts = TypeVar("_Facts", bound=BaseModel)
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

    Raises:
        ConfigInvalid: A certificate or key of `api.tls` is none.
    """

    def __init__(self, settings: ApiSettings) -> None:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  (only looked up)
        tls = settings.tls if settings.tls.certificate_file is not None else None
        self._url = f"{'http' if tls is None else 'https'}://{f'[{host}]' if ':' in host else host}:{settings.port}"
        token = settings.secret
        self._http = httpx2.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None else {},
            timeout=_TIMEOUT_S,
            verify=_only(tls) if tls is not None else True,
            trust_env=False,  # a proxy has no business between us and ourselves
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def status(self) -> StatusFacts:
        """How the gateway stands."""
        return self._ask(StatusFacts, "GET", "/api/v1/status")

    def dial(self, order: DialOrder) -> SessionFacts:
        """Begin a session; the answer of the called party is not waited for."""
        body = order.model_dump(exclude_none=True)
        if order.password is not None:
            body["password"] = order.password.get_secret_value()
        return self._ask(SessionFacts, "POST", "/api/v1/sessions", body)

    def session(self, session_id: str) -> SessionFacts:
        """One session."""
        return self._ask(SessionFacts, "GET", f"/api/v1/sessions/{_quoted(session_id)}")

    def look(self) -> SlotLook:
        """What passes through the slot's devices now."""
        return self._ask(SlotLook, "GET", "/api/v1/slot")

    def picture(self, view: View) -> bytes:
        """What is on the display, or what either side is shown, as PNG."""
        return self._request("GET", f"/api/v1/slot/pictures/{view}").content

    def hang_up(self, session_id: str | None) -> SessionFacts:
        """End a session, or the present one."""
        return self._ask(SessionFacts, "DELETE", f"/api/v1/sessions/{_quoted(session_id or 'current')}")

    def _ask(self, facts: type[_Facts], method: str, path: str, body: Any = None) -> _Facts:
        """What the gateway answers.

        During an upgrade, and on the way back, what runs is of another release; what it tells besides is let be.

        Raises:
            GatewayNotRunning: Nobody answers, or not a gateway as we know it.
            ApiProblem: The gateway refused.
        """
        try:
            return facts.model_validate_json(self._request(method, path, body).content, extra="ignore")
        except ValidationError:
            raise GatewayNotRunning(f"what answers at {self._url} is not a gateway of this release") from None

    def _request(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        try:
            response = self._http.request(method, path, json=body)
        except httpx2.TimeoutException:
            raise GatewayNotRunning(f"{self._url} takes too long") from None
        except httpx2.TransportError as error:
            raise GatewayNotRunning(f"{self._url}: {error}") from None
        if response.is_success:
            return response
        try:
            raise ApiProblem(Problem.model_validate_json(response.content, extra="ignore"))
        except ValueError:
            raise GatewayNotRunning(f"what answers at {self._url} is not a gateway") from None


def _quoted(segment: str) -> str:
    return quote(segment, safe="")


def _only(tls: ApiTlsSettings) -> ssl.SSLContext:
    """Trust in the gateway's own certificate and in no other: it is known, and its name is not that of loopback.

    Raises:
        ConfigInvalid: A certificate or key is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    own, key = tls.certificate_file, tls.key_file
    if own is None or key is None:
        return context
    try:
        # Without the chain that follows in the file: others have certificates of the same authority, too.
        leaf, end, _ = own.read_text(encoding="ascii").partition(ssl.PEM_FOOTER)
        context.load_verify_locations(cadata=leaf + end)
        context.load_cert_chain(tls.command_certificate_file or own, tls.command_key_file or key)
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"api.tls: {error}") from None
    return context
