"""A room system is called into a meeting: first join, then INVITE; the peer's answer decides."""

import asyncio

from jibri_sip import log
from jibri_sip.clock import monotonic
from jibri_sip.dial_plan import Destination, Target
from jibri_sip.session.news import Happening
from jibri_sip.session.orders import ServiceOrder
from jibri_sip.session.session import Parts, Session
from jibri_sip.session.state import Event
from jibri_sip.session.timeline import Stage
from jibri_sip.session.visits import visit_for
from jibri_sip.sip.call import Call
from jibri_sip.sip.endpoint import Endpoint
from jibri_sip.sip.provider import Provider


class DialOut(Session):
    """A call of ours, from a room.

    Args:
        parts: what to work with.
        endpoint: what to call with.
        target: the meeting.
        destination: whom to call.
        order: where it was ordered over Jibri's protocols: the account and name to call with.
    """

    direction = "dial-out"

    def __init__(
        self,
        parts: Parts,
        endpoint: Endpoint,
        target: Target,
        destination: Destination,
        order: ServiceOrder | None = None,
    ) -> None:
        super().__init__(parts, destination.uri, target.room, order)
        self._endpoint = endpoint
        self._target = target
        self._destination = destination
        self._provider: Provider | None = None

    async def _set_up(self) -> None:
        settings = self._parts.settings
        self._parts.bridge.connecting(self._target.room, self._destination.user)
        self._move(Event.JOIN)
        await self._join(visit_for(self._target, settings, direction="outbound", sip_address=self._destination.uri))
        self._move(Event.RING)
        if self.order is not None and self.order.account is not None:
            # The INVITE is authenticated by itself (RFC 3261 section 22.2); it need not wait for the registration.
            self._provider = await self._endpoint.sign_on(self.order.account)
        self.call = await self._dial()
        log.bind(call_id=self.call.sip_call_id)
        self.timeline.mark(Stage.INVITE_SENT, monotonic())
        self._start(self._follow(self.call))
        self._tell(Happening.STARTED)
        await self._answered.wait()

    async def _dial(self) -> Call:
        dialling = asyncio.create_task(
            self._endpoint.dial(
                self._destination.uri,
                caller_name=self.order.caller_name if self.order is not None else self._target.room,
                provider=self._provider,
                timeout_s=self._parts.settings.limits.ring_timeout_s,
            )
        )
        try:
            return await asyncio.shield(dialling)
        except asyncio.CancelledError:
            # The INVITE may be out already, and nobody else knows of it: a phone must not ring for an ended session.
            await (await dialling).hangup()
            raise

    async def _release(self) -> None:
        if self._provider is not None:
            await self._provider.close()
