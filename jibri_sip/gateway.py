"""The gateway: admits one session at a time, and keeps the slot ready for the next.

The SIP endpoint lives as long as the gateway does, so that callers always hear something; the slot (devices and
Chrome) is renewed after each session and made anew when a part of it is lost.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

from browser.errors import BrowserError
from jibri_sip import __version__, errors, log
from jibri_sip.clock import monotonic
from jibri_sip.config.model import Settings
from jibri_sip.dial_plan import DialledCall, Echo, Refusal, Target, destination, room_target, route
from jibri_sip.errors import GatewayError
from jibri_sip.media.bridge import Bridge
from jibri_sip.media.wiring import register_devices
from jibri_sip.session import summary
from jibri_sip.session.dial_in import DialIn
from jibri_sip.session.dial_out import DialOut
from jibri_sip.session.echo import EchoCall
from jibri_sip.session.facts import DialOrder, PrepareOrder, Problem, SessionFacts, StatusFacts
from jibri_sip.session.session import Parts, Session
from jibri_sip.session.translate import from_browser, from_device
from jibri_sip.sip.call import Call
from jibri_sip.sip.endpoint import Endpoint
from jibri_sip.sip.settings import SipSettings
from jibri_sip.slot import Slot
from virtual_devices.errors import DeviceError

_log = log.logger("gateway")

REMEMBERED = 50
"""Ended sessions that the API can still tell of."""
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses between attempts to get a slot that does not start; the last one repeats."""
CHECK_EVERY_S = 1.0
"""How often an idle slot's Chrome is looked at."""
CLOSE_S = 10.0


@dataclass(frozen=True)
class _Prepared:
    target: Target
    until: float


class Gateway:
    """One call slot with its SIP endpoint."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._endpoint = Endpoint(
            SipSettings.from_config(settings), partial(register_devices, settings.video), self._incoming
        )
        self._slot: Slot | None = None
        self._ready = False
        self._failure: GatewayError | None = None
        self._draining = False
        self._session: Session | None = None
        self._past: deque[SessionFacts] = deque(maxlen=REMEMBERED)
        self._prepared: _Prepared | None = None
        self._attention = asyncio.Event()
        self._lost: GatewayError | None = None
        self._used = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._started_at = monotonic()

    async def start(self) -> None:
        """Open the SIP sockets and begin to make the slot ready.

        Raises:
            GatewayError: a port is taken, an address is not ours, a certificate cannot be read.
        """
        await self._endpoint.start()
        self._keeper = asyncio.create_task(self._keep_slot(), name="slot-keeper")

    async def close(self) -> None:
        """End the session properly, release everything; what was started is gone afterwards."""
        self._draining = True
        if self._session is not None:
            self._session.end(errors.ShuttingDown())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._drop_slot()
        await self._endpoint.close()

    # Keeping the slot ----------------------------------------------------------------------------

    async def _keep_slot(self) -> None:
        failures = 0
        while True:
            try:
                await self._make_ready()
                failures = 0
                await self._until_needed()
            except GatewayError as error:
                failures += 1
                await self._pause(error, failures)
            except Exception as error:
                _log.exception("slot_keeper_failed")
                failures += 1
                await self._pause(errors.InternalError(type(error).__name__), failures)

    async def _pause(self, error: GatewayError, failures: int) -> None:
        """Say why there is no slot, and wait before the next attempt."""
        self._failure = error
        pause = RETRY_S[min(failures, len(RETRY_S)) - 1]
        _log.error("slot_failed", error=error.message, remedy=error.remedy, retry_s=pause)
        await asyncio.sleep(pause)

    async def _make_ready(self) -> None:
        """Renew the slot, or make one where there is none (any more)."""
        began = monotonic()
        lost, self._lost = self._lost, None
        try:
            if lost is not None:
                await self._drop_slot()
            if self._slot is None:
                slot = Slot(self._settings, self._settings.instance.runtime_dir, self._lose)
                await slot.start()
                self._slot = slot
                self._bridge = Bridge(slot.canvas, slot.screen, slot.camera)
                self._bridge.cover()
            else:
                await self._slot.renew()
        except DeviceError as error:
            await self._drop_slot()
            raise from_device(error) from error
        except BrowserError as error:
            await self._drop_slot()
            raise from_browser(error) from error
        self._failure = None
        self._ready = True
        _log.info("slot_ready", after_s=round(monotonic() - began, 2))

    async def _drop_slot(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            await slot.close()

    async def _until_needed(self) -> None:
        """Wait until the slot was used or a part of it is lost, and no session is in it."""
        while self._session is not None or not (self._used or self._lost):
            self._attention.clear()
            # Not wait_for: that of Python 3.11 swallows a cancellation which comes together with the event.
            try:
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._attention.wait()
            except TimeoutError:
                if self._slot is not None and not self._slot.chrome_alive() and self._session is None:
                    self._lose(errors.BrowserLost())
        self._ready = False
        self._used = False

    def _lose(self, error: GatewayError) -> None:
        self._lost = error
        self._ready = False
        _log.warning("slot_lost", error=error.message)
        if self._session is not None:
            self._session.end(error)
        self._attention.set()

    # Sessions ------------------------------------------------------------------------------------

    def _incoming(self, call: Call) -> None:
        self._spawn(self._take(call))

    async def _take(self, call: Call) -> None:
        """Admit or refuse a call that came in."""
        dialled = DialledCall(
            # The dial plan decodes what it is given, and this was decoded already.
            user=quote(call.request_uri.user, safe=""),
            host=call.request_uri.host,
            params=call.request_uri.params,
            caller_uri=call.remote_uri,
            caller_name=call.remote_name,
            headers=call.headers,
        )
        try:
            decision = self._decide(dialled)
        except GatewayError as error:
            _log.info("call_refused", peer=call.remote_uri, user=dialled.user[:100], error=error.key)
            await call.reject(error.sip_code, error.summary)
            return
        except Exception:
            _log.exception("routing_failed", peer=call.remote_uri)
            await call.reject(errors.InternalError.sip_code, errors.InternalError.summary)
            return
        parts = self._parts()
        if isinstance(decision, Echo):
            await self._carry(EchoCall(parts, call))
        else:
            self._prepared = None
            await self._carry(DialIn(parts, call, decision))

    def _decide(self, dialled: DialledCall) -> Target | Echo:
        """What the call gets.

        Raises:
            GatewayError: nothing, and this is why.
        """
        decision = route(dialled, self._settings, self._prepared_target())
        if isinstance(decision, Refusal):
            raise decision.error
        self._check_free()
        return decision

    async def _carry(self, session: Session) -> None:
        """Let the session live in the slot."""
        self._session = session
        try:
            await session.run()
        finally:
            self._past.appendleft(summary.session_facts(session))
            self._ready = False
            self._used = True
            self._session = None
            session.over.set()
            self._attention.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("session_crashed", exc_info=error)

    def _parts(self) -> Parts:
        if self._slot is None:
            raise errors.NotReady
        return Parts(self._settings, self._slot, self._bridge)

    def _check_free(self) -> None:
        """Raise what keeps a session from being admitted now."""
        if self._draining:
            raise errors.Draining
        if self._session is not None:
            raise errors.Busy
        if self._failure is not None:
            raise self._failure
        if not self._ready:
            raise errors.NotReady

    def _prepared_target(self) -> Target | None:
        if self._prepared is not None and monotonic() >= self._prepared.until:
            self._prepared = None
        return self._prepared.target if self._prepared is not None else None

    # For the API ---------------------------------------------------------------------------------

    async def status(self) -> StatusFacts:
        """How the gateway stands."""
        ports = self._endpoint.ports
        host = self._settings.sip.host
        listening = (("udp", ports.udp), ("tcp", ports.tcp), ("tls", ports.tls))
        return StatusFacts(
            version=__version__,
            instance=self._settings.instance.number,
            slot=self._slot_state(),
            draining=self._draining,
            problem=Problem.of(self._failure) if self._failure is not None else None,
            sip=[f"{name}:{host}:{port}" for name, port in listening if port],
            meeting=self._settings.meeting.base_url,
            uptime_s=round(monotonic() - self._started_at, 1),
            session=summary.session_facts(self._session) if self._session is not None else None,
        )

    def _slot_state(self) -> Literal["preparing", "idle", "busy", "failed"]:
        if self._session is not None:
            return "busy"
        if self._failure is not None:
            return "failed"
        return "idle" if self._ready else "preparing"

    async def sessions(self) -> list[SessionFacts]:
        """The present session and the last ones, newest first."""
        present = [summary.session_facts(self._session)] if self._session is not None else []
        return [*present, *self._past]

    async def session(self, session_id: str) -> SessionFacts:
        """One of them.

        Raises:
            SessionUnknown: there is none of this id.
        """
        for known in await self.sessions():
            if known.id == session_id:
                return known
        raise errors.SessionUnknown(session_id)

    async def dial(self, order: DialOrder) -> SessionFacts:
        """Begin a session that joins a room and calls somebody into it.

        Raises:
            GatewayError: it takes no session now, or would never take this one.
        """
        called = destination(order.to, self._settings.dial_out)
        target = room_target(
            order.room,
            self._settings,
            display_name=order.display_name or called.user,
            tenant=order.tenant,
            password=order.password,
        )
        self._check_free()
        session = DialOut(self._parts(), self._endpoint, target, called)
        self._session = session
        self._spawn(self._carry(session))
        return summary.session_facts(session)

    async def prepare(self, order: PrepareOrder) -> None:
        """Send the next call that comes in into this room.

        Raises:
            GatewayError: it takes no session now, or would never take this one.
        """
        if self._settings.dial_in.mode == "off":
            raise errors.DialInOff
        target = room_target(
            order.room,
            self._settings,
            display_name=order.display_name,
            tenant=order.tenant,
            password=order.password,
        )
        self._check_free()
        self._prepared = _Prepared(target, monotonic() + order.within_s)

    async def hang_up(self, session_id: str | None) -> SessionFacts:
        """End this session, or the present one, and wait until it has ended.

        Raises:
            SessionUnknown: there is none.
        """
        session = self._session
        if session is None or session_id not in {None, session.id}:
            if session_id is None:
                raise errors.SessionUnknown("there is no call now")
            return await self.session(session_id)
        session.end(errors.OperatorHungUp())
        await session.over.wait()
        return await self.session(session.id)

    async def drain(self) -> None:
        """Take no new sessions; the present one goes on."""
        self._draining = True
