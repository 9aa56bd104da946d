"""What a stream of H.264 says of its pictures: the little of a sequence parameter set that a test looks at."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_SPS = 7
_STAP_A = 24
_SLICES = frozenset({1, 5})
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128})
_MACROBLOCK = 16


@dataclass(frozen=True)
class Sequence:
    """Of a sequence parameter set (ITU-T H.264 section 7.3.2.1).

    Attributes:
        profile: profile_idc.
        level: level_idc.
        width: of the picture in pixels, as shown.
        height: its height.
        macroblocks: of a picture, as coded.
    """

    profile: int
    level: int
    width: int
    height: int
    macroblocks: int


class _Bits:
    def __init__(self, data: bytes) -> None:
        # Without what keeps start codes out (section 7.4.1).
        whole = data.replace(b"\0\0\3", b"\0\0")
        self._bits = "".join(f"{octet:08b}" for octet in whole)
        self._at = 0

    def number(self, size: int) -> int:
        self._at += size
        return int(self._bits[self._at - size : self._at] or "0", 2)

    def golomb(self) -> int:
        zeros = 0
        while self.number(1) == 0:
            zeros += 1
        return (1 << zeros) - 1 + self.number(zeros)


def _units(packet: bytes) -> Iterator[bytes]:
    payload = packet[12:]
    if payload[0] & 0x1F != _STAP_A:
        yield payload
        return
    at = 1
    while at + 2 < len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        yield payload[at + 2 : at + 2 + size]
        at += 2 + size


def sequence(packets: Iterable[bytes]) -> Sequence:
    """The last sequence parameter set in RTP packets (RFC 6184) of a profile without more chroma than 4:2:0.

    Raises:
        ValueError: there is none.
    """
    found = [unit for packet in packets for unit in _units(packet) if unit[0] & 0x1F == _SPS]
    if not found or found[-1][1] in _HIGH_PROFILES:
        raise ValueError("no sequence parameter set")
    unit = found[-1]
    bits = _Bits(unit[4:])
    bits.golomb()  # seq_parameter_set_id
    bits.golomb()  # log2_max_frame_num_minus4
    kind = bits.golomb()  # pic_order_cnt_type
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        raise ValueError("pic_order_cnt_type 1")
    bits.golomb()  # max_num_ref_frames
    bits.number(1)  # gaps_in_frame_num_value_allowed_flag
    columns, rows = bits.golomb() + 1, bits.golomb() + 1
    if not bits.number(1):
        raise ValueError("interlaced")
    bits.number(1)  # direct_8x8_inference_flag
    left, right, top, bottom = (bits.golomb() for _ in range(4)) if bits.number(1) else (0, 0, 0, 0)
    return Sequence(
        unit[1],
        unit[3],
        columns * _MACROBLOCK - 2 * (left + right),
        rows * _MACROBLOCK - 2 * (top + bottom),
        columns * rows,
    )


def first_macroblock(payload: bytes) -> int | None:
    """Where in the picture a slice begins that is a packet by itself; None for a packet of anything else."""
    return _Bits(payload[1:9]).golomb() if payload[0] & 0x1F in _SLICES else None
