"""From IQs to sessions and back: what jicofo asks becomes orders, what becomes of them becomes IQs, once each."""

import asyncio
import dataclasses
import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element

from jibri_sip import errors, log
from jibri_sip.config.control import CallLogin, XmppSettings
from jibri_sip.config.model import Settings
from jibri_sip.control import Control
from jibri_sip.dial_plan import Login, Target, room_target
from jibri_sip.errors import GatewayError
from jibri_sip.session.news import Availability, Happening, InstanceNews, SessionNews
from jibri_sip.session.orders import ServiceOrder
from jibri_sip.session.reasons import EndReason
from jibri_sip.xmpp.client import USUAL, Client, Pace, answer, refuse
from jibri_sip.xmpp.rooms import place_of
from jibri_sip.xmpp.stanzas import Action, Failure, Report, Request, Status, read, status_extension

_log = log.logger("brewery")
_Stanza: TypeAlias = Any

RANDOM_CHARACTERS = 8
_OCCUPIED = (errors.Busy, errors.NotReady, errors.Draining, errors.Expired)
_ORDERED = "xmpp"


@dataclass
class _Ordered:
    """A session that jicofo ordered.

    Attributes:
        client: over which connection.
        orderer: whom to tell: the focus' address in the brewery.
        sip_address: as it was ordered.
        session_id: jicofo's.
        told_on: whether `on` was sent.
        stopped: whether it is being stopped, whose answer tells that it is off.
    """

    client: Client
    orderer: str
    sip_address: str
    session_id: str
    told_on: bool = False
    stopped: bool = False


class Breweries:
    """All environments at all their hosts; an observer of the gateway.

    Args:
        settings: the gateway's.
        control: the gateway.
        count: told of what happens to connections: Jibri's name of the counter, and the host.
        on_refused: told of each session that was ordered and not begun.
        pace: how the connections are kept up.
    """

    def __init__(
        self,
        settings: Settings,
        control: Control,
        count: Callable[[str, str], None],
        on_refused: Callable[[GatewayError], None],
        pace: Pace = USUAL,
    ) -> None:
        self._settings = settings
        self._control = control
        self._count = count
        self._on_refused = on_refused
        self._pace = pace
        self._published: tuple[bool, bool] | None = None
        self._ordered: dict[str, _Ordered] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        places = [(environment, host) for environment in settings.xmpp for host in environment.hosts]
        self._clients = [self._client(*place, number) for number, place in enumerate(places)]

    def _client(self, environment: XmppSettings, host: str, number: int) -> Client:
        def on_request(client: Client, iq: _Stanza, element: Element) -> None:
            self._asked(environment, client, iq, read(element))

        return Client(
            environment,
            host,
            extension=self._extension,
            on_request=on_request,
            on_lost=self._lost,
            count=self._count,
            pace=self._pace,
            number=number,
        )

    @property
    def clients(self) -> Sequence[Client]:
        """The connections."""
        return self._clients

    def open(self) -> None:
        """Begin to connect everywhere."""
        self._control.observe(self)
        for client in self._clients:
            client.open()

    async def close(self) -> None:
        """Leave everywhere."""
        await asyncio.gather(*(client.close() for client in self._clients))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _extension(self) -> Element:
        idle, healthy = _status(self._control.instance)
        return status_extension(idle=idle, healthy=healthy)

    # What jicofo asks ----------------------------------------------------------------------------

    def _asked(self, environment: XmppSettings, client: Client, iq: _Stanza, request: Request) -> None:
        if request.action is Action.START:
            answer(iq, self._start(environment, client, str(iq["from"]), request).element())
        elif request.action is Action.STOP:
            task = asyncio.get_running_loop().create_task(self._stop(client, iq, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            refuse(iq, "bad-request", "modify")

    def _start(self, environment: XmppSettings, client: Client, orderer: str, request: Request) -> Report:
        if not request.sip_address:
            _log.warning("recording_refused", client=client.name, room=request.room)
            return Report(Status.OFF, failure=Failure.ERROR, should_retry=False)
        try:
            order = self._order(environment, client, request)
            session = self._control.start_service(order)
        except _OCCUPIED as error:
            self._on_refused(error)
            _log.info("order_refused", client=client.name, error=error.key)
            return Report(Status.OFF, request.sip_address, Failure.BUSY, should_retry=True)
        except GatewayError as error:
            self._on_refused(error)
            _log.warning("order_refused", client=client.name, error=error.key, detail=error.message)
            elsewhere = EndReason.of(error).mendable_elsewhere
            return Report(Status.OFF, request.sip_address, Failure.ERROR, should_retry=elsewhere)
        self._ordered[session.id] = _Ordered(client, orderer, request.sip_address, request.session_id)
        return Report(Status.PENDING, request.sip_address)

    def _order(self, environment: XmppSettings, client: Client, request: Request) -> ServiceOrder:
        return ServiceOrder(
            reference=request.session_id,
            orderer=_ORDERED,
            target=_target(self._settings, environment, request),
            sip_address=request.sip_address,
            caller_name=request.display_name,
            usage_timeout_s=environment.usage_timeout_s,
            environment=client.name,
        )

    async def _stop(self, client: Client, iq: _Stanza, request: Request) -> None:
        """End the session that is meant, and only that; the answer goes when it has ended, and tells that it is off."""
        ordered = self._meant(client, request)
        if ordered is not None:
            ordered.stopped = True
            await self._control.stop_service(errors.OrdererStopped())
        answer(iq, Report(Status.OFF).element())

    def _meant(self, client: Client, request: Request) -> _Ordered | None:
        """A stop that comes late must not end the session after the one that was meant."""
        for ordered in self._ordered.values():
            if ordered.client is client and request.session_id in {"", ordered.session_id}:
                return ordered
        _log.info("stop_for_no_session", client=client.name, reference=request.session_id)
        return None

    # What becomes of it --------------------------------------------------------------------------

    def instance_changed(self, news: InstanceNews) -> None:
        """Publish it everywhere; presences are sent on change only, jicofo counts on that."""
        before, self._published = self._published, _status(news)
        if self._published == before:
            # It is ill for another reason, or EXPIRED, for which there is no word.
            return
        for client in self._clients:
            client.publish()

    def session_changed(self, news: SessionNews) -> None:
        """Tell who ordered it."""
        ordered = self._ordered.get(news.session.id)
        if ordered is None:
            return
        if news.happening is Happening.ENDED:
            del self._ordered[news.session.id]
            if not ordered.stopped:
                ordered.client.tell(ordered.orderer, _off(ordered.sip_address, news).element())
        elif news.happening.value == self._settings.jibri.report_on and not ordered.told_on:
            ordered.told_on = True
            ordered.client.tell(ordered.orderer, Report(Status.ON, ordered.sip_address).element())

    def _lost(self, client: Client) -> None:
        """Jicofo has seen us leave, and starts the session elsewhere."""
        for ordered in self._ordered.values():
            if ordered.client is client:
                self._count("stopped_on_xmpp_closed", client.host)
                task = asyncio.get_running_loop().create_task(self._control.stop_service(errors.ControlLost()))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


def _status(news: InstanceNews) -> tuple[bool, bool]:
    """What a presence tells: whether it is idle, and healthy."""
    return news.availability is Availability.IDLE, news.healthy


def _off(sip_address: str, news: SessionNews) -> Report:
    if news.failure is None:
        return Report(Status.OFF, sip_address)
    return Report(Status.OFF, sip_address, Failure.ERROR, should_retry=news.should_retry)


def _target(settings: Settings, environment: XmppSettings, request: Request) -> Target:
    """The meeting, as whom Jibri would join it.

    Raises:
        RoomInvalid: the address is no room's of this environment.
        RoomNotAllowed: `meeting.rooms` does not have it.
    """
    place = place_of(
        request.room,
        domain=environment.domain,
        strip=environment.strip_from_room_domain,
        base_url=environment.base_url,
    )
    called = request.sip_address.rpartition("@")[0] or request.sip_address
    target = room_target(
        place.room,
        settings,
        display_name=called,
        base_url=place.base_url,
        tenant=place.tenant,
    )
    overrides = {} if request.rtcstats is None else {"analytics.rtcstatsEnabled": request.rtcstats}
    login = environment.call_login
    return dataclasses.replace(
        target, login=_call_login(login) if login is not None else None, config_overrides=overrides
    )


def _call_login(login: CallLogin) -> Login:
    username = login.username
    if login.randomize_username:
        letters = string.ascii_lowercase + string.digits
        username += "-" + "".join(secrets.choice(letters) for _ in range(RANDOM_CHARACTERS))
    return Login(login.domain, username, login.secret)
