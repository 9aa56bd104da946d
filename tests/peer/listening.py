"""Listening for a tone with patience: on a busy machine sound starts late, and has gaps."""

import asyncio
from collections.abc import Awaitable, Callable

_LOWEST, _HIGHEST = 0.2, 0.4
_POLL_S = 0.2


async def hears_tone(level: Callable[[], Awaitable[float]], timeout_s: float = 20.0) -> bool:
    """Whether `level`, asked again and again, gets to that of a tone sent at 0.3 within `timeout_s`."""
    for _ in range(int(timeout_s / _POLL_S)):
        if _LOWEST < await level() < _HIGHEST:
            return True
        await asyncio.sleep(_POLL_S)
    return False
