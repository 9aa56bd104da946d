"""A call that was announced: the meeting is joined while it is waited for, and whoever calls first is answered.

Jibri's `autoAnswer`: the orderer takes an idle instance, and then routes the room system's INVITE to it.
"""

import asyncio

from jibri_sip import errors, log
from jibri_sip.clock import monotonic
from jibri_sip.session.news import Happening
from jibri_sip.session.orders import ServiceOrder
from jibri_sip.session.session import Parts, Session
from jibri_sip.session.state import Event
from jibri_sip.session.timeline import Stage
from jibri_sip.session.visits import visit_for
from jibri_sip.sip.call import Call
from jibri_sip.sip.endpoint import Endpoint
from jibri_sip.sip.provider import Provider


class Awaited(Session):
    """A call that is to come in, for a room.

    Args:
        parts: what to work with.
        endpoint: where to sign on with the order's account.
        order: what was ordered; its `await_call_s` is the longest wait.
    """

    direction = "dial-in"

    def __init__(self, parts: Parts, endpoint: Endpoint, order: ServiceOrder) -> None:
        super().__init__(parts, order.sip_address, order.target.room, order)
        self._endpoint = endpoint
        self._order = order
        self._coming: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self._provider: Provider | None = None

    def offer(self, call: Call) -> bool:
        """Take this call, which came in, if one is still waited for."""
        if self._coming.done() or not self.standing.live:
            return False
        self._coming.set_result(call)
        return True

    async def _set_up(self) -> None:
        order = self._order
        self._parts.bridge.connecting(order.target.room, "")
        self._move(Event.JOIN)
        visit = visit_for(order.target, self._parts.settings, direction="inbound", sip_address=order.sip_address)
        join = asyncio.create_task(self._join(visit))
        try:
            await self._sign_on()
            await self._take(await self._await_call(join), join)
        finally:
            join.cancel()
        await self._answered.wait()

    async def _sign_on(self) -> None:
        if self._order.account is not None:
            self._provider = await self._endpoint.sign_on(self._order.account)
            await self._provider.registered()

    async def _await_call(self, join: "asyncio.Task[None]") -> Call:
        limit_s = self._order.await_call_s
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.wait((join, self._coming), return_when=asyncio.FIRST_COMPLETED)
                if join.done():
                    join.result()
                    self._tell(Happening.STARTED)
                    self._move(Event.RING)
                return await asyncio.shield(self._coming)
        except TimeoutError:
            raise errors.CallNotCome(f"within {limit_s:.0f} s") from None

    async def _take(self, call: Call, join: "asyncio.Task[None]") -> None:
        """Answer as any call that comes in is answered; by now the meeting is probably joined."""
        self.call = call
        self.peer = call.remote_uri
        log.bind(call_id=call.sip_call_id)
        self._start(self._follow(call))
        joined = join.done()
        if not joined:
            self._parts.bridge.connecting(self._order.target.room, self._peer_name())
            await call.ring()
            self.timeline.mark(Stage.RINGING, monotonic())
            await asyncio.wait({join}, timeout=self._parts.settings.dial_in.answer_within_s)
        if join.done():
            join.result()
        await call.answer()
        await join
        if not joined:
            self._tell(Happening.STARTED)

    async def _release(self) -> None:
        if self._coming.done() and self.call is None:
            # It came while the session ended.
            await self._coming.result().reject(self._reason_code(), "The session has ended")
        if self._provider is not None:
            await self._provider.close()

    def _reason_code(self) -> int:
        reason = self.standing.reason
        return reason.sip_code if reason is not None else errors.NotReady.sip_code
