"""A session on real devices, without a call and a meeting: it ends, whatever it was about to do."""

import asyncio
from pathlib import Path

from jibri_sip.config import load
from jibri_sip.errors import OperatorHungUp
from jibri_sip.media.bridge import Bridge
from jibri_sip.session.news import Happening
from jibri_sip.session.session import Parts, Session
from jibri_sip.session.state import State
from jibri_sip.slot import Slot
from virtual_devices.camera import open_camera
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.screen import ScreenSource

ENDS_S = 10.0
MEETING = {"JIBRI_SIP__MEETING__BASE_URL": "https://meet.example.com"}


class LateWork(Session):
    """Its work, when it is broken off, begins more that has no end: as a join does that is done in that instant."""

    direction = "echo"

    async def _set_up(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self._start(self._for_ever())

    async def _for_ever(self) -> None:
        await asyncio.Event().wait()


def state(session: Session) -> State:
    """Where it stands now."""
    return session.standing.state


async def test_work_begun_at_the_end(runtime_dir: Path, display: Display, canvas: Canvas) -> None:
    """What is begun while the session ends does not keep it from its end, nor the slot from the next call."""
    told: list[Happening] = []
    screen, camera = ScreenSource(display, canvas), open_camera("pipewire", runtime_dir, canvas)
    try:
        await screen.start()
        await camera.start()
        settings = load(None, MEETING)
        slot = Slot(settings, runtime_dir, lambda _error: None)
        parts = Parts(
            settings, slot, Bridge(canvas, screen, camera), lambda _session, happening: told.append(happening)
        )
        session = LateWork(parts, "sip:nobody@example.com", room=None)
        running = asyncio.create_task(session.run())
        while state(session) is not State.PREPARING:  # noqa: ASYNC110  (nobody tells us)
            await asyncio.sleep(0)
        session.end(OperatorHungUp())
        reason = await asyncio.wait_for(running, ENDS_S)
    finally:
        await camera.close()
        await screen.close()
    assert reason.key == OperatorHungUp.key
    assert state(session) is State.ENDED
    assert told == [Happening.REQUESTED]
