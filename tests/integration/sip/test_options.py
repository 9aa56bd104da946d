"""OPTIONS tells dispatchers, trunks and gatekeepers what we can do, and whether a call would be taken now."""

import asyncio
import re

import pytest
import pytest_asyncio

from tests.integration.sip.conftest import Gateway
from tests.integration.sip.raw_calls import both, up
from tests.peer.raw_peer import RawPeer, sections

pytestmark = pytest.mark.asyncio(loop_scope="module")


def listed(message: str, name: str) -> set[str]:
    """What a header field lists."""
    return {item.strip() for line in re.findall(rf"(?im)^{name}:(.*)\r$", message) for item in line.split(",")}


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _free_again(gateway: Gateway) -> None:
    gateway.endpoint.say_free(free=True)


async def asked(gateway: Gateway) -> tuple[int, str]:
    """The answer to OPTIONS."""
    async with RawPeer(gateway.endpoint.ports.udp) as peer:
        peer.request("OPTIONS", headers={"Accept": "application/sdp"})
        return await peer.response()


async def test_what_we_can_do(gateway: Gateway) -> None:
    """Methods, extensions, bodies and codecs, with ports of zero (RFC 3264 section 9); not what we refuse anyway."""
    code, text = await asked(gateway)
    assert code == 200
    assert listed(text, "Allow") == {"INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "OPTIONS"}
    assert listed(text, "Supported") >= {"100rel", "timer"}
    assert listed(text, "Accept") == {
        "application/sdp",
        "application/media_control+xml",
        "application/dtmf-relay",
        "application/dtmf",
    }
    assert not listed(text, "Allow-Events")
    audio, video = sections(text)
    assert (audio.kind, audio.port, video.kind, video.port) == ("audio", 0, "video", 0)
    codecs = [audio.attribute(f"rtpmap:{number}") for number in audio.formats]
    assert codecs[:4] == ["opus/48000/2", "G722/8000", "PCMA/8000", "PCMU/8000"]
    assert set(codecs[4:]) == {"telephone-event/48000", "telephone-event/8000"}
    assert video.attribute("rtpmap:97") == "H264/90000"


async def test_busy(gateway: Gateway) -> None:
    """503 with Retry-After while no call would be taken, and 200 again afterwards."""
    gateway.endpoint.say_free(free=False)
    code, text = await asked(gateway)
    assert code == 503
    assert listed(text, "Retry-After") == {"30"}
    gateway.endpoint.say_free(free=True)
    assert (await asked(gateway))[0] == 200
    assert gateway.incoming.empty()


async def test_within_a_call(gateway: Gateway) -> None:
    """In the call itself, where an SBC asks whether the call is still there, the answer is 200; of none, 481."""
    async with up(gateway) as session:
        gateway.endpoint.say_free(free=False)
        session.peer.request("OPTIONS")
        assert (await session.peer.response())[0] == 200
        session.peer.request("INVITE", session.peer.describe(*both(session.peer)))
        assert (await session.peer.response())[0] == 200
        session.peer.request("ACK")
        gateway.endpoint.say_free(free=True)
        async with RawPeer(gateway.endpoint.ports.udp) as stranger:
            stranger.remote_tag = "nobody"
            stranger.request("OPTIONS")
            assert (await stranger.response())[0] == 481


async def test_answered_while_everything_else_is_busy(gateway: Gateway) -> None:
    """A thousand questions in a row are answered within seconds while a call is up, and the call goes on."""
    async with up(gateway) as session, RawPeer(gateway.endpoint.ports.udp) as peer:
        async with asyncio.timeout(40):
            for _ in range(50):
                for _ in range(20):
                    peer.request("OPTIONS")
                for _ in range(20):
                    assert (await peer.response())[0] == 200
                peer.remote_tag = ""
        session.peer.forget_media()
        await session.peer.picture.receive(3)
