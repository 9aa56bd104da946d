"""Waiting for something to become true, instead of sleeping and hoping."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tests.meeting import EmbeddedMeeting
from tests.running_gateway import RunningGateway

T = TypeVar("T")

_POLL_S = 0.05


async def until(
    probe: Callable[[], Awaitable[T]], wanted: Callable[[T], bool], what: str, timeout_s: float = 30.0
) -> T:
    """The first answer of `probe` that is wanted.

    Raises:
        AssertionError: none was within `timeout_s`; the message names `what` and gives the last answer.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not wanted(found := await probe()):
        assert loop.time() < deadline, f"no {what} within {timeout_s} s; last: {found}"
        await asyncio.sleep(_POLL_S)
    return found


async def in_state(gateway: RunningGateway, state: str, timeout_s: float = 30.0) -> dict[str, Any]:
    """The gateway's newest session, once it is in this state."""

    async def newest() -> dict[str, Any]:
        sessions = await gateway.api("GET", "/api/v1/sessions")
        return sessions[0] if sessions else {}

    return await until(newest, lambda session: session.get("state") == state, f"session that is {state}", timeout_s)


async def ended(gateway: RunningGateway, key: str) -> dict[str, Any]:
    """The newest session, once it has ended; for the reason with this key."""
    session = await in_state(gateway, "ended")
    assert session["end"]["key"] == key, (session["end"], gateway.last_lines())
    return session


async def in_room(meeting: EmbeddedMeeting, room: str, *names: str) -> None:
    """Wait until these are in the room, and nobody else: the meeting hears who came and went later than they know."""

    async def there() -> list[str]:
        return sorted(who.name for who in await meeting.occupants(room))

    await until(there, lambda found: found == sorted(names), f"room with {names} in it")


async def losses(gateway: RunningGateway) -> int:
    """How often the gateway has lost its slot so far; its status shows that only until the next one is there."""
    return len(gateway.events("slot_lost"))
