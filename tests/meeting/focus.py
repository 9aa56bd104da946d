"""The focus: the XMPP component that opens rooms, gives them a moderator, and looks after doors (Jitsi's jicofo).

It answers `<conference>` requests by joining the room as the occupant `focus`, by which lib-jitsi-meet knows it, and
tells a `RoomWatcher` who comes and goes. Sessions of media are the SFU's business (`sfu`), and what moderators may do
to others is that of `moderation`; both speak through it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias
from xml.etree.ElementTree import Element, SubElement

from slixmpp import JID, ComponentXMPP
from slixmpp.exceptions import XMPPError
from slixmpp.jid import InvalidJID
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from tests.meeting import jingle
from tests.meeting.moderation import JITSI_MEET, MEDIA, Moderation, NotAllowedError
from tests.meeting.options import FOCUS_DOMAIN, LOBBY_DOMAIN, MUC_DOMAIN, MeetingOptions
from tests.meeting.rooms import MUC_USER, Occupant, Room, read_occupant

_NICK = "focus"
_BARE_JID = f"focus@{FOCUS_DOMAIN}"
_FULL_JID = f"{_BARE_JID}/focus"
_REPLY_TIMEOUT_S = 30

_MUC = "http://jabber.org/protocol/muc"
_MUC_ADMIN = f"{_MUC}#admin"
_MUC_OWNER = f"{_MUC}#owner"
_ROOM_CONFIG = f"{_MUC}#roomconfig"
_DATA_FORM = "jabber:x:data"

_log = logging.getLogger(__name__)

# slixmpp gives stanzas their interfaces while it runs.
_Stanza: TypeAlias = Any


class RoomWatcher(Protocol):
    """Who wants to know what happens in rooms."""

    def occupants_changed(self, room: Room) -> None:
        """Somebody came or went."""

    def jingle_received(self, room: Room, nick: str, element: Element) -> None:
        """An occupant sent a `<jingle>`; it has been acknowledged."""

    def room_closed(self, room: Room) -> None:
        """The room is no more."""


class Focus(ComponentXMPP):
    """The component `focus.meet.test`."""

    def __init__(self, secret: str, port: int, options: MeetingOptions) -> None:
        super().__init__(FOCUS_DOMAIN, secret, "127.0.0.1", port)  # type: ignore[no-untyped-call]
        self._options = options
        self._tasks: set[asyncio.Task[None]] = set()
        self._moderation = Moderation(self)
        self.rooms: dict[str, Room] = {}
        self.watcher: RoomWatcher | None = None
        self.started = asyncio.Event()
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        for feature in (jingle.FOCUS, "http://jitsi.org/meet/conference"):
            self["xep_0030"].add_feature(feature)
        self._on(f"iq/{{{jingle.FOCUS}}}conference", self._conference_requested)
        self._on(f"iq/{{{jingle.JINGLE}}}jingle", self._jingle_received)
        for media in MEDIA:
            self._on(f"iq/{{{JITSI_MEET}/{media}}}mute", self._mute_requested)
        self._on(f"message/{{{self.default_ns}}}av_moderation", self._moderation_received)
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
        room.presences.append(str(presence))
        if self._update(room.occupants, nick, presence):
            if nick in room.occupants:
                self.spawn(self._moderation.welcome(room, room.occupants[nick]))
            self._occupants_changed(room)

    def _update(self, occupants: dict[str, Occupant], nick: str, presence: _Stanza) -> bool:
        """Take in a presence; whether it made somebody come or go."""
        if presence["type"] == "unavailable":
            return occupants.pop(nick, None) is not None
        is_new = nick not in occupants
        occupants[nick] = read_occupant(nick, presence, self._options.trusted_domains)
        return is_new

    def _mute_requested(self, request: _Stanza) -> None:
        self.spawn(self._answer_mute(request))

    async def _answer_mute(self, request: _Stanza) -> None:
        element = next(iter(request.xml))
        media = element.tag.partition("}")[0].rpartition("/")[2]
        reply = request.reply()
        try:
            await self._moderation.mute(self.room(request["from"].bare), request["from"].resource, media, element)
        except LookupError:
            reply.error()["error"]["condition"] = "item-not-found"
        except NotAllowedError:
            reply.error()["error"]["condition"] = "not-allowed"
        reply.send()

    def _moderation_received(self, message: _Stanza) -> None:
        command = message.xml.find(f"{{{self.default_ns}}}av_moderation")
        for room in self.rooms.values():
            for occupant in room.occupants.values():
                if occupant.jid == message["from"].full:
                    self.spawn(self._moderation.command(room, occupant, command))
                    return

    def _occupants_changed(self, room: Room) -> None:
        heir = room.heir()
        if heir is not None:
            heir.is_owner = True
            self.spawn(self._set_affiliation(room.jid, heir.jid, "owner"))
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

    async def ask(self, to: str, query: Element) -> None:
        """Send an IQ of type `set` and wait for its result.

        Raises:
            slixmpp.exceptions.IqError, IqTimeout: refused, or no answer.
        """
        request: _Stanza = self.make_iq_set(ito=to, ifrom=_FULL_JID)
        request.append(query)
        await request.send(timeout=_REPLY_TIMEOUT_S)

    def tell(self, to: str, content: Element) -> None:
        """Send a message from the component itself, not from the occupant that it is."""
        message = self.make_message(mto=to, mfrom=FOCUS_DOMAIN)
        message.append(content)
        message.send()

    async def send_jingle(self, room: Room, nick: str, element: Element) -> None:
        """Send a `<jingle>` to an occupant, who sees it come from the room's `focus`.

        Raises:
            slixmpp.exceptions.IqError, IqTimeout: refused, or no answer.
        """
        await self.ask(f"{room.jid}/{nick}", element)

    def new_jingle(self, action: str, session: str) -> Element:
        """An empty `<jingle>` from us."""
        return jingle.new_jingle(action, session, _FULL_JID)

    async def _set_affiliation(self, room_jid: str, jid: str, affiliation: str) -> None:
        query = Element(f"{{{_MUC_ADMIN}}}query")
        SubElement(query, f"{{{_MUC_ADMIN}}}item", {"affiliation": affiliation, "jid": jid.partition("/")[0]})
        await self.ask(room_jid, query)

    async def _configure(self, room_jid: str, **values: str) -> None:
        query = Element(f"{{{_MUC_OWNER}}}query")
        form = SubElement(query, f"{{{_DATA_FORM}}}x", {"type": "submit"})
        for name, value in {"FORM_TYPE": _ROOM_CONFIG, **{f"muc#roomconfig_{n}": v for n, v in values.items()}}.items():
            entry = SubElement(form, f"{{{_DATA_FORM}}}field", {"var": name})
            SubElement(entry, f"{{{_DATA_FORM}}}value").text = value
        await self.ask(room_jid, query)

    async def _remove(self, room_jid: str, nick: str, reason: str) -> None:
        query = Element(f"{{{_MUC_ADMIN}}}query")
        item = SubElement(query, f"{{{_MUC_ADMIN}}}item", {"role": "none", "nick": nick})
        SubElement(item, f"{{{_MUC_ADMIN}}}reason").text = reason
        await self.ask(room_jid, query)

    async def _destroy(self, room_jid: str, reason: str) -> None:
        query = Element(f"{{{_MUC_OWNER}}}query")
        element = SubElement(query, f"{{{_MUC_OWNER}}}destroy")
        SubElement(element, f"{{{_MUC_OWNER}}}reason").text = reason
        await self.ask(room_jid, query)

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
        invitation = Element(f"{{{MUC_USER}}}x")
        SubElement(invitation, f"{{{MUC_USER}}}invite", {"to": found.find(who).jid})
        message.append(invitation)
        message.send()

    async def deny(self, room: str, who: str) -> None:
        """Send somebody away who waits in the lobby."""
        found = self.room(room)
        await self._remove(found.lobby_jid, found.find(who).nick, "You may not enter.")
