"""Webhooks against subscribers on real sockets: what they hear, in which order, and what happens when they do not."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jibri_sip import errors
from jibri_sip.clock import monotonic
from jibri_sip.config.model import Settings
from jibri_sip.dial_plan import Target
from jibri_sip.session.news import Availability, Happening, InstanceNews
from jibri_sip.session.orders import BY_HTTP, ServiceOrder
from jibri_sip.webhooks import Webhooks
from tests.running_gateway import free_port
from tests.subscriber import SigningKey, Subscriber
from tests.unit.fixed_control import FixedControl

ORDER = ServiceOrder(
    reference="session-1",
    orderer=BY_HTTP,
    target=Target("https://meet.example.com", "", "demo", "board"),
    sip_address="sip:board@rooms.example.com",
)
IDLE, BUSY = InstanceNews(Availability.IDLE), InstanceNews(Availability.BUSY)


def settings(*urls: str, jibri: dict[str, Any] | None = None, **webhooks: Any) -> Settings:
    """Settings with these subscribers."""
    return Settings.model_validate(
        {
            "meeting": {"base_url": "https://meet.example.com"},
            "jibri": {"id": "jibri-7", **(jibri or {})},
            # However slow the machine is: what is sent again is heard twice.
            "webhooks": {"subscribers": list(urls), "timeout_s": 10.0, **webhooks},
        }
    )


@asynccontextmanager
async def telling(
    given: Settings, on_outcome: Callable[[str], None] = lambda _outcome: None, status_every_s: float = 60.0
) -> AsyncIterator[FixedControl]:
    """A gateway that tells these subscribers."""
    control = FixedControl()
    webhooks = Webhooks(given, on_outcome, status_every_s)
    control.observe(webhooks)
    webhooks.instance_changed(control.instance)
    webhooks.start()
    try:
        yield control
    finally:
        await webhooks.close()


@pytest.fixture
async def subscriber() -> AsyncIterator[Subscriber]:
    """Somebody who listens."""
    async with Subscriber() as listening:
        yield listening


def busy_states(subscriber: Subscriber) -> list[str]:
    """What was told of the instance."""
    return [heard.body["status"]["busyStatus"] for heard in subscriber.heard if heard.path == "/v1/status"]


async def test_a_session(subscriber: Subscriber) -> None:
    """From idle over a session to idle again, word by word."""
    async with telling(settings(subscriber.url)) as control:
        await subscriber.until(lambda heard: len(heard) == 1)
        control.stand(BUSY)
        await subscriber.until(lambda heard: len(heard) == 2)
        for happening in (Happening.REQUESTED, Happening.STARTED, Happening.ANSWERED):
            control.tell(happening, ORDER)
        control.tell(Happening.ENDED, ORDER, errors.PeerHungUp())
        control.stand(IDLE)
        heard = await subscriber.until(lambda heard: len(heard) == 5)
    health = {"healthStatus": "HEALTHY", "details": {}}
    told = {"sessionId": "session-1", "sipAddress": "sip:board@rooms.example.com", "failure": None, "shouldRetry": None}
    assert [(each.path, each.body) for each in heard] == [
        ("/v1/status", {"jibriId": "jibri-7", "status": {"busyStatus": "IDLE", "health": health}}),
        ("/v1/status", {"jibriId": "jibri-7", "status": {"busyStatus": "BUSY", "health": health}}),
        ("/v1/session/status", {"jibriId": "jibri-7", "session": {**told, "status": "ON"}}),
        ("/v1/session/status", {"jibriId": "jibri-7", "session": {**told, "status": "OFF"}}),
        ("/v1/status", {"jibriId": "jibri-7", "status": {"busyStatus": "IDLE", "health": health}}),
    ]
    assert all(each.token == "" for each in heard)


@pytest.mark.parametrize(
    ("error", "scope", "again"),
    [
        (errors.PeerNoAnswer(), "SESSION", False),
        (errors.PeerBusy(), "SESSION", False),
        (errors.MeetingUnreachable("refused"), "SESSION", True),
        (errors.BrowserLost(), "SYSTEM", True),
        (errors.DeviceFailed("x"), "SYSTEM", True),
        (errors.RoomLocked(), "SESSION", False),
    ],
)
async def test_failures(subscriber: Subscriber, error: errors.GatewayError, scope: str, *, again: bool) -> None:
    """Why a session failed, whom it concerns, and whether another instance should try; called parties ring once."""
    async with telling(settings(subscriber.url)) as control:
        control.tell(Happening.ENDED, ORDER, error)
        await subscriber.until(lambda _heard: bool(subscriber.sessions()))
    (session,) = subscriber.sessions()
    assert session["status"] == "OFF"
    failure = {"reason": "ERROR", "error": {"scope": scope, "detail": f"{error.key}: {error.message}"}}
    assert (session["failure"], session["shouldRetry"]) == (failure, again)


async def test_on_when_answered(subscriber: Subscriber) -> None:
    """With `report_on = "answered"` a session is on when the call is up, and not before."""
    async with telling(settings(subscriber.url, jibri={"report_on": "answered"})) as control:
        control.tell(Happening.STARTED, ORDER)
        control.tell(Happening.ENDED, ORDER, errors.PeerBusy())
        control.tell(Happening.STARTED, ORDER)
        control.tell(Happening.ANSWERED, ORDER)
        await subscriber.until(lambda _heard: len(subscriber.sessions()) == 2)
    assert [session["status"] for session in subscriber.sessions()] == ["OFF", "ON"]


async def test_other_peoples_sessions(subscriber: Subscriber) -> None:
    """Sessions that did not come by HTTP are not told of."""
    elsewhere = ServiceOrder(reference="x", orderer="brewery", target=ORDER.target, sip_address="a@b")
    async with telling(settings(subscriber.url)) as control:
        for order in (elsewhere, None, ORDER):
            control.tell(Happening.STARTED, order)
        await subscriber.until(lambda _heard: bool(subscriber.sessions()))
    assert [session["sessionId"] for session in subscriber.sessions()] == ["session-1"]


async def test_expired_and_ill(subscriber: Subscriber) -> None:
    """Single use and ill health are told like Jibri tells them."""
    async with telling(settings(subscriber.url)) as control:
        control.stand(InstanceNews(Availability.EXPIRED, errors.DiskFull()))
        heard = await subscriber.until(lambda _heard: "EXPIRED" in busy_states(subscriber))
    assert heard[-1].body["status"]["health"]["healthStatus"] == "UNHEALTHY"


async def test_repeated(subscriber: Subscriber) -> None:
    """The status is told again and again without a change."""
    async with telling(settings(subscriber.url), status_every_s=0.1):
        await subscriber.until(lambda heard: len(heard) >= 4)
    assert set(busy_states(subscriber)) == {"IDLE"}


async def test_without_an_id(subscriber: Subscriber) -> None:
    """There is always an id: the component sidecar refuses what comes without one."""
    async with telling(settings(subscriber.url, jibri={"id": ""})):
        heard = await subscriber.until(bool)
    assert heard[0].body["jibriId"].endswith("-1")


async def test_token(subscriber: Subscriber, tmp_path: Path) -> None:
    """Each request carries a token that the public key verifies; after a 401 it is another one."""
    key = SigningKey(tmp_path / "key.pem")
    given = settings(subscriber.url, token={"signing_key_file": str(key.file), "kid": "jibri/key-1"})
    subscriber.answer = lambda _heard: 401 if len(subscriber.heard) == 1 else 200
    async with telling(given):
        heard = await subscriber.until(lambda heard: len(heard) == 2)
    claims = [key.verified(each.token) for each in heard]
    assert [(claim["iss"], claim["header"]["kid"]) for claim in claims] == [("jibri", "jibri/key-1")] * 2
    assert heard[0].body == heard[1].body


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_tried_again(subscriber: Subscriber, status: int) -> None:
    """What may pass is tried again until it has, with pauses that get longer, and in order."""
    outcomes: Counter[str] = Counter()
    subscriber.answer = lambda _heard: status if len(subscriber.heard) <= 2 else 200
    async with telling(settings(subscriber.url), lambda outcome: outcomes.update([outcome])) as control:
        await subscriber.until(bool)
        control.tell(Happening.STARTED, ORDER)
        control.tell(Happening.ENDED, ORDER, errors.PeerHungUp())
        heard = await subscriber.until(lambda _heard: len(subscriber.sessions()) == 2)
    assert [session["status"] for session in subscriber.sessions()] == ["ON", "OFF"]
    pauses = [later.at - earlier.at for earlier, later in pairwise(heard[:3])]
    assert all(pause >= 0.4 for pause in pauses), pauses
    assert outcomes == {"failed": 2, "delivered": 3}


async def test_back_from_the_dead(subscriber: Subscriber) -> None:
    """A subscriber that is down when a session ends hears of it when it is back, and then the newest status only."""
    port = free_port()
    async with telling(settings(f"http://127.0.0.1:{port}/hook", subscriber.url)) as control:
        control.tell(Happening.STARTED, ORDER)
        for news in (BUSY, IDLE) * 20:
            control.stand(news)
        control.tell(Happening.ENDED, ORDER, errors.PeerHungUp())
        control.stand(BUSY)
        # Nobody waits for the dead one: the other subscriber has heard all of it.
        await subscriber.until(lambda _heard: len(subscriber.sessions()) == 2)
        await asyncio.sleep(0.5)
        async with Subscriber(port) as back:
            await back.until(lambda heard: len(heard) == 3)
            assert [session["status"] for session in back.sessions()] == ["ON", "OFF"]
            assert busy_states(back) == ["BUSY"]


async def test_refused_for_good(subscriber: Subscriber) -> None:
    """A subscriber that does not know a path is not asked twice, and what else it is told is not kept from it."""
    outcomes: Counter[str] = Counter()
    subscriber.answer = lambda heard: 404 if "session" in heard.path else 200
    async with telling(settings(subscriber.url), lambda outcome: outcomes.update([outcome])) as control:
        await subscriber.until(bool)
        control.tell(Happening.STARTED, ORDER)
        control.stand(BUSY)
        heard = await subscriber.until(lambda heard: len(heard) == 3)
    assert [each.path for each in heard] == ["/v1/status", "/v1/session/status", "/v1/status"]
    assert outcomes == {"delivered": 2, "refused": 1}


async def test_given_up(subscriber: Subscriber) -> None:
    """What cannot be delivered in `retry_for_s` is given up; what comes later has its own time."""
    outcomes: Counter[str] = Counter()
    subscriber.answer = lambda heard: 500 if heard.path == "/v1/session/status" else 200
    given = settings(subscriber.url, retry_for_s=4.0)
    async with telling(given, lambda outcome: outcomes.update([outcome])) as control:
        await subscriber.until(bool)
        control.tell(Happening.STARTED, ORDER)
        control.stand(BUSY)
        await subscriber.until(lambda heard: heard[-1].body.get("status", {}).get("busyStatus") == "BUSY")
    assert len(subscriber.sessions()) >= 2
    assert (outcomes["expired"], outcomes["delivered"]) == (1, 2)


async def test_one_attempt(subscriber: Subscriber) -> None:
    """With `retry_for_s = 0` each message is sent once, as Jibri does."""
    subscriber.answer = lambda _heard: 500
    async with telling(settings(subscriber.url, retry_for_s=0.0)) as control:
        await subscriber.until(bool)
        control.tell(Happening.STARTED, ORDER)
        control.tell(Happening.ENDED, ORDER, errors.PeerHungUp())
        await subscriber.until(lambda heard: len(heard) == 3)
        await asyncio.sleep(1.5)
    assert len(subscriber.heard) == 3


async def test_slow(subscriber: Subscriber) -> None:
    """A subscriber that takes too long keeps nobody waiting: neither who tells, nor the other subscribers."""
    async with Subscriber() as slow:
        slow.delay_s = 20.0
        async with telling(settings(slow.url, subscriber.url, retry_for_s=0.0, timeout_s=4.0)) as control:
            await slow.until(bool)
            began = monotonic()
            control.tell(Happening.STARTED, ORDER)
            assert monotonic() - began < 1
            await subscriber.until(lambda _heard: bool(subscriber.sessions()), 3.9)
            await slow.until(lambda _heard: bool(slow.sessions()), 15)
            assert slow.heard[1].at - slow.heard[0].at < 15


async def test_the_last_words(subscriber: Subscriber) -> None:
    """What is told right before the end is still delivered; a dead subscriber does not hold the end up for long."""
    given = settings(subscriber.url, f"http://127.0.0.1:{free_port()}/hook", timeout_s=4.0)
    async with telling(given) as control:
        control.tell(Happening.ENDED, ORDER, errors.ShuttingDown())
        began = monotonic()
    assert [session["status"] for session in subscriber.sessions()] == ["OFF"]
    assert monotonic() - began < 10
