"""What becomes of received packets: order, gaps, patience; and of sent ones that are asked for again."""

import ctypes
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

NATIVE = Path(__file__).parents[3] / "jibri_sip" / "sip" / "native"
PASS, HELD, DROP, RESTART = range(4)
AGAIN_US, HOLD_US = 50_000, 150_000
ROOM = 2 << 20
"""More than struct reorder and struct resend take."""
BURST = 98304
NEVER = (1 << 64) - 1


class Times(ctypes.Structure):
    """struct reorder_times."""

    _fields_ = (("again_us", ctypes.c_uint64), ("hold_us", ctypes.c_uint64))


TIMES = Times(AGAIN_US, HOLD_US)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The three files that know nothing of PJSIP, with the sanitizer of undefined behaviour, which aborts."""
    library = tmp_path_factory.mktemp("reorder") / "reorder.so"
    sources = [str(NATIVE / name) for name in ("reorder.c", "resend.c", "rtcp.c")]
    options = ["-shared", "-fPIC", "-g", "-fsanitize=undefined", "-fno-sanitize-recover=undefined"]
    subprocess.run(["cc", *options, *sources, "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))
    for name in ("reorder_take", "reorder_flush", "resend_want"):
        getattr(loaded, name).restype = ctypes.c_void_p
    loaded.reorder_due.restype = ctypes.c_uint64
    loaded.rtcp_write_nack.restype = ctypes.c_size_t
    return loaded


def rtp(number: int, source: int = 7) -> bytes:
    """A packet that says its number in its payload, too."""
    return struct.pack("!BBHIIH", 0x80, 97, number & 0xFFFF, number, source, number & 0xFFFF)


class Reorder:
    """A struct reorder, and what passed it."""

    def __init__(self, native: ctypes.CDLL) -> None:
        self._native = native
        self._memory = ctypes.create_string_buffer(ROOM)
        self.passed: list[int] = []
        self.now_us = 1_000_000
        self.round_trip_us = 0
        native.reorder_reset(self._memory)

    def _drain(self, take: Any, *arguments: Any) -> None:
        while slot := take(self._memory, *arguments):
            self.passed.append(int.from_bytes(ctypes.string_at(slot + 12, 2), "big"))

    def put(self, number: int, source: int = 7) -> int:
        """Have a packet come."""
        packet, took = rtp(number, source), ctypes.c_uint64()
        verdict: int = self._native.reorder_put(
            self._memory, packet, ctypes.c_size_t(len(packet)), ctypes.c_uint64(self.now_us), ctypes.byref(took)
        )
        self.round_trip_us = took.value
        if verdict == RESTART:
            self._drain(self._native.reorder_flush)
            assert self.put(number, source) == PASS
            return RESTART
        if verdict == PASS:
            self.passed.append(number & 0xFFFF)
        self.wait(0)
        return verdict

    def wait(self, us: int) -> None:
        """Let time pass."""
        self.now_us += us
        self._drain(self._native.reorder_take, ctypes.c_uint64(self.now_us), ctypes.byref(TIMES))

    def asked(self) -> Sequence[int]:
        """What is to be asked for now."""
        numbers = (ctypes.c_uint16 * 128)()
        count = self._native.reorder_ask(self._memory, ctypes.c_uint64(self.now_us), ctypes.byref(TIMES), numbers, 128)
        return numbers[:count]

    def due_in_us(self) -> int | None:
        """How long nothing is to be done."""
        due: int = self._native.reorder_due(self._memory, ctypes.c_uint64(self.now_us), ctypes.byref(TIMES))
        return None if due == NEVER else due - self.now_us


def test_in_order(native: ctypes.CDLL) -> None:
    """What comes in order passes at once, over the end of the numbers, and there is nothing to do."""
    reorder = Reorder(native)
    for number in range(65530, 65546):
        assert reorder.put(number) == PASS
        assert reorder.due_in_us() is None
    assert reorder.passed == [number & 0xFFFF for number in range(65530, 65546)]
    assert reorder.asked() == []


def test_gap(native: ctypes.CDLL) -> None:
    """What is behind a gap waits, the gap is asked for at once and then again; filled, all passes in order."""
    reorder = Reorder(native)
    for number, verdict in ((65534, PASS), (1, HELD), (2, HELD)):
        assert reorder.put(number) == verdict
    assert reorder.due_in_us() == 0
    assert reorder.asked() == [65535, 0]
    assert reorder.asked() == []
    assert reorder.due_in_us() == AGAIN_US
    assert reorder.put(2) == DROP
    reorder.wait(40_000)
    assert reorder.put(0) == HELD
    assert reorder.round_trip_us == 40_000
    reorder.wait(10_000)
    assert reorder.asked() == [65535]
    reorder.wait(40_000)
    assert reorder.put(65535) == PASS
    assert reorder.round_trip_us == 0  # Nobody knows which of the two requests it answers.
    assert reorder.passed == [65534, 65535, 0, 1, 2]
    assert reorder.due_in_us() is None


def test_given_up(native: ctypes.CDLL) -> None:
    """A gap holds up no longer than it may; the next one has its own time."""
    reorder = Reorder(native)
    reorder.put(10)
    reorder.put(12)
    reorder.wait(100_000)
    reorder.put(14)
    reorder.wait(HOLD_US - 100_001)
    assert reorder.passed == [10]
    reorder.wait(1)
    assert reorder.passed == [10, 12]
    assert reorder.put(11) == PASS  # Too late; it is for the stream above to drop it.
    reorder.wait(100_000)
    assert reorder.passed == [10, 12, 11, 14]
    assert reorder.due_in_us() is None


@pytest.mark.parametrize(("after_us", "round_trip_us"), [(299_999, 299_999), (300_000, 0), (900_000, 0)])
def test_answer_after_a_standstill(native: ctypes.CDLL, after_us: int, round_trip_us: int) -> None:
    """An answer that was read when nobody waits any more says nothing of the network: it would end all asking."""
    reorder = Reorder(native)
    reorder.put(1)
    reorder.put(3)
    assert reorder.asked() == [2]
    reorder.now_us += after_us  # and nothing else was done meanwhile
    assert reorder.put(2) == PASS
    assert reorder.round_trip_us == round_trip_us
    assert reorder.passed == [1, 2, 3]


def test_asked_four_times(native: ctypes.CDLL) -> None:
    """A packet is not asked for for ever, were its time never up."""
    reorder = Reorder(native)
    reorder.put(1)
    reorder.put(3)
    patient = Times(1000, 10**12)
    numbers = (ctypes.c_uint16 * 128)()
    asked = 0
    for _ in range(10):
        asked += native.reorder_ask(
            reorder._memory, ctypes.c_uint64(reorder.now_us), ctypes.byref(patient), numbers, 128
        )
        reorder.now_us += 1000
    assert asked == 4


@pytest.mark.parametrize(("number", "source"), [(200, 7), (11, 8), (40_000, 7)])
def test_restart(native: ctypes.CDLL, number: int, source: int) -> None:
    """After a wide gap, from another source, or far from all before, what was held passes, and all begins anew."""
    reorder = Reorder(native)
    reorder.put(10)
    reorder.put(12)
    assert reorder.put(number, source) == RESTART
    assert reorder.passed == [10, 12, number]
    assert reorder.put(number + 1, source) == PASS
    assert reorder.asked() == []


@given(st.data())
def test_any_network(native: ctypes.CDLL, data: st.DataObject) -> None:
    """Lost, repeated, late or out of order: each packet passes at most once in order, and none is kept for ever."""
    reorder = Reorder(native)
    first = data.draw(st.integers(0, 65535))
    sent = list(range(first, first + data.draw(st.integers(2, 60))))
    came = data.draw(st.lists(st.sampled_from(sent), max_size=120))
    reorder.put(first)
    for number in came:
        reorder.wait(data.draw(st.sampled_from([0, 1000, 60_000])))
        reorder.put(number)
        for asked in reorder.asked():
            assert asked not in reorder.passed
    reorder.wait(HOLD_US)
    assert reorder.due_in_us() is None
    assert set(reorder.passed) == {number & 0xFFFF for number in {first, *came}}


def test_resend(native: ctypes.CDLL) -> None:
    """The last packets are there, each to be had once a round trip, and all together no more than their share."""
    memory = ctypes.create_string_buffer(ROOM)
    native.resend_reset(memory)
    big = rtp(0)[:12] + bytes(1188)

    def keep(number: int) -> None:
        packet = big[:2] + (number & 0xFFFF).to_bytes(2, "big") + big[4:]
        native.resend_keep(memory, packet, ctypes.c_size_t(len(packet)))

    def want(number: int, now_us: int) -> bool:
        found = native.resend_want(memory, number & 0xFFFF, ctypes.c_uint64(now_us), ctypes.c_uint64(40_000))
        return found is not None

    for number in range(65_000, 66_000):
        keep(number)
    assert want(65_999, 1)
    assert not want(65_999, 40_000)
    assert want(65_999, 40_001)
    assert not want(65_400, 1)  # Too old.
    assert not want(66_000, 1)  # Not sent yet.
    had = sum(want(number, 2) for number in range(65_500, 65_999))
    assert had == BURST // 1200 - 2
    for number in range(66_000, 66_010):
        keep(number)
    assert sum(want(number, 3) for number in range(66_000, 66_010)) == 5


def test_nack_on_the_wire(native: ctypes.CDLL) -> None:
    """Numbers are packed as RFC 4585 section 6.2.1 says, over the end of the numbers too, and read as they were."""

    class Head(ctypes.Structure):
        _fields_ = (("source", ctypes.c_uint32), ("size", ctypes.c_uint8), ("cname", ctypes.c_char * 64))

    class Part(ctypes.Structure):
        _fields_ = (
            ("type", ctypes.c_uint8),
            ("count", ctypes.c_uint8),
            ("data", ctypes.c_void_p),
            ("size", ctypes.c_size_t),
        )

    head = Head(0x11223344, 5, b"a@b.c")
    wanted = [65530, 65535, 0, 10, 11, 100]
    numbers = (ctypes.c_uint16 * len(wanted))(*wanted)
    packet = ctypes.create_string_buffer(640)
    size = native.rtcp_write_nack(packet, ctypes.c_size_t(640), ctypes.byref(head), 0x55667788, numbers, len(wanted))
    assert packet.raw[:size].hex() == (
        "80c9000111223344"  # empty receiver report
        "81ca000311223344"
        "01056140622e6300"  # a@b.c as CNAME
        "81cd00051122334455667788"
        "fffa8030"
        "000b0000"
        "00640000"
    )
    at, left, part, read = ctypes.c_void_p(ctypes.addressof(packet)), ctypes.c_size_t(size), Part(), []
    while native.rtcp_next(ctypes.byref(at), ctypes.byref(left), ctypes.byref(part)):
        found = (ctypes.c_uint16 * 64)()
        read += found[: native.rtcp_nacked(ctypes.byref(part), 0x55667788, found, 64)]
    assert read == wanted
    assert native.rtcp_write_nack(packet, ctypes.c_size_t(40), ctypes.byref(head), 1, numbers, len(wanted)) == 0
