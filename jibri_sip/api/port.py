"""What the API needs of the gateway."""

from typing import Protocol

from jibri_sip.session.facts import DialOrder, PrepareOrder, SessionFacts, SlotLook, StatusFacts, View


class Gateway(Protocol):
    """The gateway, as the API sees it. Any method may raise a `GatewayError`, which becomes the answer."""

    async def status(self) -> StatusFacts:
        """How it stands."""
        ...

    async def look(self) -> SlotLook:
        """What passes through the slot's devices now.

        Raises:
            NotReady, DeviceFailed: There is no slot, or a device of it does not answer.
        """
        ...

    async def picture(self, view: View) -> bytes:
        """What is on the display, or what either side is shown, as PNG.

        Raises:
            NotReady, DeviceFailed: There is no slot, or the display does not answer.
        """
        ...

    async def sessions(self) -> list[SessionFacts]:
        """The present session and the last ones, newest first."""
        ...

    async def session(self, session_id: str) -> SessionFacts:
        """One of them.

        Raises:
            SessionUnknown: No session has this id, now or lately.
        """
        ...

    async def dial(self, order: DialOrder) -> SessionFacts:
        """Begin a session that joins a room and calls somebody into it; does not wait for the answer.

        Raises:
            Busy, NotReady, Draining: It takes no session now.
            RoomInvalid, RoomNotAllowed, DestinationInvalid, DestinationNotAllowed: It would never.
        """
        ...

    async def prepare(self, order: PrepareOrder) -> None:
        """Send the next call that comes in into this room.

        Raises:
            Busy, NotReady, Draining: It takes no session now.
            RoomInvalid, RoomNotAllowed, DialInOff: It would never.
        """
        ...

    async def hang_up(self, session_id: str | None) -> SessionFacts:
        """End this session, or the present one; the answer tells how it ended. A session that has ended stays as it is.

        Raises:
            SessionUnknown: There is none.
        """
        ...

    async def mute(self, session_id: str, *, audio: bool | None = None, video: bool | None = None) -> SessionFacts:
        """Mute or unmute the room system in the meeting; None leaves as it is.

        Raises:
            SessionUnknown: This session is not going on, or is in no meeting.
        """
        ...

    async def set_video(self, session_id: str, *, video: bool) -> SessionFacts:
        """Add the picture to the call, or take it out, and wait for the peer's answer.

        Raises:
            SessionUnknown: This session has no call that is up.
            GatewayError: The peer did not agree; the call goes on as it was.
        """
        ...

    async def send_dtmf(self, session_id: str, digits: str) -> SessionFacts:
        """Press keys (0-9, A-D, *, #) towards the peer.

        Raises:
            SessionUnknown: This session has no call.
        """
        ...

    async def drain(self) -> None:
        """Take no new sessions; the present one goes on."""
        ...
