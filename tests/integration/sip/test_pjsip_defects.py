"""What PJSIP 2.17 does wrong with a peer's data, and our patches mend (docs/pjsip-defects.md).

An ordinary build may survive most of it by luck; test_sanitized.py repeats this where nothing is overlooked.
"""

import asyncio
import re

import pytest
from pydantic import SecretStr

from jibri_sip.dial_plan import SipAccount
from tests.integration.sip.conftest import SOON_S, Gateway
from tests.peer.provider import Send, SipProvider
from tests.peer.raw import AUDIO, VIDEO, RawCaller, sdp

pytestmark = pytest.mark.asyncio(loop_scope="module")

_SAVP = AUDIO.replace("AVP", "SAVP")
_KEY = "AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40
OFFERS = {
    # 0040
    "payload type of 16 bits": sdp(f"{AUDIO}a=rtpmap:65535 x/8000\na=fmtp:65535 a=b\n", VIDEO),
    "payload type of 32 bits": sdp(f"{AUDIO}a=rtpmap:4294967295 x/8000\na=rtpmap:128 opus/48000/2\n"),
    "format of 16 bits": sdp(AUDIO.replace("0 101", "0 101 65535 128")),
    # 0041
    "sixty-six keys": sdp(_SAVP + "".join(f"a=crypto:{n} {_KEY}\n" for n in range(1, 67))),
    # 0047
    "profile of DTLS without a fingerprint": sdp(AUDIO.replace("RTP/AVP", "UDP/TLS/RTP/SAVP"), VIDEO),
    "profile of DTLS with a wrong fingerprint": sdp(
        AUDIO.replace("RTP/AVP", "UDP/TLS/RTP/SAVP") + "a=fingerprint:sha-256 00:11\na=setup:actpass\n"
    ),
    "sixty-six unknown keys": sdp(_SAVP + "".join(f"a=crypto:{n} UNKNOWN inline:{'A' * 40}\n" for n in range(1, 67))),
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
async def test_offer(gateway: Gateway, offer: str) -> None:
    """An offer with more, or larger numbers, than PJSIP has places for is answered or refused; the next is served."""
    for body in (offer, sdp(AUDIO)):
        async with RawCaller(gateway.endpoint.ports.udp) as caller:
            caller.request("INVITE", body)
            code, text = await taken(gateway, caller)
            assert code in {200, 400, 406, 480, 488, 500}
            caller.request("ACK")
            if code == 200:
                caller.request("BYE")
                await caller.response()
    assert code == 200
    assert "m=audio" in text


async def taken(gateway: Gateway, caller: RawCaller) -> tuple[int, str]:
    """The final response to an INVITE, whose call is answered if there is one."""
    response = asyncio.create_task(caller.response())
    incoming = asyncio.create_task(gateway.incoming.get())
    await asyncio.wait((response, incoming), return_when=asyncio.FIRST_COMPLETED)
    if incoming.done():
        await incoming.result().answer()
    incoming.cancel()
    return await response


async def test_offer_of_ours_after_sixteen_lines(gateway: Gateway) -> None:
    """A peer that opened as many lines as there may be gets no seventeenth in our next offer (0042)."""
    lines = [AUDIO, *["m=audio 0 RTP/AVP 0"] * 15]
    async with RawCaller(gateway.endpoint.ports.udp) as caller:
        caller.request("INVITE", sdp(*lines))
        code, _ = await taken(gateway, caller)
        assert code == 200
        caller.request("ACK")
        for _ in range(2):
            caller.request("INVITE")
            code, text = await caller.response()
            assert code == 200
            assert len(re.findall("(?m)^m=", text)) == 16
            caller.request("ACK", sdp(*lines))
        caller.request("BYE")
        assert (await caller.response())[0] == 200


class RoutingProvider(SipProvider):
    """A registrar that wants requests to go by more proxies than there may be (RFC 3608)."""

    def _respond(self, request: str, send: Send, code: int, more: dict[str, str]) -> None:
        routes = "\r\nService-Route: ".join(f"<sip:192.0.2.{n};lr>" for n in range(1, 21))
        super()._respond(request, send, code, {**more, "Service-Route": routes})


async def test_registrar_with_twenty_routes(gateway: Gateway) -> None:
    """A registrar that names twenty of them has the account registered all the same, and calls go as before (0045)."""
    async with RoutingProvider("room7", None) as provider:
        signed_on = await gateway.endpoint.sign_on(SipAccount(provider.account, SecretStr("x")))
        await asyncio.wait_for(signed_on.registered(), SOON_S)
        call = await gateway.endpoint.dial(f"sip:callee@127.0.0.1:{provider.port}", provider=signed_on)
        await call.wait_ended()
        assert "Route:" not in provider.of("INVITE")[0]
        await signed_on.close()
        await provider.registered(now=False)
