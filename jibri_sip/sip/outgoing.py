"""Calls of ours: the INVITE, and the next server where one is silent (RFC 3263 section 4.3)."""

from collections.abc import Mapping
from dataclasses import dataclass

import pjsua2 as pj

from jibri_sip.sip import message
from jibri_sip.sip.events import Ended
from jibri_sip.sip.leg import Leg
from jibri_sip.sip.provider import Provider

SILENT_S = 3.0
"""How long a server may be silent, not even Trying, before the next is asked. PJSIP alone gives up after 32 s."""
_UNAVAILABLE = 503


@dataclass(frozen=True)
class Invite:
    """What a call was asked for.

    Attributes:
        uri: address to call.
        target: the same, taken apart.
        caller_name: display name in From.
        video: whether to offer video.
        headers: more header fields.
        provider: the account to call with, where it is a provider's.
    """

    uri: str
    target: message.SipUri
    caller_name: str
    video: bool
    headers: Mapping[str, str]
    provider: Provider | None

    @property
    def next_hop(self) -> str:
        """Whose servers take it: the account's proxy, or the address' host."""
        return (self.provider and self.provider.proxy_host) or self.target.host

    def send(self, leg: Leg, own_uri: str) -> None:
        """Send it; on the PJSIP thread.

        Raises:
            pjsua2.Error: PJSIP cannot.
        """
        param = leg.param()
        param.txOption.localUri = message.join_address(self.caller_name, own_uri)
        for name, value in self.headers.items():
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            param.txOption.headers.append(header)
        leg.offer_next(lambda: leg.makeCall(self.uri, param))


def is_of_server(event: Ended) -> bool:
    """Whether this is the end of an attempt that another server may do better at."""
    return event.by_peer and not event.answered and event.code == _UNAVAILABLE
