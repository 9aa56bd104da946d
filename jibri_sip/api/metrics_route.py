"""`/metrics`: Prometheus' text format, OpenMetrics, or Jibri's own figures as JSON, whichever is asked for."""

from collections.abc import Callable, Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_JSON = "application/json"
_TEXTS = frozenset({"text/plain", "application/openmetrics-text"})


def metrics_route(registry: CollectorRegistry, as_json: Callable[[], Mapping[str, bool | int]]) -> APIRouter:
    """The route that tells what is in this registry, or this as JSON."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/metrics")
    async def metrics(request: Request) -> Response:
        """All figures, or as JSON those that Jibri has."""
        accepted = request.headers.get("accept", "")
        if _wants_json(accepted):
            return JSONResponse(as_json())
        encode, content_type = choose_encoder(accepted)
        return Response(encode(registry), headers={"content-type": content_type})

    return routes


def _wants_json(accepted: str) -> bool:
    kinds = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    return _JSON in kinds and not kinds & _TEXTS
