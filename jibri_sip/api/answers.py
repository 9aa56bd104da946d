"""How the API tells an error: `{"key", "message", "remedy"}` and the status that the error itself knows."""

from fastapi.responses import JSONResponse

from jibri_sip.errors import GatewayError, Unauthorised
from jibri_sip.session.facts import Problem


def problem_response(error: GatewayError, status: int | None = None) -> JSONResponse:
    """The error as an HTTP response, with another status than its own if one is given."""
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorised) else None
    return JSONResponse(Problem.of(error).model_dump(), status_code=status or error.http_status, headers=headers)
