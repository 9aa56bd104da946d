"""From the address of a conference's MUC to the address of its page, as Jibri's `XmppUtils` has it."""

from dataclasses import dataclass

from jibri_sip.dial_plan import decoded_user
from jibri_sip.errors import RoomInvalid


@dataclass(frozen=True)
class Place:
    """A meeting's page: `base_url[/tenant]/room`, the room by its name, without percent-encoding."""

    base_url: str
    tenant: str
    room: str


def place_of(room_jid: str, *, domain: str, strip: str, base_url: str | None) -> Place:
    """Where the meeting of this MUC is.

    Args:
        room_jid: `room@conference.[tenant.]domain`; Jitsi Meet percent-encodes the room's name for it.
        domain: XMPP domain of the deployment; what stands before it is the tenant.
        strip: What is left out of the MUC's domain first, as in `conference.`.
        base_url: Address of the deployment's pages; by default `https://` and the domain.

    Raises:
        RoomInvalid: it is no address of a room of this deployment.
    """
    room, at, muc_domain = room_jid.partition("/")[0].rpartition("@")
    if not at or not room:
        raise RoomInvalid(f"{room_jid[:200]} is no address of a room")
    whole = _without(muc_domain.casefold(), strip.casefold())
    suffix = domain.casefold()
    if whole != suffix and not whole.endswith(f".{suffix}"):
        raise RoomInvalid(f"{room_jid[:200]} is no room of {domain}")
    tenant = whole[: -len(suffix)].rstrip(".")
    return Place(base_url or f"https://{domain}", tenant, decoded_user(room))


def _without(text: str, part: str) -> str:
    """The text without the first occurrence of the part."""
    return text.replace(part, "", 1) if part else text
