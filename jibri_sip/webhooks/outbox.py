"""What a subscriber has yet to be told: bounded, and no more than one status in it, the newest.

A status says how the instance stands, so an older one is of no use once there is a newer. What happened to a session
is told once and in order, and is let go only when there is nothing else to make room with.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

CAPACITY = 100
"""Messages that a subscriber may be behind: as many sessions' ends as an hour of failing calls has."""

Kind = Literal["status", "session"]


@dataclass(frozen=True, eq=False)
class Message:
    """Something to be told.

    Attributes:
        kind: Status of the instance, or of a session.
        body: Its JSON.
        since: When it was to be told, seconds on the monotonic clock.
    """

    kind: Kind
    body: dict[str, Any]
    since: float


@dataclass
class Outbox:
    """The messages for one subscriber, oldest first.

    Args:
        capacity: How many it holds.

    Attributes:
        dropped: Messages about sessions that had to make room, so far.
    """

    capacity: int = CAPACITY
    dropped: int = 0
    _messages: deque[Message] = field(default_factory=deque)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)
    _emptied: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._emptied.set()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> None:
        """Take a message in."""
        if message.kind == "status":
            self._messages = deque(kept for kept in self._messages if kept.kind != "status")
        self._messages.append(message)
        if len(self._messages) > self.capacity:
            status = next((kept for kept in self._messages if kept.kind == "status"), None)
            self.dropped += status is None
            self.remove(status or self._messages[0])
        self._note()

    def first(self) -> Message | None:
        """The message to be told next; it stays in."""
        return self._messages[0] if self._messages else None

    def remove(self, message: Message) -> None:
        """The message was told, or given up; one that made way for another meanwhile is gone already."""
        if message in self._messages:
            self._messages.remove(message)
        self._note()

    async def filled(self) -> None:
        """Wait until there is a message."""
        await self._filled.wait()

    async def emptied(self) -> None:
        """Wait until there is none."""
        await self._emptied.wait()

    def _note(self) -> None:
        full, empty = (self._filled, self._emptied) if self._messages else (self._emptied, self._filled)
        full.set()
        empty.clear()
