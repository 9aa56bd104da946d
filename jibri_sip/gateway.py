"""The gateway: admits one session at a time, and tells how it stands.

The SIP endpoint lives as long as the gateway does, so that callers always hear something; the slot (devices and
Chrome) is the keeper's, who has it ready again after each session.
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
from jibri_sip.announcer import Announcer
from jibri_sip.clock import monotonic
from jibri_sip.config.model import Settings
from jibri_sip.dial_plan import (
    DialledCall,
    Echo,
    Refusal,
    SipAccount,
    Target,
    destination,
    prefixed,
    room_target,
    route,
)
from jibri_sip.errors import GatewayError
from jibri_sip.media.wiring import register_devices
from jibri_sip.session import summary
from jibri_sip.session.awaited import Awaited
from jibri_sip.session.dial_in import DialIn
from jibri_sip.session.dial_out import DialOut
from jibri_sip.session.echo import EchoCall
from jibri_sip.session.facts import (
    AccountFacts,
    DialOrder,
    PrepareOrder,
    Problem,
    SessionFacts,
    SlotLook,
    StatusFacts,
    View,
)
from jibri_sip.session.news import Availability, Happening, InstanceNews, Observer, SessionNews
from jibri_sip.session.orders import ServiceOrder
from jibri_sip.session.session import Parts, Session
from jibri_sip.session.translate import from_browser, from_device
from jibri_sip.sip.call import Call
from jibri_sip.sip.endpoint import Endpoint
from jibri_sip.sip.settings import SipSettings
from jibri_sip.slot_keeper import SlotKeeper
from virtual_devices.errors import DeviceError
from virtual_devices.patience import PATIENCE

_log = log.logger("gateway")

REMEMBERED = 50
"""Ended sessions that the API can still tell of."""
CLOSE_S = 10.0
KEEPER_HUNG_S = 180.0 * PATIENCE
"""What the slot's keeper has been at for so long will not end; a slot's start on a slow machine may take a minute."""
_AGREED = 200


@dataclass(frozen=True)
class _Prepared:
    target: Target
    until: float


class Gateway:
    """One call slot with its SIP endpoint.

    Attributes:
        retired: done with the process' exit code once the gateway was told to go and is idle.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._endpoint = Endpoint(
            SipSettings.from_config(settings), partial(register_devices, settings.video), self._incoming
        )
        self._keeper = SlotKeeper(settings, self._changed, self._slot_lost)
        self._draining = False
        self._session: Session | None = None
        self._past: deque[SessionFacts] = deque(maxlen=REMEMBERED)
        self._prepared: _Prepared | None = None
        self._expired = False
        self._exit_code: int | None = None
        self._news = Announcer(InstanceNews(Availability.BUSY))
        self._tasks: set[asyncio.Task[None]] = set()
        self._started_at = monotonic()
        self.retired: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Open the SIP sockets and begin to make the slot ready.

        Raises:
            GatewayError: a port is taken, an address is not ours, a certificate cannot be read.
        """
        self._changed()
        await self._endpoint.start()
        if self._settings.sip.account is not None:
            self._endpoint.home = await self._endpoint.sign_on(SipAccount.from_config(self._settings.sip.account))
        self._keeper.start()

    async def close(self) -> None:
        """End the session properly, release everything; what was started is gone afterwards."""
        await self.drain()
        if self._session is not None:
            self._session.end(errors.ShuttingDown())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        try:
            await self._keeper.close()
        finally:
            if self._endpoint.home is not None:
                await self._endpoint.home.close()
            await self._endpoint.close()

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
            decision = None if self._awaits(call) else self._decide(dialled)
        except GatewayError as error:
            _log.info("call_refused", peer=call.remote_uri, user=dialled.user[:100], error=error.key)
            await call.reject(error.sip_code, error.summary)
            return
        except Exception:
            _log.exception("routing_failed", peer=call.remote_uri)
            await call.reject(errors.InternalError.sip_code, errors.InternalError.summary)
            return
        if decision is None:
            return
        parts = self._parts()
        if isinstance(decision, Echo):
            await self._carry(EchoCall(parts, call))
        else:
            self._prepared = None
            await self._carry(DialIn(parts, call, decision))

    def _awaits(self, call: Call) -> bool:
        """Whether the present session was waiting for a call, and takes this one."""
        session = self._session
        return isinstance(session, Awaited) and self._settings.dial_in.mode != "off" and session.offer(call)

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
        if self._session is not session:
            self._admit(session)
        try:
            await session.run()
        finally:
            self._past.appendleft(summary.session_facts(session))
            self._expired = self._settings.jibri.single_use
            self._session = None
            session.over.set()
            self._tell(session, Happening.ENDED)
            self._keeper.give_back()

    def _admit(self, session: Session) -> None:
        self._session = session
        self._keeper.lend()
        if session.order is not None and session.order.usage_timeout_s > 0:
            loop = asyncio.get_running_loop()
            loop.call_later(session.order.usage_timeout_s, session.end, errors.UsageTimeout())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("session_crashed", exc_info=error)

    def _parts(self) -> Parts:
        return Parts(self._settings, self._keeper.slot, self._keeper.bridge, self._tell)

    def _slot_lost(self, error: GatewayError) -> None:
        if self._session is not None:
            self._session.end(error)

    def _check_free(self) -> None:
        """Raise what keeps a session from being admitted now."""
        if self._expired:
            raise errors.Expired
        if self._draining:
            raise errors.Draining
        if self._session is not None:
            raise errors.Busy
        self._keeper.check_ready()

    def _prepared_target(self) -> Target | None:
        if self._prepared is not None and monotonic() >= self._prepared.until:
            self._prepared = None
        return self._prepared.target if self._prepared is not None else None

    # For the API ---------------------------------------------------------------------------------

    async def status(self) -> StatusFacts:
        """How the gateway stands."""
        ports = self._endpoint.ports
        host = self._settings.sip.signalling_host or self._settings.sip.host
        listening = (("udp", ports.udp), ("tcp", ports.tcp), ("tls", ports.tls))
        return StatusFacts(
            version=__version__,
            instance=self._settings.instance.number,
            slot=self._slot_state(),
            draining=self._draining,
            problem=Problem.of(self._keeper.failure) if self._keeper.failure is not None else None,
            sip=[f"{name}:{host}:{port}{self._shown(name)}" for name, port in listening if port],
            account=self._account(),
            meeting=self._settings.meeting.base_url,
            uptime_s=round(monotonic() - self._started_at, 1),
            session=summary.session_facts(self._session) if self._session is not None else None,
        )

    def _shown(self, transport: str) -> str:
        """What callers by this transport are shown, if that is worth a word."""
        own = self._settings.sip.tls.certificate_file is None and self._settings.sip.tls.enabled
        return " (self-signed)" if transport == "tls" and own else ""

    async def look(self) -> SlotLook:
        """What passes through the slot's devices now."""
        try:
            return await self._keeper.slot.look()
        except DeviceError as error:
            raise from_device(error) from error

    async def picture(self, view: View) -> bytes:
        """What is on the display, or what either side is shown, as PNG."""
        try:
            return await self._keeper.slot.picture(view)
        except DeviceError as error:
            raise from_device(error) from error

    def _account(self) -> AccountFacts | None:
        home = self._endpoint.home
        if home is None:
            return None
        return AccountFacts(
            address=home.uri,
            registered=home.is_registered if home.registers else None,
            answer=home.answer,
            again_in_s=home.again_in_s,
        )

    def _slot_state(self) -> Literal["preparing", "idle", "busy", "failed", "expired"]:
        if self._session is not None:
            return "busy"
        if self._expired:
            return "expired"
        if self._keeper.failure is not None:
            return "failed"
        return "idle" if self._keeper.ready else "preparing"

    async def is_well(self) -> bool:
        """Whether SIP and slot are still being worked at; a slot that cannot be had just now is no matter of ours.

        Returns only when PJSIP's thread does: give it a limit.
        """
        await self._endpoint.answers()
        return self._keeper.silent_s() < KEEPER_HUNG_S

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
        return self._begin(DialOut(self._parts(), self._endpoint, target, called))

    def _begin(self, session: Session) -> SessionFacts:
        self._admit(session)
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

    async def mute(self, session_id: str, *, audio: bool | None = None, video: bool | None = None) -> SessionFacts:
        """Mute or unmute the room system in the meeting; None leaves as it is.

        Raises:
            SessionUnknown: this session is not going on, or is in no meeting.
        """
        session = self._session
        if session is None or session.id != session_id or session.room is None:
            raise errors.SessionUnknown(session_id)
        slot = self._keeper.slot
        try:
            if audio is not None:
                await slot.browse(slot.page.set_audio_muted, audio)
            if video is not None:
                await slot.browse(slot.page.set_video_muted, video)
        except BrowserError as error:
            raise from_browser(error) from error
        return await self.session(session_id)

    async def set_video(self, session_id: str, *, video: bool) -> SessionFacts:
        """Add the picture to the call, or take it out, and wait for the peer's answer.

        Raises:
            SessionUnknown: this session has no call that is up.
            GatewayError: the peer did not agree; the call goes on as it was.
        """
        session = self._session
        if session is None or session.id != session_id or session.call is None or not session.answered:
            raise errors.SessionUnknown(session_id)
        code = await session.call.set_video(video=video)
        if code != _AGREED:
            raise errors.from_sip_response(code, "to the offer of a picture")
        return await self.session(session_id)

    async def send_dtmf(self, session_id: str, digits: str) -> SessionFacts:
        """Press keys (0-9, A-D, *, #) towards the peer (RFC 4733, else INFO).

        Raises:
            SessionUnknown: this session has no call.
        """
        session = self._session
        if session is None or session.id != session_id or session.call is None:
            raise errors.SessionUnknown(session_id)
        await session.call.send_dtmf(digits)
        return await self.session(session_id)

    async def drain(self) -> None:
        """Take no new sessions; the present one goes on."""
        self._draining = True
        self._changed()

    # For those who speak Jibri's protocols -------------------------------------------------------

    @property
    def instance(self) -> InstanceNews:
        """How the instance stands."""
        return self._news.instance

    def observe(self, observer: Observer) -> None:
        """Tell this observer from now on."""
        self._news.observe(observer)

    def start_service(self, order: ServiceOrder) -> SessionFacts:
        """Begin a session; returns at once. What becomes of it, observers are told.

        Raises:
            GatewayError: it takes no session now, or would never take this one.
        """
        if order.await_call_s is not None:
            if self._settings.dial_in.mode == "off":
                raise errors.DialInOff
            self._check_free()
            return self._begin(Awaited(self._parts(), self._endpoint, order))
        called = destination(order.sip_address, self._settings.dial_out)
        self._check_free()
        called = prefixed(called, self._settings.jibri.outbound_prefix)
        return self._begin(DialOut(self._parts(), self._endpoint, order.target, called, order))

    async def stop_service(self, error: GatewayError) -> None:
        """End the present session, if there is one, for this reason; returns when it has ended."""
        session = self._session
        if session is not None:
            session.end(error)
            await session.over.wait()

    def retire(self, exit_code: int, *, at_once: bool = False) -> None:
        """Take no more sessions, and let the process end with this code when idle (or at once, ending the session)."""
        self._draining = True
        self._exit_code = exit_code
        if at_once and self._session is not None:
            self._session.end(errors.ShuttingDown())
        self._changed()

    def _tell(self, session: Session, happening: Happening) -> None:
        reason = session.standing.reason if happening is Happening.ENDED else None
        self._news.tell_session(SessionNews(happening, summary.session_facts(session), session.order, reason))

    def _changed(self) -> None:
        """Tell how the instance stands, if that is otherwise than before; and be gone if it was told to."""
        if self._expired:
            availability = Availability.EXPIRED
        elif self._keeper.ready and self._session is None and not self._draining:
            availability = Availability.IDLE
        else:
            availability = Availability.BUSY
        self._endpoint.say_free(free=availability is Availability.IDLE)
        self._news.tell_instance(InstanceNews(availability, self._keeper.failure))
        if self._exit_code is not None and self._session is None and not self.retired.done():
            self.retired.set_result(self._exit_code)
