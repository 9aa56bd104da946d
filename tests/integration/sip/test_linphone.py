"""Linphone as Debian has it, which shares no code with us either: who hears whom, hold, keys, and who hangs up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from jibri_sip.sip.events import Dtmf, Held, Resumed
from tests.integration.sip.conftest import Gateway
from tests.integration.sip.raw_calls import event
from tests.peer import devices, gateway_devices
from tests.peer.linphone import Linphone
from tests.peer.listening import hears_tone

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINPHONE_HZ = 770.0


@pytest_asyncio.fixture(loop_scope="module")
async def linphone(tmp_path: Path) -> AsyncIterator[Linphone]:
    """One that answers by itself."""
    async with Linphone(tmp_path) as running:
        yield running


async def both_hear(linphone: Linphone) -> bool:
    """Whether each side's tone arrives at the other."""

    async def here() -> float:
        return devices.heard(LINPHONE_HZ)

    async def there() -> float:
        return await linphone.heard(gateway_devices.TONE_HZ)

    return await hears_tone(here) and await hears_tone(there)


async def test_linphone_dials_in(gateway: Gateway, linphone: Linphone) -> None:
    """It calls with sound and VP8: both hear each other, held and taken back too, until it hangs up."""
    linphone.tell(f"call {gateway.uri.partition(';')[0]}")
    call = await gateway.take()
    await call.ring()
    await call.answer()
    assert await both_hear(linphone)
    stats = await call.stats()
    assert stats.audio is not None
    assert stats.audio.codec == "opus/48000"
    assert stats.video is None
    linphone.tell("pause")
    await event(call, Held)
    await linphone.said("paused")
    linphone.tell("resume 1")
    await event(call, Resumed)
    assert await both_hear(linphone)
    linphone.tell("5")
    pressed = await event(call, Dtmf)
    assert pressed == Dtmf("5")
    linphone.tell("terminate")
    assert (await asyncio.wait_for(call.wait_ended(), 5)).by_peer


async def test_linphone_is_dialled(gateway: Gateway, linphone: Linphone) -> None:
    """We call it with sound and picture, which it has to refuse: both hear each other until we hang up."""
    call = await gateway.endpoint.dial(linphone.uri)
    assert await both_hear(linphone)
    assert (await call.stats()).video is None
    await call.hangup()
    await linphone.said("ended (")
    assert not (await call.wait_ended()).by_peer
