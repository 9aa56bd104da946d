"""Jibri's XML, read and written: `<jibri>` IQs and the presence extension, as jitsi-xmpp-extensions has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from xml.etree.ElementTree import Element, SubElement

JIBRI = "http://jitsi.org/protocol/jibri"
HEALTH = "http://jitsi.org/protocol/health"
MUC = "http://jabber.org/protocol/muc"
MUC_USER = f"{MUC}#user"
MUC_OWNER = f"{MUC}#owner"
DATA_FORM = "jabber:x:data"
JIBRI_TAG = f"{{{JIBRI}}}jibri"


class Action(StrEnum):
    """What is asked."""

    START = "start"
    STOP = "stop"
    UNDEFINED = "undefined"


class Status(StrEnum):
    """What is told."""

    ON = "on"
    OFF = "off"
    PENDING = "pending"


class Failure(StrEnum):
    """Why a session is off."""

    BUSY = "busy"
    """This instance had another one."""
    ERROR = "error"


@dataclass(frozen=True)
class Request:
    """A `<jibri>` that somebody sent.

    Attributes:
        action: What is asked; anything but start and stop is undefined.
        room: Bare address of the conference's MUC.
        sip_address: Whom to call; empty where a recording is asked for.
        display_name: Name to call with.
        session_id: The orderer's.
        rtcstats: Whether the page is to send statistics; None where nothing is said.
    """

    action: Action
    room: str = ""
    sip_address: str = ""
    display_name: str = ""
    session_id: str = ""
    rtcstats: bool | None = None


_RTCSTATS: Mapping[str, bool] = MappingProxyType({"true": True, "false": False})


def read(element: Element) -> Request:
    """The request in a `<jibri>`; attributes and children that we do not know (a TraceParent) are let be."""
    word = element.get("action", "").casefold()
    return Request(
        action=Action(word) if word in {Action.START, Action.STOP} else Action.UNDEFINED,
        room=element.get("room", ""),
        sip_address=element.get("sipaddress", "").strip(),
        display_name=element.get("displayname", ""),
        session_id=element.get("session_id", ""),
        rtcstats=_RTCSTATS.get(element.get("rtcstats_enabled", "").casefold()),
    )


@dataclass(frozen=True)
class Report:
    """What is told of a session.

    Attributes:
        status: How it stands.
        sip_address: By which jicofo finds its session.
        failure: Why it is off, where it failed.
        should_retry: Whether jicofo shall try another instance; goes with `failure`, and is always told with it, for
            without it jicofo would not.
    """

    status: Status
    sip_address: str = ""
    failure: Failure | None = None
    should_retry: bool = field(default=False)

    def element(self) -> Element:
        """The `<jibri>`."""
        attributes = {"status": self.status.value}
        if self.sip_address:
            attributes["sipaddress"] = self.sip_address
        if self.failure is not None:
            attributes["failure_reason"] = self.failure.value
            attributes["should_retry"] = "true" if self.should_retry else "false"
        return Element(JIBRI_TAG, attributes)


def status_extension(*, idle: bool, healthy: bool) -> Element:
    """`<jibri-status>` of the presence; jicofo takes an instance that is idle and healthy, and wants both children."""
    extension = Element(f"{{{JIBRI}}}jibri-status")
    SubElement(extension, f"{{{JIBRI}}}busy-status", {"status": "idle" if idle else "busy"})
    SubElement(extension, f"{{{HEALTH}}}health-status", {"status": "healthy" if healthy else "unhealthy"})
    return extension


def room_configuration() -> Element:
    """What the creator of a room submits (XEP-0045 section 10.1.3): everybody may see real addresses."""
    query = Element(f"{{{MUC_OWNER}}}query")
    form = SubElement(query, f"{{{DATA_FORM}}}x", {"type": "submit"})
    for name, value in (("FORM_TYPE", f"{MUC}#roomconfig"), ("muc#roomconfig_whois", "anyone")):
        entry = SubElement(form, f"{{{DATA_FORM}}}field", {"var": name})
        SubElement(entry, f"{{{DATA_FORM}}}value").text = value
    return query
