"""One session: a SIP call and a conference, from the request until the box is clean again.

What all kinds of session have in common: a reason to end is taken once, both legs are taken down with it, and
everybody who was told of the start is told of the end exactly once. How a session comes about is what
`dial_in`, `dial_out` and `echo` add.
"""

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from browser.errors import BrowserError, PageHung
from browser.state import PageState
from browser.visit import Visit
from jibri_sip import errors, log
from jibri_sip.clock import monotonic, utc_now
from jibri_sip.config.model import Settings
from jibri_sip.dial_plan import party_name
from jibri_sip.errors import GatewayError
from jibri_sip.media.bridge import Bridge
from jibri_sip.session import keys, looks, summary
from jibri_sip.session.facts import InMeeting
from jibri_sip.session.news import Happening
from jibri_sip.session.orders import ServiceOrder
from jibri_sip.session.reasons import EndReason
from jibri_sip.session.state import Event, Standing, State
from jibri_sip.session.timeline import Stage, Timeline
from jibri_sip.session.translate import from_browser
from jibri_sip.session.watch import Seen, decide, observe
from jibri_sip.sip import events as sip
from jibri_sip.sip.call import Call
from jibri_sip.sip.quality import CallStats
from jibri_sip.sip.thread import SipError
from jibri_sip.slot import Slot

_log = log.logger("session")

WIND_DOWN_S = 4.0
"""Longest time for the BYE to be answered and the page to leave."""
LOOK_EVERY_S = 1.0
FIRST_FRAMES_EVERY_S = 0.05
TIMED_OUT = 408
LET_GO_S = 2.0
"""Longest time that a peer stays in a call that it has handed on."""
UNVEIL_S = 4.0
"""After this time the peer sees the meeting even if nobody's picture has come: perhaps nobody has a camera. Before the
first picture the page is black; on a busy machine, or far from the bridge, that has taken more than two seconds."""
UNVEIL_FRAMES = 2
"""A picture that the page has drawn is on the display with the next one at the latest."""

Direction = Literal["dial-in", "dial-out", "echo"]


@dataclass(frozen=True)
class Parts:
    """What a session works with; lent by the gateway.

    Attributes:
        settings: the gateway's.
        slot: devices and page.
        bridge: what each side sees.
        tell: whoever is to know what happens to the session.
    """

    settings: Settings
    slot: Slot
    bridge: Bridge
    tell: Callable[["Session", Happening], None]


class Session(ABC):
    """One call and its conference.

    Attributes:
        id: ours, on every line of its log.
        direction: who dialled.
        peer: the SIP address at the far end.
        room: the room joined; None for an echo call.
        order: what it was ordered with over one of Jibri's protocols; None where it was not.
        timeline: what happened when.
        standing: state, and once it ends, why.
        quality: the last statistics of the call.
        received_fps: pictures of the peer in the last second.
        in_meeting: how the room stands in the meeting, as of the last look.
        played_anew: how often sounds of the page were attached anew, as of the last look.
        opened_anew: how often microphone and camera of the page were opened anew, as of the last look.
        over: set by the gateway once the session is among the past ones.
    """

    direction: Direction

    def __init__(self, parts: Parts, peer: str, room: str | None, order: ServiceOrder | None = None) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.peer = peer
        self.room = room
        self.order = order
        self.timeline = Timeline(utc_now(), monotonic())
        self.standing = Standing()
        self.quality = CallStats()
        self.received_fps = 0.0
        self.in_meeting: InMeeting | None = None
        self.played_anew = 0
        self.opened_anew = 0
        self.call: Call | None = None
        self._successor: Call | None = None
        self.over = asyncio.Event()
        self._parts = parts
        self._at_start = parts.bridge.stats()
        self._answered = asyncio.Event()
        self._on_hold = False
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: asyncio.Future[EndReason] = asyncio.get_running_loop().create_future()
        self._seen: Seen | None = None
        self._keypad = keys.Keypad()
        self._name_in_meeting = ""

    @abstractmethod
    async def _set_up(self) -> None:
        """Bring both legs up; returns when the session is bridged."""

    @property
    def answered(self) -> bool:
        """Whether the call has been answered."""
        return self._answered.is_set()

    def end(self, error: GatewayError) -> None:
        """End the session for this reason; the first one counts."""
        if not self._ending.done():
            self._ending.set_result(EndReason.of(error))

    async def run(self) -> EndReason:
        """Live from the request to the end; the slot is free of this session afterwards."""
        with log.bound(session_id=self.id, call_id=self.call.sip_call_id if self.call else ""):
            _log.info("session_requested", direction=self.direction, peer=self.peer, room=self.room)
            self._tell(Happening.REQUESTED)
            self._start(self._live())
            if self.call is not None:
                self._start(self._follow(self.call))
            reason = await self._ending
            self._move(Event.END, reason)
            self.timeline.mark(Stage.ENDING, monotonic())
            for task in self._tasks:
                task.cancel()
            await self._wind_down(reason)
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._release()
            self._move(Event.ENDED)
            self.timeline.mark(Stage.ENDED, monotonic())
            log.summarise(_log, summary.facts(self), normal=reason.normal)
            return reason

    async def _live(self) -> None:
        self._move(Event.ADMITTED)
        await self._set_up()
        self._bridged()
        first_frames = asyncio.create_task(self._mark_first_frames())
        try:
            await self._watch()
        finally:
            first_frames.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._ending.done():
            # What began now would not be cancelled any more, and might keep the session from its end for ever.
            work.close()
            return
        self._tasks.append(asyncio.create_task(self._guarded(work)))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Turn whatever the work raises into the reason to end."""
        try:
            await work
        except GatewayError as error:
            self.end(error)
        except BrowserError as error:
            self.end(from_browser(error))
        except SipError as error:
            self.end(errors.InternalError(str(error)))
        except Exception as error:
            _log.exception("session_failed")
            self.end(errors.InternalError(type(error).__name__))

    def _tell(self, happening: Happening) -> None:
        self._parts.tell(self, happening)

    def _move(self, event: Event, reason: EndReason | None = None) -> None:
        before = self.standing.state
        self.standing = self.standing.after(event, reason)
        if self.standing.state is not before:
            _log.debug("session_state", state=self.standing.state.value, before=before.value)

    # Coming about --------------------------------------------------------------------------------

    async def _join(self, visit: Visit) -> None:
        """Enter the room; returns when joined."""
        limits = self._parts.settings.limits
        slot = self._parts.slot
        loop = asyncio.get_running_loop()

        self._name_in_meeting = visit.display_name

        def on_state(state: PageState) -> None:
            loop.call_soon_threadsafe(self._page_phase, state.phase)

        await slot.browse(
            slot.page.join,
            visit,
            timeout=limits.join_timeout_s,
            lobby_timeout=limits.lobby_timeout_s,
            on_state=on_state,
        )
        self.timeline.mark(Stage.JOINED, monotonic())
        self._start(self._unveil())

    async def _unveil(self) -> None:
        """Show the peer the meeting, once there is something of it to be seen: until then the page is empty."""
        slot = self._parts.slot
        deadline = monotonic() + UNVEIL_S
        while monotonic() < deadline:
            with suppress(PageHung):
                page = await slot.browse(slot.page.state)
                if page.remote_frames >= UNVEIL_FRAMES or page.participants == 0:
                    break
            await asyncio.sleep(FIRST_FRAMES_EVERY_S)
        self._parts.bridge.show_meeting()
        await self._answered.wait()
        if self.call is not None:
            await self.call.send_keyframe()

    def _page_phase(self, phase: str) -> None:
        if not self.standing.live:
            return
        if phase not in {"blank", "loading"}:
            self.timeline.mark(Stage.PAGE_LOADED, monotonic())
        if phase == "lobby":
            self.timeline.mark(Stage.LOBBY, monotonic())
            self._parts.bridge.waiting_in_lobby(self.room or "")

    def _bridged(self) -> None:
        self._move(Event.BRIDGED)
        self.timeline.mark(Stage.BRIDGED, monotonic())
        _log.info("session_bridged", **self.timeline.stages_ms())
        self._hold()

    async def _mark_first_frames(self) -> None:
        """Note when the first live picture passed each way."""
        while True:
            now = self._parts.bridge.stats()
            if now.to_sip.grabbed > self._at_start.to_sip.grabbed:
                self.timeline.mark(Stage.TO_SIP_FIRST_FRAME, monotonic())
            if now.to_meet.received > self._at_start.to_meet.received:
                self.timeline.mark(Stage.TO_MEET_FIRST_FRAME, monotonic())
            if self.timeline.reached(Stage.TO_SIP_FIRST_FRAME) and self.timeline.reached(Stage.TO_MEET_FIRST_FRAME):
                return
            await asyncio.sleep(FIRST_FRAMES_EVERY_S)

    # While it lasts ------------------------------------------------------------------------------

    async def _follow(self, call: Call) -> None:
        """Take in what happens to the call, until its end is the session's, or another call has its place."""
        while True:
            happened = await call.events.get()
            if isinstance(happened, sip.HandedOn):
                self._start(self._hand_over(call, happened.call))
            elif isinstance(happened, sip.Ended):
                if call is not self.call or self._successor is not None:
                    return
                raise self._call_over(happened)
            else:
                self._take_in(happened)

    def _take_in(self, happened: sip.CallEvent) -> None:
        match happened:
            case sip.Ringing():
                self.timeline.mark(Stage.RINGING, monotonic())
            case sip.Answered():
                self.timeline.mark(Stage.ANSWERED, monotonic())
                self._answered.set()
                self._tell(Happening.ANSWERED)
            case sip.MediaUp(seen=seen):
                self.timeline.mark(Stage.MEDIA_UP, monotonic())
                if not self._on_hold:
                    self._parts.bridge.show_peer(self._peer_name(), video=seen)
            case sip.Held():
                self._on_hold = True
                self._hold()
            case sip.Resumed():
                self._resume()
            case sip.Dtmf(digit=digit):
                self._press(digit)
            case _:
                pass

    def _hold(self) -> None:
        """Tell the meeting of the hold; a caller who waits in the lobby may have begun it long before there is one."""
        if self._on_hold and self.standing.state is State.BRIDGED:
            self._move(Event.HELD)
            self._parts.bridge.hold()

    def _resume(self) -> None:
        self._on_hold = False
        if self.standing.state is State.HELD:
            self._move(Event.RESUMED)

    async def _hand_over(self, before: Call, successor: Call) -> None:
        """The peer hands the call on: it goes on until the other one is up, which then takes its place."""
        if self._successor is not None:
            await successor.hangup(errors.Busy.sip_code, "The call is being handed on already")
            return
        self._successor = successor
        try:
            refusal = await asyncio.wait_for(_answer(successor), self._parts.settings.limits.ring_timeout_s)
        except TimeoutError:
            await successor.hangup()
            refusal = await successor.wait_ended()
        self._successor = None
        if refusal is not None:
            _log.info("handing_on_failed", to=successor.remote_uri, code=refusal.code)
            if before.ended is not None:
                raise errors.from_sip_response(refusal.code, refusal.reason)
            return
        self.call, self.peer = successor, successor.remote_uri
        log.bind(call_id=successor.sip_call_id)
        _log.info("call_handed_over", peer=self.peer, before=before.sip_call_id)
        self._resume()
        self._start(self._follow(successor))
        self._start(self._rename(before))
        # Who hands a call on hangs up once it is told that the other one is up (RFC 5589 section 6).
        with suppress(TimeoutError):
            await asyncio.wait_for(before.wait_ended(), LET_GO_S)
        await before.hangup()

    async def _rename(self, before: Call) -> None:
        """Have the meeting see who is there now, unless a rule or an order gave the name."""
        meeting = self._parts.settings.meeting
        if self.call is None or self._name_in_meeting != party_name(before.remote_name, before.remote_uri, meeting):
            return
        self._name_in_meeting = party_name(self.call.remote_name, self.call.remote_uri, meeting)
        slot = self._parts.slot
        try:
            await slot.browse(slot.page.rename, self._name_in_meeting, self.call.remote_uri)
        except BrowserError as error:
            _log.warning("not_renamed", error=str(error))

    def _press(self, key: str) -> None:
        self._keypad, media = self._keypad.press(key, monotonic())
        if media is not None and self.room is not None:
            self._start(keys.switch(media, self._parts.slot))

    def _peer_name(self) -> str:
        return (self.call.remote_name if self.call else "") or self.peer

    def _call_over(self, ended: sip.Ended) -> GatewayError:
        """What the end of the call means for the session."""
        if ended.answered:
            if ended.by_peer:
                return errors.PeerHungUp()
            return errors.NoMedia(f"{ended.code} {ended.reason}")
        if self.direction != "dial-out":
            return errors.Cancelled()
        if ended.code == TIMED_OUT and self.timeline.reached(Stage.RINGING):
            return errors.PeerNoAnswer()
        if ended.certificate:
            return errors.PeerCertificateRefused(ended.certificate)
        return errors.from_sip_response(ended.code, ended.reason)

    async def _watch(self) -> None:
        """Look at everything once a second, until there is a reason to end."""
        self._seen = Seen(started_at=monotonic())
        received, at = self._parts.bridge.stats().to_meet.received, monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.quality = await self.call.stats() if self.call else CallStats()
            before, since = received, at
            received, at = self._parts.bridge.stats().to_meet.received, monotonic()
            self.received_fps = round((received - before) / (at - since), 1)
            look = await looks.look(self, self._parts)
            now = monotonic()
            self._seen = observe(self._seen, look, now)
            reason = decide(self._seen, self._parts.settings.limits, now)
            if reason is not None and not self._ending.done():
                self._ending.set_result(reason)
                return

    # Ending --------------------------------------------------------------------------------------

    async def _wind_down(self, reason: EndReason) -> None:
        """Take both legs down, each within its time, whatever becomes of the other."""
        work = (self._cover(), self._end_call(reason), self._leave_meeting())
        results = await asyncio.gather(*(asyncio.wait_for(step, WIND_DOWN_S) for step in work), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                _log.warning("wind_down_incomplete", error=f"{type(result).__name__}: {result}")

    async def _release(self) -> None:  # noqa: B027  (most kinds took nothing)
        """Give back what this kind of session took besides the two legs."""

    async def _cover(self) -> None:
        self._parts.bridge.cover()

    async def _end_call(self, reason: EndReason) -> None:
        code = reason.bye_cause if self._answered.is_set() else reason.sip_code
        for call in (self._successor, self.call):
            if call is not None and call.ended is None:
                await call.hangup(code, reason.text)
                await call.wait_ended()

    async def _leave_meeting(self) -> None:
        slot = self._parts.slot
        if self.room is None or not slot.chrome_alive():
            return
        slot.page.abort()
        await slot.browse(slot.page.leave, timeout=WIND_DOWN_S / 2)


async def _answer(call: Call) -> sip.Ended | None:
    """Wait until a call is answered (None), or ends without."""
    while True:
        match await call.events.get():
            case sip.Answered():
                return None
            case sip.Ended() as ended:
                return ended
            case _:
                pass
