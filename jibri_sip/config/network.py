"""Settings of how SIP and RTP get through routers that translate addresses."""

from typing import Annotated, Literal

from pydantic import Field

from jibri_sip.config.types import Section


class NetworkSettings(Section):
    """Routers that translate addresses. See docs/networks.md."""

    media_from: Literal["peer", "network", "anywhere"] = Field(
        default="peer",
        description="Whose media is taken, and where media then goes (symmetric RTP): of the addresses that the peer's "
        "SIP and SDP came with, of their networks too (/24, /64), or of whoever sends it to the right port.",
    )
    keep_alive_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=25,
        description="A CRLF is sent so often on SIP connections and, while an account is registered, by UDP to its "
        "registrar, so that routers keep the way back open. Seconds; 0 for never.",
    )
