"""A room system dialled a room: 180 at once, 200 when joined, but at the latest after some seconds."""

import asyncio

from jibri_sip.clock import monotonic
from jibri_sip.dial_plan import Target
from jibri_sip.session.news import Happening
from jibri_sip.session.session import Parts, Session
from jibri_sip.session.state import Event
from jibri_sip.session.timeline import Stage
from jibri_sip.session.visits import visit_for
from jibri_sip.sip.call import Call


class DialIn(Session):
    """A call that came in, for a room."""

    direction = "dial-in"

    def __init__(self, parts: Parts, call: Call, target: Target) -> None:
        super().__init__(parts, call.remote_uri, target.room)
        self.call: Call = call
        self._target = target

    async def _set_up(self) -> None:
        settings = self._parts.settings
        await self.call.ring()
        self.timeline.mark(Stage.RINGING, monotonic())
        self._parts.bridge.connecting(self._target.room, self._peer_name())
        self._move(Event.JOIN)
        visit = visit_for(self._target, settings, direction="inbound", sip_address=self.call.remote_uri)
        join = asyncio.create_task(self._join(visit))
        try:
            await asyncio.wait({join}, timeout=settings.dial_in.answer_within_s)
            if join.done():
                join.result()
            await self.call.answer()
            await join
            self._tell(Happening.STARTED)
        finally:
            join.cancel()
        await self._answered.wait()
