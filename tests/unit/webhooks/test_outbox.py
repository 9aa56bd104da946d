"""What a subscriber that is behind still gets to hear."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jibri_sip.webhooks.outbox import Kind, Message, Outbox

CAPACITY = 4


def message(kind: Kind, number: int) -> Message:
    """The message of this number."""
    return Message(kind, {"number": number}, float(number))


@given(st.lists(st.sampled_from(["status", "session", "deliver"]), max_size=40))
def test_any_course(course: list[str]) -> None:
    """Never more than fits, one status at most and that the newest, sessions in order, dropped only for sessions."""
    outbox = Outbox(CAPACITY)
    newest: Message | None = None
    waiting: list[Message] = []
    dropped = 0
    for number, step in enumerate(course):
        if step == "deliver":
            first = outbox.first()
            if first is not None:
                outbox.remove(first)
                newest = None if first is newest else newest
                waiting = [kept for kept in waiting if kept is not first]
            continue
        new = message("status" if step == "status" else "session", number)
        outbox.put(new)
        if step == "status":
            newest = new
        else:
            waiting.append(new)
        if len(waiting) + (newest is not None) > CAPACITY:
            if newest is not None:
                newest = None
            else:
                waiting.pop(0)
                dropped += 1
        assert outbox.dropped == dropped
    left = []
    while (first := outbox.first()) is not None:
        left.append(first)
        outbox.remove(first)
    assert [kept for kept in left if kept.kind == "session"] == waiting
    assert [kept for kept in left if kept.kind == "status"] == ([newest] if newest is not None else [])


def test_status_does_not_overtake() -> None:
    """A newer status stands where it was put, after the sessions' news before it."""
    outbox = Outbox()
    messages = [message("status", 1), message("session", 2), message("status", 3), message("session", 4)]
    for each in messages:
        outbox.put(each)
    told = []
    while (first := outbox.first()) is not None:
        told.append(first.body["number"])
        outbox.remove(first)
    assert told == [2, 3, 4]


def test_removing_what_made_way() -> None:
    """An older status that is being sent while a newer one comes takes nothing with it when it is done."""
    outbox = Outbox()
    older, newer = message("status", 1), message("status", 2)
    outbox.put(older)
    outbox.put(newer)
    outbox.remove(older)
    assert outbox.first() is newer


async def test_waiting() -> None:
    """Who waits for messages, or for there to be none, is told."""
    outbox = Outbox()
    await asyncio.wait_for(outbox.emptied(), 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.filled(), 0.01)
    one = message("session", 1)
    outbox.put(one)
    await asyncio.wait_for(outbox.filled(), 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.emptied(), 0.01)
    outbox.remove(one)
    await asyncio.wait_for(outbox.emptied(), 1)
