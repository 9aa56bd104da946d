"""`sip:echo@us`: for installers. A test card first, then the caller's own picture, and its own sound all along."""

import asyncio

from jibri_sip.clock import monotonic
from jibri_sip.session.session import Parts, Session
from jibri_sip.session.state import Event
from jibri_sip.session.timeline import Stage
from jibri_sip.sip.call import Call

TEST_CARD_S = 3.0
"""How long the test card stays: long enough to be read."""


class EchoCall(Session):
    """A call that came in, for nobody but itself."""

    direction = "echo"

    def __init__(self, parts: Parts, call: Call) -> None:
        super().__init__(parts, call.remote_uri, room=None)
        self.call: Call = call

    async def _set_up(self) -> None:
        self._parts.bridge.test_card()
        await self.call.ring()
        self.timeline.mark(Stage.RINGING, monotonic())
        self._move(Event.RING)
        await self.call.answer()
        await self._answered.wait()
        await self.call.send_keyframe()
        await asyncio.sleep(TEST_CARD_S)
        await self.call.start_echo()
