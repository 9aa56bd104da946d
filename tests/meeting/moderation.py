"""What moderators may do to others' microphones and cameras: jicofo's mute requests, and mod_av_moderation_component.

A moderator asks in the stanzas of lib-jitsi-meet: `<mute>` to the room's focus, `<av_moderation>` to the component that
the domain names in its disco identity `av_moderation` (here the focus itself). Others are told in theirs: `<mute>` from
the focus, `<json-message>` from the component.
"""

import json
from typing import Any, Protocol
from xml.etree.ElementTree import Element

from tests.meeting.rooms import Occupant, Room

JITSI_MEET = "http://jitsi.org/jitmeet"
MEDIA = ("audio", "video")


class Speaker(Protocol):
    """Who sends for us."""

    async def ask(self, to: str, query: Element) -> None:
        """Send an IQ of type `set` and wait for its result."""

    def tell(self, to: str, content: Element) -> None:
        """Send a message from the component."""


class NotAllowedError(Exception):
    """Who asked may not do that, or not to that one."""


class Moderation:
    """The rules."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    async def welcome(self, room: Room, newcomer: Occupant) -> None:
        """Tell somebody who has come what is moderated, and have it off."""
        for media in list(room.moderated):
            self._tell(room, newcomer, {"enabled": True, "mediaType": media})
            if not newcomer.is_trusted_jibri:
                await self._mute(room, newcomer, media, newcomer)

    async def mute(self, room: Room, asker: str, media: str, request: Element) -> None:
        """Carry out a `<mute>` of the occupant `asker`, as jicofo does.

        Raises:
            NotAllowedError: the asker is no moderator, the one to be muted is a trusted Jibri, or the asker wants to be
                heard again where moderation does not let them.
            LookupError: nobody is called so.
        """
        muter, target = room.find(asker), room.find(request.get("jid", "").rpartition("/")[2])
        is_self = muter is target
        is_mute = request.text == "true"
        if not is_self and not (muter.is_owner and is_mute):
            raise NotAllowedError("only moderators mute others, and nobody unmutes others")
        if is_self and not is_mute and not self._may_unmute(room, muter, media):
            raise NotAllowedError("moderated")
        if target.is_trusted_jibri:
            raise NotAllowedError("Jibris are not muted by force")
        if not is_self:
            await self._mute(room, target, media, muter)

    async def command(self, room: Room, asker: Occupant, command: Element) -> None:
        """Carry out an `<av_moderation>` of a moderator."""
        media = command.get("mediaType", "")
        if not asker.is_owner or media not in MEDIA:
            return
        if (enable := command.get("enable")) is not None:
            await self._moderate(room, media, asker, enabled=enable == "true")
        elif (jid := command.get("jidToWhitelist")) is not None:
            self._let(room, media, jid, approved=True)
        elif (jid := command.get("jidToBlacklist")) is not None:
            self._let(room, media, jid, approved=False)

    async def _moderate(self, room: Room, media: str, actor: Occupant, *, enabled: bool) -> None:
        if enabled == (media in room.moderated):
            return
        if enabled:
            room.moderated[media] = set()
        else:
            del room.moderated[media]
        for occupant in room.occupants.values():
            told = {"enabled": enabled, "mediaType": media, "actor": f"{room.jid}/{actor.nick}"}
            self._tell(room, occupant, told)
        if enabled:
            for occupant in list(room.occupants.values()):
                if occupant is not actor and not occupant.is_trusted_jibri:
                    await self._mute(room, occupant, media, actor)

    def _let(self, room: Room, media: str, jid: str, *, approved: bool) -> None:
        approvals = room.moderated.get(media)
        target = room.find(jid.rpartition("/")[2])
        if approvals is None:
            return
        if approved:
            approvals.add(target.nick)
        else:
            approvals.discard(target.nick)
        self._tell(room, target, {"approved" if approved else "removed": True, "mediaType": media})

    @staticmethod
    def _may_unmute(room: Room, occupant: Occupant, media: str) -> bool:
        return occupant.is_owner or media not in room.moderated or occupant.nick in room.moderated[media]

    async def _mute(self, room: Room, target: Occupant, media: str, actor: Occupant) -> None:
        request = Element(f"{{{JITSI_MEET}/{media}}}mute", {"actor": f"{room.jid}/{actor.nick}"})
        request.text = "true"
        await self._speaker.ask(f"{room.jid}/{target.nick}", request)

    def _tell(self, room: Room, occupant: Occupant, said: dict[str, Any]) -> None:
        message = Element(f"{{{JITSI_MEET}}}json-message")
        message.text = json.dumps({"type": "av_moderation", "room": room.jid, **said})
        self._speaker.tell(occupant.jid, message)
