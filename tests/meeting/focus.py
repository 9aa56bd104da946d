"""The focus: the XMPP component that opens rooms, makes everybody moderator, and looks after doors (Jitsi's jicofo).

It answers `<conference>` requests by joining the room as the occupant `focus`, by which lib-jitsi-meet knows it, and
tells a `RoomWatcher` who comes and goes. Sessions of media are the SFU's business (`sfu`), which speaks through it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias
from xml.etree.ElementTree import Element, SubElement

from slixmpp import JID, ComponentXMPP
from slixmpp.exceptions import XMPPError
from slixmpp.jid import InvalidJID
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from tests.meeting import jingle
from tests.meeting.options import FOCUS_DOMAIN, LOBBY_DOMAIN, MUC_DOMAIN, MeetingOptions

_NICK = "focus"
_BARE_JID = f"focus@{FOCUS_DOMAIN}"
_FULL_JID = f"{_BARE_JID}/focus"
_REPLY_TIMEOUT_S = 10

_MUC = "http://jabber.org/protocol/muc"
_MUC_USER = f"{_MUC}#user"
_MUC_ADMIN = f"{_MUC}#admin"
_MUC_OWNER = f"{_MUC}#owner"
_ROOM_CONFIG = f"{_MUC}#roomconfig"
_DATA_FORM = "jabber:x:data"
_NICKNAME = "http://jabber.org/protocol/nick"

_log = logging.getLogger(__name__)

# slixmpp gives stanzas their interfaces while it runs.
_Stanza: TypeAlias = Any


@dataclass
class Occupant:
    """Somebody in a room, as their last presence says.

    Attributes:
        nick: the endpoint id, which lib-jitsi-meet makes up.
        jid: real address, user@domain/resource.
        name: display name.
        presence: the last presence, XML.
    """

    nick: str
    jid: str
    name: str = ""
    presence: str = ""
    is_owner: bool = False


@dataclass
class Room:
    """A room that the focus is in.

    Attributes:
        jid: ROOM@MUC.
        occupants: by nick, the focus left out.
        waiting: those in its lobby, by nick.
    """

    jid: str
    occupants: dict[str, Occupant] = field(default_factory=dict)
    waiting: dict[str, Occupant] = field(default_factory=dict)
    is_lobby_open: bool = False
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lobby_jid(self) -> str:
        """The address of its lobby."""
        return f"{self.jid.split('@')[0]}@{LOBBY_DOMAIN}"

    def find(self, who: str) -> Occupant:
        """The occupant (or the one waiting) with this nick or display name.

        Raises:
            LookupError: there is none.
        """
        for occupant in (*self.occupants.values(), *self.waiting.values()):
            if who in {occupant.nick, occupant.name}:
                return occupant
        present = [f"{o.nick} ({o.name})" for o in self.occupants.values()]
        raise LookupError(f"nobody called {who!r} is in {self.jid}; there are {present}")


class RoomWatcher(Protocol):
    """Who wants to know what happens in rooms."""

    def occupants_changed(self, room: Room) -> None:
        """Somebody came or went."""

    def jingle_received(self, room: Room, nick: str, element: Element) -> None:
        """An occupant sent a `<jingle>`; it has been acknowledged."""

    def room_closed(self, room: Room) -> None:
        """The room is no more."""


def _read_occupant(nick: str, presence: _Stanza) -> Occupant:
    xml = presence.xml
    item = xml.find(f"{{{_MUC_USER}}}x/{{{_MUC_USER}}}item")
    return Occupant(
        nick=nick,
        jid="" if item is None else item.get("jid", ""),
        name=xml.findtext(f"{{{_NICKNAME}}}nick") or "",
        presence=str(presence),
        is_owner=item is not None and item.get("affiliation") == "owner",
    )


class Focus(ComponentXMPP):
    """The component `focus.meet.test`."""

    def __init__(self, secret: str, port: int, options: MeetingOptions) -> None:
        super().__init__(FOCUS_DOMAIN, secret, "127.0.0.1", port)  # type: ignore[no-untyped-call]
        self._options = options
        self._tasks: set[asyncio.Task[None]] = set()
        self.rooms: dict[str, Room] = {}
        self.watcher: RoomWatcher | None = None
        self.started = asyncio.Event()
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        for feature in (jingle.FOCUS, "http://jitsi.org/meet/conference"):
            self["xep_0030"].add_feature(feature)
        self._on(f"iq/{{{jingle.FOCUS}}}conference", self._conference_requested)
        self._on(f"iq/{{{jingle.JINGLE}}}jingle", self._jingle_received)
        self._on("presence", self._presence_received)
        self.add_event_handler("session_start", lambda _: self.started.set())

    def _on(self, path: str, handler: Callable[[Any], None]) -> None:
        self.register_handler(Callback(path, MatchXPath(f"{{{self.default_ns}}}{path}"), handler))

    def spawn(self, coroutine: Any) -> None:
        """Run a coroutine on its own; what it raises is logged."""

        async def guarded() -> None:
            try:
                await coroutine
            except Exception:
                _log.exception("in the background")

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- what comes in

    def _conference_requested(self, request: _Stanza) -> None:
        self.spawn(self._answer_conference(request))

    async def _answer_conference(self, request: _Stanza) -> None:
        jid = request.xml.find(f"{{{jingle.FOCUS}}}conference").get("room", "")
        reply = request.reply()
        try:
            await self._enter(jid)
        except (TimeoutError, InvalidJID, XMPPError) as error:
            _log.warning("cannot open the room %r: %r", jid, error)
            self.rooms.pop(jid, None)
            reply.error()["error"]["condition"] = "bad-request"
            reply.send()
            return
        answer = Element(f"{{{jingle.FOCUS}}}conference", {"room": jid, "ready": "true", "focusjid": _BARE_JID})
        SubElement(answer, f"{{{jingle.FOCUS}}}property", {"name": "authentication", "value": "false"})
        reply.append(answer)
        reply.send()

    async def _enter(self, jid: str) -> None:
        if JID(jid).domain != MUC_DOMAIN:
            raise InvalidJID(f"{jid} is not in {MUC_DOMAIN}")
        room = self.rooms.get(jid)
        if room is None:
            room = self.rooms[jid] = Room(jid)
            self._send_presence(jid)
            await asyncio.wait_for(room.entered.wait(), _REPLY_TIMEOUT_S)
            await self._configure(jid, **({"roomsecret": self._options.password} if self._options.password else {}))
            room.ready.set()
        await asyncio.wait_for(room.ready.wait(), _REPLY_TIMEOUT_S)

    def _send_presence(self, room_jid: str, *, available: bool = True) -> None:
        presence = self.make_presence(
            pto=f"{room_jid}/{_NICK}", pfrom=_FULL_JID, ptype=None if available else "unavailable"
        )
        if available:
            presence.append(Element(f"{{{_MUC}}}x"))
        presence.send()

    def _jingle_received(self, request: _Stanza) -> None:
        request.reply().send()
        room = self.rooms.get(request["from"].bare)
        if room and self.watcher:
            self.watcher.jingle_received(room, request["from"].resource, request.xml.find(f"{{{jingle.JINGLE}}}jingle"))

    def _presence_received(self, presence: _Stanza) -> None:
        jid, nick = presence["from"].bare, presence["from"].resource
        if presence["from"].domain == LOBBY_DOMAIN:
            room = self.rooms.get(f"{presence['from'].user}@{MUC_DOMAIN}")
            if room and nick != _NICK:
                self._update(room.waiting, nick, presence)
            return
        room = self.rooms.get(jid)
        if room is None:
            return
        if nick == _NICK:
            if presence["type"] in {"error", "unavailable"}:
                self._close(room)
            else:
                room.entered.set()
            return
        if self._update(room.occupants, nick, presence):
            self._occupants_changed(room)

    @staticmethod
    def _update(occupants: dict[str, Occupant], nick: str, presence: _Stanza) -> bool:
        """Take in a presence; whether it made somebody come or go."""
        if presence["type"] == "unavailable":
            return occupants.pop(nick, None) is not None
        is_new = nick not in occupants
        occupants[nick] = _read_occupant(nick, presence)
        return is_new

    def _occupants_changed(self, room: Room) -> None:
        for occupant in room.occupants.values():
            if not occupant.is_owner:
                self.spawn(self._set_affiliation(room.jid, occupant.jid, "owner"))
                occupant.is_owner = True
        if self.watcher:
            self.watcher.occupants_changed(room)
        if not room.occupants:  # Prosody forgets the room when the last one leaves
            self._send_presence(room.jid, available=False)
            if room.is_lobby_open:
                self._send_presence(room.lobby_jid, available=False)
            self._close(room)
        elif self._options.lobby and not room.is_lobby_open:
            self.spawn(self.set_lobby(room.jid, is_open=True))

    def _close(self, room: Room) -> None:
        if self.rooms.pop(room.jid, None) and self.watcher:
            self.watcher.room_closed(room)

    # -- what goes out

    async def _ask(self, to: str, query: Element) -> None:
        request: _Stanza = self.make_iq_set(ito=to, ifrom=_FULL_JID)
        request.append(query)
        await request.send(timeout=_REPLY_TIMEOUT_S)

    async def send_jingle(self, room: Room, nick: str, element: Element) -> None:
        """Send a `<jingle>` to an occupant, who sees it come from the room's `focus`.

        Raises:
            slixmpp.exceptions.IqError, IqTimeout: refused, or no answer.
        """
        await self._ask(f"{room.jid}/{nick}", element)

    def new_jingle(self, action: str, session: str) -> Element:
        """An empty `<jingle>` from us."""
        return jingle.new_jingle(action, session, _FULL_JID)

    async def _set_affiliation(self, room_jid: str, jid: str, affiliation: str) -> None:
        query = Element(f"{{{_MUC_ADMIN}}}query")
        SubElement(query, f"{{{_MUC_ADMIN}}}item", {"affiliation": affiliation, "jid": jid.partition("/")[0]})
        await self._ask(room_jid, query)

    async def _configure(self, room_jid: str, **values: str) -> None:
        query = Element(f"{{{_MUC_OWNER}}}query")
        form = SubElement(query, f"{{{_DATA_FORM}}}x", {"type": "submit"})
        for name, value in {"FORM_TYPE": _ROOM_CONFIG, **{f"muc#roomconfig_{n}": v for n, v in values.items()}}.items():
            entry = SubElement(form, f"{{{_DATA_FORM}}}field", {"var": name})
            SubElement(entry, f"{{{_DATA_FORM}}}value").text = value
        await self._ask(room_jid, query)

    async def _remove(self, room_jid: str, nick: str, reason: str) -> None:
        query = Element(f"{{{_MUC_ADMIN}}}query")
        item = SubElement(query, f"{{{_MUC_ADMIN}}}item", {"role": "none", "nick": nick})
        SubElement(item, f"{{{_MUC_ADMIN}}}reason").text = reason
        await self._ask(room_jid, query)

    async def _destroy(self, room_jid: str, reason: str) -> None:
        query = Element(f"{{{_MUC_OWNER}}}query")
        element = SubElement(query, f"{{{_MUC_OWNER}}}destroy")
        SubElement(element, f"{{{_MUC_OWNER}}}reason").text = reason
        await self._ask(room_jid, query)

    # -- what a moderator does

    def room(self, name: str) -> Room:
        """The room called `name` (or ROOM@MUC).

        Raises:
            LookupError: nobody is in it.
        """
        jid = name if "@" in name else f"{name}@{MUC_DOMAIN}"
        if jid not in self.rooms:
            raise LookupError(f"there is no room {jid}; there are {list(self.rooms)}")
        return self.rooms[jid]

    async def kick(self, room: str, who: str) -> None:
        """Remove somebody, named by nick or display name."""
        found = self.room(room)
        await self._remove(found.jid, found.find(who).nick, "You have been kicked.")

    async def end(self, room: str) -> None:
        """Destroy the room: everybody is out."""
        await self._destroy(self.room(room).jid, "The meeting has ended.")

    async def lock(self, room: str, password: str) -> None:
        """Ask those who come from now on for a password; an empty one opens the room again."""
        await self._configure(self.room(room).jid, roomsecret=password)

    async def set_lobby(self, room: str, *, is_open: bool) -> None:
        """Send those who come from now on to the lobby, or let them in again."""
        found = self.room(room)
        if found.is_lobby_open == is_open:
            return
        found.is_lobby_open = is_open
        await self._configure(found.jid, membersonly="1" if is_open else "0")
        if is_open:
            self._send_presence(found.lobby_jid)
        else:
            await self._destroy(found.lobby_jid, "The lobby is closed.")

    async def admit(self, room: str, who: str) -> None:
        """Let somebody in who waits in the lobby, as a moderator does: by an invitation that the room sends."""
        found = self.room(room)
        message = self.make_message(mto=found.jid, mfrom=_FULL_JID)
        invitation = Element(f"{{{_MUC_USER}}}x")
        SubElement(invitation, f"{{{_MUC_USER}}}invite", {"to": found.find(who).jid})
        message.append(invitation)
        message.send()

    async def deny(self, room: str, who: str) -> None:
        """Send somebody away who waits in the lobby."""
        found = self.room(room)
        await self._remove(found.lobby_jid, found.find(who).nick, "You may not enter.")
