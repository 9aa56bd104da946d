"""How an instance and its session stand, in Jibri's JSON: the same words for the health API and for webhooks.

The shapes are those of `JibriStatus`, `JibriHealth` and `JibriSessionStatus` of jitsi/jibri.
"""

from typing import Any, Literal

from jibri_sip.errors import Scope
from jibri_sip.session.news import InstanceNews, SessionNews
from jibri_sip.session.orders import ServiceOrder
from jibri_sip.session.reasons import EndReason


def status(news: InstanceNews) -> dict[str, Any]:
    """`{"busyStatus", "health"}`; the only component that Jibri ever names is `JibriManager`, and only when ill."""
    problem = news.problem
    healthy = "HEALTHY" if problem is None else "UNHEALTHY"
    ill = {} if problem is None else {"JibriManager": {"healthStatus": healthy, "detail": problem.message}}
    return {"busyStatus": news.availability.name, "health": {"healthStatus": healthy, "details": ill}}


def session(order: ServiceOrder, state: Literal["ON", "OFF"], news: SessionNews) -> dict[str, Any]:
    """What becomes of a session that was ordered by HTTP.

    Args:
        order: What it was ordered with.
        state: ON once, OFF once.
        news: What happened to it.
    """
    failure = news.failure
    return {
        "sessionId": order.reference,
        "status": state,
        "sipAddress": order.sip_address,
        "failure": _failure(failure) if failure is not None else None,
        "shouldRetry": news.should_retry if failure is not None else None,
    }


def _failure(reason: EndReason) -> dict[str, Any]:
    # Jibri's other reason, BUSY, means that the instance was busy, and not that the called party was.
    scope = "SYSTEM" if reason.scope is Scope.BOX else "SESSION"
    return {"reason": "ERROR", "error": {"scope": scope, "detail": f"{reason.key}: {reason.message}"}}
