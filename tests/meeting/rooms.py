"""Who is in which room, as the focus knows it from presences."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.meeting.options import LOBBY_DOMAIN

JIBRI = "http://jitsi.org/protocol/jibri"
MUC_USER = "http://jabber.org/protocol/muc#user"
_NICKNAME = "http://jabber.org/protocol/nick"

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
        is_owner: whether they are a moderator.
        is_trusted_jibri: whether jicofo would take them for a Jibri: by their word and by their domain.
    """

    nick: str
    jid: str
    name: str = ""
    presence: str = ""
    is_owner: bool = False
    is_trusted_jibri: bool = False


@dataclass
class Room:
    """A room that the focus is in.

    Attributes:
        jid: ROOM@MUC.
        occupants: by nick, the focus left out.
        waiting: those in its lobby, by nick.
        presences: every presence that the room sent us of an occupant, XML, the first one first.
        moderated: by medium that nobody may switch on without leave, the nicks of those who have it.
    """

    jid: str
    occupants: dict[str, Occupant] = field(default_factory=dict)
    waiting: dict[str, Occupant] = field(default_factory=dict)
    presences: list[str] = field(default_factory=list)
    moderated: dict[str, set[str]] = field(default_factory=dict)
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

    def heir(self) -> Occupant | None:
        """Who is to become moderator if there is none: the first who is no Jibri (jicofo's AutoOwnerRoleManager)."""
        if any(occupant.is_owner for occupant in self.occupants.values()):
            return None
        return next((occupant for occupant in self.occupants.values() if not occupant.is_trusted_jibri), None)


def read_occupant(nick: str, presence: _Stanza, trusted_domains: Collection[str]) -> Occupant:
    """Who a presence is of."""
    xml = presence.xml
    item = xml.find(f"{{{MUC_USER}}}x/{{{MUC_USER}}}item")
    jid = "" if item is None else item.get("jid", "")
    features = {element.get("var") for element in xml.iterfind("{*}features/{*}feature")}
    return Occupant(
        nick=nick,
        jid=jid,
        name=xml.findtext(f"{{{_NICKNAME}}}nick") or "",
        presence=str(presence),
        is_owner=item is not None and item.get("affiliation") == "owner",
        is_trusted_jibri=JIBRI in features and jid.partition("/")[0].rpartition("@")[2] in trusted_domains,
    )
