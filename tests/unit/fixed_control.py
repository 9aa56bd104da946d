"""A gateway with fixed answers behind `Control`: what front ends and observers make of it is the tests' subject."""

from jibri_sip.errors import GatewayError
from jibri_sip.session.facts import SessionFacts
from jibri_sip.session.news import Availability, Happening, InstanceNews, Observer, SessionNews
from jibri_sip.session.orders import ServiceOrder
from jibri_sip.session.reasons import EndReason
from jibri_sip.session.state import State


class FixedControl:
    """Remembers what it was asked, and tells its observers what a test says.

    Attributes:
        instance: How the instance stands.
        ordered: The orders taken.
        stopped: Keys of the reasons that sessions were ended for.
        retired: Exit codes it was told, and whether at once.
        error: Raised by whatever is asked next.
    """

    def __init__(self) -> None:
        self.instance = InstanceNews(Availability.IDLE)
        self.ordered: list[ServiceOrder] = []
        self.stopped: list[str] = []
        self.retired: list[tuple[int, bool]] = []
        self.error: Exception | None = None
        self._observers: list[Observer] = []
        self._stages_ms: dict[str, float] = {}

    def observe(self, observer: Observer) -> None:
        """Tell this observer from now on."""
        self._observers.append(observer)

    def start_service(self, order: ServiceOrder) -> SessionFacts:
        """Take any order."""
        if self.error is not None:
            raise self.error
        self.ordered.append(order)
        return self.tell(Happening.REQUESTED, order)

    async def stop_service(self, error: GatewayError) -> None:
        """Remember why."""
        self.stopped.append(error.key)

    def retire(self, exit_code: int, *, at_once: bool = False) -> None:
        """Remember how."""
        self.retired.append((exit_code, at_once))

    def stand(self, news: InstanceNews) -> None:
        """Stand so from now on."""
        self.instance = news
        for observer in self._observers:
            observer.instance_changed(news)

    def tell(
        self, happening: Happening, order: ServiceOrder | None = None, error: GatewayError | None = None
    ) -> SessionFacts:
        """Something happened to a session."""
        state = State.ENDED if happening is Happening.ENDED else State.REQUESTED
        self._stages_ms = {happening: 1.0, **({} if happening is Happening.REQUESTED else self._stages_ms)}
        facts = SessionFacts(
            id="s1",
            direction="dial-out",
            state=state,
            room="r",
            peer="sip:a@b",
            started="now",
            stages_ms=dict(self._stages_ms),
        )
        reason = EndReason.of(error) if error is not None else None
        for observer in self._observers:
            observer.session_changed(SessionNews(happening, facts, order, reason))
        return facts
