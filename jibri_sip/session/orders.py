"""A session ordered from outside by somebody who speaks Jibri's protocols: jicofo, or a component sidecar."""

from dataclasses import dataclass, field

from jibri_sip.dial_plan import SipAccount, Target

BY_HTTP = "http"
"""Orderer of sessions that came by Jibri's external HTTP API; webhooks tell of these."""


@dataclass(frozen=True, kw_only=True)
class ServiceOrder:
    """What the session is to be.

    Attributes:
        reference: The orderer's own id of the session; told back, never interpreted.
        orderer: Whom to tell, as the orderer knows itself: the front end finds its sessions by it.
        target: The meeting, and as whom to join it.
        sip_address: Whom to call, `user@host` with or without `sip:`; who is to call, where a call is awaited.
        caller_name: Display name of the gateway towards the peer.
        account: SIP account to call, or be called, with; None for none.
        await_call_s: Wait for a call for so many seconds and answer it; None to dial out.
        usage_timeout_s: Longest session, seconds; 0 for no limit.
        environment: XMPP environment and host that it came by, `name-host`, for the health API; empty for none.
    """

    reference: str
    orderer: str
    target: Target
    sip_address: str
    caller_name: str = ""
    account: SipAccount | None = field(default=None, repr=False)
    await_call_s: float | None = None
    usage_timeout_s: float = 0.0
    environment: str = ""
