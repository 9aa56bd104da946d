"""A gateway with fixed answers behind the API's port: what the API makes of them is the subject of these tests."""

from collections.abc import Callable

from jibri_sip.clock import monotonic
from jibri_sip.errors import Busy, GatewayError, OperatorHungUp, SessionUnknown
from jibri_sip.session.facts import (
    AccountFacts,
    DialOrder,
    EndFacts,
    PrepareOrder,
    SessionFacts,
    SlotLook,
    StatusFacts,
    View,
)
from jibri_sip.session.reasons import EndReason
from jibri_sip.session.state import State


class FixedGateway:
    """Remembers what it was asked, and lets a dialled session take its course step by step, one at each look.

    Attributes:
        asked: The orders, in turn.
        error: Raised by whatever is asked next.
        course: States that a dialled session still goes through.
        on_end: Why a session that goes to `ended` did.
    """

    def __init__(self, course: tuple[State, ...] = ()) -> None:
        self.asked: list[DialOrder | PrepareOrder | str] = []
        self.error: Exception | None = None
        self.course = list(course)
        self.on_end: Callable[[], GatewayError] = OperatorHungUp
        self.draining = False
        self._began = monotonic()
        self._session: SessionFacts | None = None

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    async def status(self) -> StatusFacts:
        """Idle, or busy with the session that was dialled."""
        self._raise()
        return StatusFacts(
            version="1.2.3",
            instance=1,
            slot="idle" if self._session is None or self._session.end else "busy",
            draining=self.draining,
            sip=["udp:127.0.0.1:5060"],
            account=AccountFacts(address="sip:7@provider.example", registered=False, answer="403 \x1b[31mForbidden"),
            meeting="https://meet.example.com",
            uptime_s=monotonic() - self._began,
            session=self._session,
        )

    async def look(self) -> SlotLook:
        """Sound to SIP at half of full scale, none to the meeting."""
        self._raise()
        return SlotLook(
            to_sip_peak=0.5, to_meet_peak=0, sound_clients=["Chromium"], windows=["\x1b[31mMeet 1280x720+0+0"]
        )

    async def picture(self, view: View) -> bytes:
        """Its name."""
        self._raise()
        return view.encode()

    async def sessions(self) -> list[SessionFacts]:
        """The session that was dialled, if any."""
        return [self._session] if self._session else []

    async def session(self, session_id: str) -> SessionFacts:
        """The session that was dialled, one step further."""
        if self._session is None or self._session.id != session_id:
            raise SessionUnknown(session_id)
        if self.course:
            self._move(self.course.pop(0))
        return self._session

    async def dial(self, order: DialOrder) -> SessionFacts:
        """Begin the one session."""
        self._raise()
        if self._session is not None:
            raise Busy
        self.asked.append(order)
        self._session = SessionFacts(
            id="s1", direction="dial-out", state=State.REQUESTED, room=order.room, peer=order.to, started="now"
        )
        return self._session

    async def prepare(self, order: PrepareOrder) -> None:
        """Remember the order."""
        self._raise()
        self.asked.append(order)

    async def hang_up(self, session_id: str | None) -> SessionFacts:
        """End the one session."""
        if self._session is None or session_id not in {None, self._session.id}:
            raise SessionUnknown(session_id or "no session")
        self.asked.append(f"hang up {session_id}")
        self._move(State.ENDED)
        return self._session

    async def mute(self, session_id: str, *, audio: bool | None = None, video: bool | None = None) -> SessionFacts:
        """Remember what was asked."""
        session = await self.session(session_id)
        self.asked.append(f"mute {audio} {video}")
        return session

    async def set_video(self, session_id: str, *, video: bool) -> SessionFacts:
        """Remember what was asked."""
        session = await self.session(session_id)
        self.asked.append(f"video {video}")
        return session

    async def send_dtmf(self, session_id: str, digits: str) -> SessionFacts:
        """Remember the keys."""
        session = await self.session(session_id)
        self.asked.append(f"keys {digits}")
        return session

    async def drain(self) -> None:
        """Take no more."""
        self.draining = True

    def _move(self, state: State) -> None:
        assert self._session is not None
        end = EndFacts.model_validate(EndReason.of(self.on_end()).as_json()) if state is State.ENDED else None
        self._session = self._session.model_copy(update={"state": state, "end": end})
