"""What the front ends (HTTP, XMPP) ask of the gateway when they speak Jibri's protocols."""

from typing import Protocol

from jibri_sip.errors import GatewayError
from jibri_sip.session.facts import SessionFacts
from jibri_sip.session.news import InstanceNews, Observer
from jibri_sip.session.orders import ServiceOrder


class Control(Protocol):
    """The gateway, as those see it who order sessions."""

    @property
    def instance(self) -> InstanceNews:
        """How the instance stands now."""
        ...

    def observe(self, observer: Observer) -> None:
        """Tell this observer from now on."""
        ...

    def start_service(self, order: ServiceOrder) -> SessionFacts:
        """Begin a session; returns at once. What becomes of it, observers are told.

        Raises:
            Busy, NotReady, Draining, Expired: It takes no session now.
            BoxError: It cannot take any until something is mended.
            RoomInvalid, RoomNotAllowed, DestinationInvalid, DestinationNotAllowed, DialInOff: It would never.
        """
        ...

    async def stop_service(self, error: GatewayError) -> None:
        """End the present session, if there is one, for this reason; returns when it has ended."""
        ...

    def retire(self, exit_code: int, *, at_once: bool = False) -> None:
        """Take no more sessions, and end the process with this code when idle (or at once, ending the session)."""
        ...
