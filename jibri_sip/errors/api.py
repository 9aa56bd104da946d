"""What the API and the commands refuse."""
# ruff: noqa: N818  (the name says what is wrong: PortInUse, RoomLocked; the module says that it is an error)

from jibri_sip.errors.base import GatewayError


class RequestInvalid(GatewayError):
    """The API was asked for something that it does not understand."""

    key = "request-invalid"
    summary = "The request is not valid"
    remedy = "See /api/openapi.json for what it takes."
    sip_code = 400
    http_status = 422


class Unauthorised(GatewayError):
    """The API wants a token, and this is not it."""

    key = "unauthorised"
    summary = "The API wants a valid token"
    remedy = "Send `Authorization: Bearer …` with the token of api.token_file."
    sip_code = 403
    http_status = 401


class HostRefused(GatewayError):
    """The API was asked under a name that is not its own, as a web page does that has its name rebound to us."""

    key = "host-refused"
    summary = "The API does not answer under this name"
    remedy = "Use the address that api.host gives, or 127.0.0.1."
    sip_code = 403
    http_status = 421


class OriginRefused(GatewayError):
    """A web page of another origin asked the API."""

    key = "origin-refused"
    summary = "The API does not answer to other web pages"
    remedy = "Ask it from a program, not from a page of another origin."
    sip_code = 403
    http_status = 403


class GatewayNotRunning(GatewayError):
    """A command found no running gateway."""

    key = "gateway-not-running"
    summary = "No gateway answers"
    remedy = "Start it with `jibri-sip run`, or point --config at the configuration of the one that runs."
    sip_code = 503
    http_status = 503
    retryable = True
