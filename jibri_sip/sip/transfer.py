"""Calls that peers hand on: REFER (RFC 3515, RFC 5589), and INVITE with Replaces (RFC 3891).

PJSIP makes the new call, and tells the old peer how it goes (NOTIFY with sipfrag); what is here says whether it may.
"""

import re
from collections.abc import Callable
from typing import Literal, Protocol

import structlog

from jibri_sip.config.model import DialOutSettings
from jibri_sip.dial_plan import destination
from jibri_sip.errors import DestinationInvalid
from jibri_sip.sip import message
from jibri_sip.sip.call import Call, Facts
from jibri_sip.sip.events import HandedOn
from jibri_sip.sip.leg import Leg

log = structlog.get_logger(__name__)

_REPLACES = re.compile(r"(?i)replaces=[A-Za-z0-9\-.!%*_+`'~()<>:\\\"/\[\]?{}@]+")
"""A header field of the new INVITE, escaped (RFC 3891 section 4): the call that this one is to take the place of."""
_REQUIRE = re.compile(r"(?i)require=replaces")


class Begin(Protocol):
    """Makes the call that comes after another one, of the same account."""

    def __call__(self, before: Leg, direction: Literal["incoming", "outgoing"], facts: Facts) -> tuple[Leg, Call]:
        """The leg, which PJSIP has yet to give a number, and its call."""
        ...


class Transfers:
    """Lets peers hand their calls on, to whom we may call anyway.

    Args:
        allowed: who that is.
        begin: makes the new call.
    """

    def __init__(self, allowed: DialOutSettings, begin: Begin) -> None:
        self._allowed = allowed
        self._begin = begin

    def refer(self, before: Leg, refer_to: str, tell: Callable[[HandedOn], None]) -> Leg:
        """The call that a peer asks for by REFER; PJSIP dials it next.

        Args:
            before: the peer's call.
            refer_to: the value of Refer-To.
            tell: hears of the new call.

        Raises:
            DestinationInvalid: not an address to call, or one with header fields other than Replaces.
            DestinationNotAllowed: dial_out.allow does not have it.
        """
        called = destination(target(refer_to), self._allowed)
        port = f":{called.port}" if called.port is not None else ""
        remote = f"{'sips' if called.secure else 'sip'}:{called.user}@{called.host}{port}"
        facts = Facts("", remote, "", message.SipUri.parse(called.uri), {}, video=True)
        leg, call = self._begin(before, "outgoing", facts)
        log.info("call_handed_on", to=called.uri)
        tell(HandedOn(call))
        return leg

    def replace(self, before: Leg, invite: str, tell: Callable[[HandedOn], None]) -> Leg:
        """The call that is to take the place of another; PJSIP answers it next, and ends the other.

        Args:
            before: the call that it names in Replaces.
            invite: its INVITE.
            tell: hears of the new call.

        Raises:
            ValueError: it is no INVITE that we can read.
        """
        uri, headers = message.parse_request(invite)
        name, remote = message.split_address(headers["from"][0] if "from" in headers else "")
        call_id = headers["call-id"][0] if "call-id" in headers else ""
        leg, call = self._begin(before, "incoming", Facts(call_id, remote, name, uri, headers, video=True))
        log.info("call_taken_over", by=remote)
        tell(HandedOn(call))
        return leg


def target(refer_to: str) -> str:
    """The address in Refer-To, without the header fields that the new INVITE is to have.

    Raises:
        DestinationInvalid: there are others than Replaces.
    """
    uri = message.split_address(refer_to)[1] if "<" in refer_to else message.readable(refer_to).strip()
    address, _, fields = uri.partition("?")
    for field in filter(None, fields.split("&")):
        if _REPLACES.fullmatch(field) is None and _REQUIRE.fullmatch(field) is None:
            raise DestinationInvalid(message.readable(refer_to)[:100])
    return address
