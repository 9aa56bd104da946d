"""A call, as the gateway sees it: from asyncio, without PJSIP in sight."""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import pjsua2 as pj
import structlog

from jibri_sip.sip.events import Answered, CallEvent, Ended
from jibri_sip.sip.leg import Leg
from jibri_sip.sip.message import Headers, SipUri
from jibri_sip.sip.native import Feedback
from jibri_sip.sip.quality import CallStats, Gauge
from jibri_sip.sip.thread import PjsipThread, SipError

log = structlog.get_logger(__name__)

T = TypeVar("T")

HANGUP_GRACE_S = 2.0
"""How long a hung-up call waits for the peer's last word (PJSIP alone would wait for 32 s)."""
_MEDIA_S = 3.0
"""After the answer, the peer's media should be there."""
_RINGING = 180
_OK = 200
_GLARES = 4
_GLARE_OURS_S, _GLARE_SPAN_S = 2.1, 1.9
_ANSWER_S = 32.0
"""Longest time for the answer to a re-INVITE (RFC 3261 section 17.1.1.2, timer B)."""


@dataclass(frozen=True)
class Facts:
    """What an INVITE said.

    Attributes:
        sip_call_id: Call-ID.
        remote_uri: address of the peer.
        remote_name: its display name, may be empty.
        request_uri: the address that was dialled, by the peer or by us.
        headers: header fields of a received INVITE, by long name in lower case; empty for a call of ours.
        video: whether the peer offers video, or offered nothing yet (RFC 3261 section 13.3.1.4); ours: what we offer.
    """

    sip_call_id: str
    remote_uri: str
    remote_name: str
    request_uri: SipUri
    headers: Headers
    video: bool


class Call:
    """One call. All methods may be called at any time; on a call that is over they do nothing.

    Attributes:
        id: our own name of it.
        direction: who dialled.
        facts: what its INVITE said.
        events: what happens to it; `Ended` comes exactly once, last.
        ended: that event, once it came.
    """

    def __init__(
        self,
        thread: PjsipThread,
        loop: asyncio.AbstractEventLoop,
        direction: Literal["incoming", "outgoing"],
        facts: Facts,
    ) -> None:
        self.id = uuid.uuid4().hex
        self.direction = direction
        self.facts = facts
        self.events: asyncio.Queue[CallEvent] = asyncio.Queue()
        self.ended: Ended | None = None
        self._thread = thread
        self._loop = loop
        self._over = asyncio.Event()
        self._answered = False
        self._answer_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._media_timer: asyncio.TimerHandle | None = None
        self._leg: Leg | None = None
        self._gauge = Gauge()

    def __repr__(self) -> str:
        return f"<Call {self.id[:8]} {self.direction} {self.facts.remote_uri}>"

    @property
    def sip_call_id(self) -> str:
        """Call-ID of its dialog."""
        return self.facts.sip_call_id

    @property
    def remote_uri(self) -> str:
        """Address of the peer, `sip:user@host`."""
        return self.facts.remote_uri

    @property
    def remote_name(self) -> str:
        """Display name of the peer; may be empty."""
        return self.facts.remote_name

    @property
    def request_uri(self) -> SipUri:
        """The address that was dialled."""
        return self.facts.request_uri

    @property
    def headers(self) -> Headers:
        """Header fields of the INVITE received."""
        return self.facts.headers

    @property
    def is_heard(self) -> bool:
        """Whether the peer's side said anything at all yet."""
        return self._leg is not None and self._leg.is_heard

    async def ring(self) -> None:
        """Answer 180 (Ringing)."""
        await self._do(lambda leg: leg.respond(_RINGING))

    async def answer(self) -> None:
        """Answer 200 (OK), with whatever media the peer offers, or an offer where it made none."""
        await self._do(lambda leg: leg.respond(_OK))

    async def reject(self, code: int, reason: str) -> None:
        """Refuse the call with a final response, 300 to 699; after the answer, hang up with this in Reason."""
        await self.hangup(code, reason)

    async def hangup(self, code: int | None = None, reason: str | None = None) -> None:
        """Refuse, cancel or end the call, whichever fits its state.

        `Ended` follows within `HANGUP_GRACE_S`, whether the peer answers or not.
        """
        await self._do(lambda leg: leg.end(code or 0, reason or ""))
        if self.ended is None and self._end_timer is None:
            given_up = Ended(code or _OK, reason or "", by_peer=False, answered=self._answered)
            self._end_timer = self._loop.call_later(HANGUP_GRACE_S, self._deliver, given_up)

    async def stats(self) -> CallStats:
        """Codecs, packets, loss, jitter; empty once the call is over."""
        return await self._do(lambda leg: self._gauge.read(leg, time.monotonic(), leg.steering.state)) or CallStats()

    async def feedback(self) -> Feedback | None:
        """What the peer says of our picture, and what was lost and sent again; None without a picture."""
        return await self._do(lambda leg: leg.feedback())

    async def send_keyframe(self) -> None:
        """Send the peer a whole picture next, as after a switch from a card to the live picture."""
        await self._do(lambda leg: leg.send_keyframe())

    async def request_keyframe(self) -> None:
        """Ask the peer for a whole picture (RFC 5168)."""
        await self._do(lambda leg: leg.request_keyframe())

    async def send_dtmf(self, digits: str) -> None:
        """Press keys: digits, `*`, `#`, `A` to `D`."""
        await self._do(lambda leg: leg.send_dtmf(digits))

    async def set_video(self, *, video: bool) -> int:
        """Add the picture to a call that is up, or take it out (RFC 3264 section 8).

        Where the peer asks for the same moment we try again, as RFC 3261 section 14.1 says.

        Returns:
            The status of the peer's answer: 200 where it agreed; 488 where it wants no picture; 408 where it said
            nothing, or the call is over.
        """
        for _ in range(_GLARES):
            code = await self._offer_video(video=video)
            if code != pj.PJSIP_SC_REQUEST_PENDING:
                # A peer may agree to the call, and refuse the picture by port 0 (RFC 3264 section 6).
                refused = code == _OK and video and (await self.stats()).video is None
                return pj.PJSIP_SC_NOT_ACCEPTABLE_HERE if refused else code
            # Who chose the Call-ID waits longer.
            least_s = _GLARE_OURS_S if self.direction == "outgoing" else 0.0
            await asyncio.sleep(least_s + random.uniform(0.0, _GLARE_SPAN_S))  # noqa: S311  (no secret)
        return code

    async def _offer_video(self, *, video: bool) -> int:
        answered: asyncio.Future[int] = self._loop.create_future()

        def settle(code: int) -> None:
            if not answered.done():
                answered.set_result(code)

        def on_reply(code: int) -> None:
            self._loop.call_soon_threadsafe(settle, code)

        try:
            await self._do(lambda leg: leg.offer_video(on_reply, video=video))
        except SipError:
            # PJSIP has an offer of the peer's, or of its own, to get done with first.
            return pj.PJSIP_SC_REQUEST_PENDING
        over = asyncio.create_task(self._over.wait())
        awaited: set[asyncio.Future[Any]] = {answered, over}
        try:
            await asyncio.wait(awaited, timeout=_ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        return answered.result() if answered.done() else pj.PJSIP_SC_REQUEST_TIMEOUT

    async def start_echo(self) -> None:
        """From now on, play the peer its own sound and show it its own picture."""
        await self._do(lambda leg: leg.start_echo())

    async def wait_ended(self) -> Ended:
        """Wait for the end; does not touch `events`."""
        await self._over.wait()
        if self.ended is None:  # pragma: no cover  (set together)
            raise RuntimeError("a call is over without an end")
        return self.ended

    # For the endpoint ----------------------------------------------------------------------------

    def attach(self, leg: Leg) -> None:
        """Give it its leg; on the PJSIP thread."""
        self._leg = leg

    def detach(self) -> None:
        """Take the leg away, for it to die on the PJSIP thread."""
        self._leg = None

    def emit(self, event: CallEvent) -> None:
        """Hand an event over to the loop; from the PJSIP thread."""
        # The loop may be gone when the process ends.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._deliver, event)

    def cancel_after(self, timeout_s: float) -> None:
        """CANCEL a call of ours that nobody answers in time."""
        if self._answered or self.ended is not None:
            return  # a peer that answers by itself does so before we come to this
        self._answer_timer = self._loop.call_later(timeout_s, self._no_answer)

    def _no_answer(self) -> None:
        log.info("no_answer", call=self.id)
        self._thread.post(self._cancel)
        self._deliver(Ended(pj.PJSIP_SC_REQUEST_TIMEOUT, "No answer", by_peer=False, answered=False))

    def _look_for_media(self) -> None:
        self._thread.post(lambda: self._leg.look_for_media() if self._leg is not None else None)

    def _cancel(self) -> None:
        if self._leg is not None:
            self._leg.end(0, "")

    def _deliver(self, event: CallEvent) -> None:
        if self.ended is not None:
            return
        if isinstance(event, Answered | Ended) and self._answer_timer is not None:
            self._answer_timer.cancel()
        if isinstance(event, Answered):
            self._answered = True
            self._media_timer = self._loop.call_later(_MEDIA_S, self._look_for_media)
        if isinstance(event, Ended):
            self.ended = event
            self._over.set()
            for timer in (self._end_timer, self._media_timer):
                if timer is not None:
                    timer.cancel()
        self.events.put_nowait(event)

    async def _do(self, job: Callable[[Leg], T]) -> T | None:
        def on_leg() -> T | None:
            leg = self._leg
            return None if leg is None or not leg.isActive() else job(leg)

        try:
            return await self._thread.run(on_leg)
        except SipError:
            if self.ended is not None:
                return None
            raise
