"""Messages of STUN, with what RFC 5769 gives as examples."""

import asyncio
import socket
import struct

import pytest

from jibri_sip.sip.stun import OwnSocket, answered_address, question

COOKIE = bytes.fromhex("2112a442")
NUMBER = bytes.fromhex("b7e7a701bc34d686fa87dfae")
SOFTWARE = bytes.fromhex("8022000b7465737420766563746f7220")
MAPPED = bytes.fromhex("002000080001a147e112a643")
IPV6 = bytes.fromhex("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9")
OLD = bytes.fromhex("00010008000180 55c0000207")


def answer(*attributes: bytes, kind: int = 0x0101, cookie: bytes = COOKIE) -> bytes:
    """A message of a server's."""
    body = b"".join(attributes)
    return struct.pack("!HH", kind, len(body)) + cookie + NUMBER + body


def test_question() -> None:
    """A binding request without attributes, and never the same twice."""
    assert question()[:8] == bytes.fromhex("000100002112a442")
    assert len(question()) == 20
    assert question() != question()


@pytest.mark.parametrize(
    ("message", "seen"),
    [
        (answer(SOFTWARE, MAPPED), ("192.0.2.1", 32853)),
        (answer(MAPPED), ("192.0.2.1", 32853)),
        (answer(OLD, MAPPED), ("192.0.2.1", 32853)),
        (answer(OLD), ("192.0.2.7", 32853)),
        (answer(SOFTWARE, IPV6), None),
        (answer(SOFTWARE), None),
        (answer(MAPPED, kind=0x0111), None),
        (answer(MAPPED, kind=0x0001), None),
        (answer(MAPPED, cookie=bytes(4)), None),
        (answer(MAPPED)[:-1], None),
        (answer(MAPPED)[:19], None),
        (answer(b"\0\x20\xff\xff" + MAPPED), None),
        (answer(b"\0\x20\0\x04\0\1\xa1\x47"), None),
        (b"", None),
    ],
)
def test_answers(message: bytes, seen: tuple[str, int] | None) -> None:
    """The address is read where there is one; what is cut off, or nonsense, tells none."""
    assert answered_address(message) == seen


async def test_own_socket_hears_who_was_asked() -> None:
    """An answer counts if it has the number of the last question, of which strangers know nothing."""
    heard: list[bytes] = []
    asking = OwnSocket("127.0.0.1", heard.append)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        asked = question()
        await asking.ask("127.0.0.1", server.getsockname()[1], asked)
        message, sender = await asyncio.get_running_loop().sock_recvfrom(server, 100)
        assert message == asked
        for reply in (answer(MAPPED), b"", asked[:19], asked):
            server.sendto(reply, sender)
        async with asyncio.timeout(5):
            while not heard:  # noqa: ASYNC110  (nobody tells of it)
                await asyncio.sleep(0.01)
        assert heard == [asked]
    asking.close()


async def test_own_socket_without_its_address() -> None:
    """An address that the machine has not got just now is silence, and no more."""
    asking = OwnSocket("192.0.2.1", print)
    await asking.ask("127.0.0.1", 9, question())
    asking.close()
