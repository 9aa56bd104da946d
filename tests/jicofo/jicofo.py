"""Somebody in the brewery who behaves as jicofo does: finds instances, orders, waits, tries the next."""

import asyncio
import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias
from xml.etree.ElementTree import Element, SubElement

from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from tests.jicofo.server import AUTH_DOMAIN, BREWERY, BREWERY_DOMAIN

_JIBRI = "http://jitsi.org/protocol/jibri"
_HEALTH = "http://jitsi.org/protocol/health"
_MUC = "http://jabber.org/protocol/muc"
_TAG = f"{{{_JIBRI}}}jibri"
_SELECTED_S = 0.2
"""An instance that was just chosen is not chosen again."""
_BARRED_S = 60.0
_REPLY_S = 15.0
_JOIN_S = 15.0

_Stanza: TypeAlias = Any


@dataclass
class Instance:
    """A gateway in the brewery, as its last presence says.

    Attributes:
        jid: its address in the brewery.
        real_jid: its own address.
        presences: how many came.
    """

    jid: str
    real_jid: str
    idle: bool
    healthy: bool
    presences: int = 1
    selected_at: float = float("-inf")
    failed_at: float = float("-inf")

    @property
    def available(self) -> bool:
        """Whether it can be chosen."""
        return self.idle and self.healthy


@dataclass
class SipSession:
    """A SIP call that jicofo has ordered.

    Attributes:
        told: what came, in order: status, failure reason and should-retry of each `<jibri>` about it.
        instance: who has it now.
        state: pending, on, off or failed.
    """

    sip_address: str
    id: str
    told: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    instance: Instance | None = None
    state: str = "pending"
    request: dict[str, str] = field(default_factory=dict)
    tries: int = 0


class Jicofo(ClientXMPP):
    """The focus; an async context manager, in which it is in the brewery.

    Args:
        port: of the XMPP server, on loopback.
        user: its account.
        password: of that.
        authority: certificate to trust.
        pending_timeout_s: how long an instance may take until `on`; jicofo's default is 90 s.
        retries: how many more instances are tried; jicofo's default is 5.
        room: the brewery.
    """

    def __init__(
        self,
        port: int,
        user: str,
        password: str,
        authority: Path,
        *,
        pending_timeout_s: float = 90.0,
        retries: int = 5,
        room: str = BREWERY,
    ) -> None:
        super().__init__(f"{user}@{AUTH_DOMAIN}", password)
        self.instances: dict[str, Instance] = {}
        self.sessions: list[SipSession] = []
        self._port = port
        self._pending_timeout_s = pending_timeout_s
        self._retries = retries
        self._room = room
        self._in = asyncio.Event()
        self._seen = asyncio.Event()
        self._retrying: asyncio.Task[None] | None = None
        self._stopping: set[asyncio.Task[Element | None]] = set()
        self.enable_direct_tls = False
        self.ssl_context = ssl.create_default_context(cafile=str(authority))
        self.add_event_handler("session_start", self._started)
        self.register_handler(Callback("brewery", MatchXPath("{jabber:client}presence"), self._presence))
        self.register_handler(Callback("jibri", MatchXPath(f"{{jabber:client}}iq/{_TAG}"), self._told))

    @property
    def brewery(self) -> str:
        """Its room's address."""
        return f"{self._room}@{BREWERY_DOMAIN}"

    async def __aenter__(self) -> Self:
        """Enter the brewery."""
        self.connect("127.0.0.1", self._port)
        await asyncio.wait_for(self._in.wait(), _JOIN_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        await self.disconnect(1.0)
        self.cancel_connection_attempt()

    def _started(self, _event: object) -> None:
        presence: _Stanza = self.make_presence(pto=f"{self.brewery}/focus")
        presence.append(Element(f"{{{_MUC}}}x"))
        presence.send()

    def _presence(self, presence: _Stanza) -> None:
        sender = presence["from"]
        if sender.bare != self.brewery:
            return
        if sender.resource == "focus":
            self._in.set()
        elif presence["type"] == "unavailable":
            gone = self.instances.pop(sender.resource, None)
            for session in self.sessions:
                if gone is not None and session.instance is gone and session.state in {"pending", "on"}:
                    session.told.append(("gone", "error", "true"))
                    self._failed(session, retry=True)
        else:
            self._note(sender.resource, presence)
        self._seen.set()

    def _note(self, nickname: str, presence: _Stanza) -> None:
        status = presence.xml.find(f"{{{_JIBRI}}}jibri-status")
        if status is None:
            return
        idle = status.find(f"{{{_JIBRI}}}busy-status").get("status") == "idle"
        healthy = status.find(f"{{{_HEALTH}}}health-status").get("status") == "healthy"
        known = self.instances.get(nickname)
        if known is None:
            real_jid = next(presence.xml.iter(f"{{{_MUC}#user}}item")).get("jid", "")
            self.instances[nickname] = Instance(str(presence["from"]), real_jid, idle, healthy)
            return
        known.idle, known.healthy = idle, healthy
        known.presences += 1
        if known.available:
            known.failed_at = float("-inf")

    async def wait_for(self, what: Callable[[], bool], timeout_s: float = 40.0) -> None:
        """Wait until something about instances or sessions is so.

        Raises:
            TimeoutError: it was not within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            while not what():
                self._seen.clear()
                await self._seen.wait()

    # Sessions ------------------------------------------------------------------------------------

    def select(self) -> Instance | None:
        """The one to take: available, not chosen just now, not barred; the one that failed longest ago."""
        now = time.monotonic()
        free = [
            instance
            for instance in self.instances.values()
            if instance.available and now - instance.selected_at > _SELECTED_S and now - instance.failed_at > _BARRED_S
        ]
        return min(free, key=lambda instance: instance.failed_at, default=None)

    async def order(self, room: str, sip_address: str, display_name: str = "Room", **attributes: str) -> SipSession:
        """Order a call from the instances, one after the other; returns when one has said `pending`, or none will."""
        session = SipSession(sip_address, str(uuid.uuid4()))
        session.request = {"room": room, "displayname": display_name, **attributes}
        self.sessions.append(session)
        await self._try(session)
        return session

    async def _try(self, session: SipSession) -> None:
        while session.tries <= self._retries:
            instance = self.select()
            if instance is None:
                break
            session.tries += 1
            instance.selected_at = time.monotonic()
            session.instance = instance
            request = Element(
                _TAG,
                {
                    "action": "start",
                    "sipaddress": session.sip_address,
                    "session_id": session.id,
                    **session.request,
                },
            )
            SubElement(request, "{urn:opentelemetry}traceparent", {"value": "00-1-2-01"})
            answer = await self.ask(instance.jid, request)
            self._record(session, answer)
            self._seen.set()
            if answer is not None and answer.get("status") == "pending":
                loop = asyncio.get_running_loop()
                loop.call_later(self._pending_timeout_s, self._too_late, session, instance)
                return
            if answer is None:
                self._call_off(session, instance)
            instance.failed_at = time.monotonic()
        session.state = "failed"
        self._seen.set()

    async def ask(self, to: str, request: Element) -> Element | None:
        """Send a `<jibri>`; the one in the answer, None for no answer or an error."""
        iq: _Stanza = self.make_iq_set(sub=request, ito=to)
        try:
            answer = await iq.send(timeout=_REPLY_S)
        except (IqError, IqTimeout):
            return None
        found: Element | None = answer.xml.find(_TAG)
        return found

    async def refusal(self, to: str, request: Element) -> str:
        """Send a `<jibri>` that is refused; the error's condition.

        Raises:
            AssertionError: it was not refused.
        """
        iq: _Stanza = self.make_iq_set(sub=request, ito=to)
        try:
            await iq.send(timeout=_REPLY_S)
        except IqError as error:
            return str(error.condition)
        raise AssertionError("it was answered")

    async def stop(self, session: SipSession) -> Element | None:
        """Stop a session; the answer."""
        assert session.instance is not None
        return await self.ask(session.instance.jid, _stop(session))

    def _call_off(self, session: SipSession, instance: Instance) -> None:
        """Stop whatever an instance may have begun; what it answers is of no interest."""
        task = asyncio.get_running_loop().create_task(self.ask(instance.jid, _stop(session)))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _told(self, iq: _Stanza) -> None:
        if iq["type"] != "set":
            return
        element = iq.xml.find(_TAG)
        iq.reply(clear=True).send()
        for session in self.sessions:
            owner = session.instance
            if owner and session.sip_address == element.get("sipaddress") and str(iq["from"]) == owner.jid:
                self._record(session, element)
                self._take(session, *session.told[-1])
        self._seen.set()

    def _take(self, session: SipSession, status: str, failure: str | None, should_retry: str | None) -> None:
        """Believe an instance: a failure is tried elsewhere if it says that this may help."""
        if status == "off" and failure is not None:
            self._failed(session, retry=should_retry == "true")
        elif status in {"on", "off"}:
            session.state = status

    def _record(self, session: SipSession, element: Element | None) -> None:
        if element is None:
            session.told.append(("none", None, None))
        else:
            session.told.append((element.get("status", ""), element.get("failure_reason"), element.get("should_retry")))

    def _too_late(self, session: SipSession, instance: Instance) -> None:
        """It has not got on in time: it is to stop, and another one to try."""
        if session.state == "pending" and session.instance is instance:
            session.told.append(("late", "error", "true"))
            self._call_off(session, instance)
            self._failed(session, retry=True)

    def _failed(self, session: SipSession, *, retry: bool) -> None:
        """Bar the instance for a while; the next one has its turn, if there is one."""
        session.state = "failed"
        if session.instance is not None:
            session.instance.failed_at = time.monotonic()
        if retry:
            session.state = "pending"
            self._retrying = asyncio.get_running_loop().create_task(self._try(session))
        self._seen.set()


def _stop(session: SipSession) -> Element:
    return Element(_TAG, {"action": "stop", "session_id": session.id})
