"""H.264 in RTP (RFC 6184, packetization mode 1), both ways."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEADER_BYTES = 12
_MAX_PAYLOAD = 1200
_STAP_A, _FU_A = 24, 28
_MARKER = 0x80


@dataclass(frozen=True)
class Packet:
    """What of an RTP packet (RFC 3550) matters here."""

    sequence: int
    timestamp: int
    marker: bool
    payload: bytes


def parse(data: bytes) -> Packet:
    """A packet without extension, CSRCs and padding, as PJSIP sends them."""
    _, second, sequence, timestamp, _ = struct.unpack_from("!BBHII", data)
    return Packet(sequence, timestamp, bool(second & _MARKER), data[HEADER_BYTES:])


def header(payload_type: int, sequence: int, timestamp: int, source: int, *, marker: bool) -> bytes:
    """The fixed header."""
    second = payload_type | (_MARKER if marker else 0)
    return struct.pack("!BBHII", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, source)


def payloads(unit: bytes, most: int = _MAX_PAYLOAD) -> Sequence[bytes]:
    """The RTP payloads, of about `most` bytes, of an access unit in Annex B form."""
    return [part for nal in _nals(unit) for part in _fragments(nal, most)]


def _nals(unit: bytes) -> Iterator[bytes]:
    for part in unit.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1"):
        if part:
            yield part


def _fragments(nal: bytes, most: int) -> Iterator[bytes]:
    if len(nal) <= most:
        yield nal
        return
    body, kind = nal[1:], nal[0] & 0x1F
    indicator = nal[0] & 0xE0 | _FU_A
    for start in range(0, len(body), most):
        piece = body[start : start + most]
        first, last = start == 0, start + most >= len(body)
        yield bytes([indicator, kind | (0x80 if first else 0) | (0x40 if last else 0)]) + piece


class Assembler:
    """Puts access units together again."""

    def __init__(self) -> None:
        self._unit = bytearray()
        self._expected: int | None = None
        self._whole = True

    def add(self, packet: Packet) -> bytes | None:
        """The access unit, in Annex B form, that this packet completes; None of none, or of one that lacks a packet."""
        if self._expected not in (None, packet.sequence):
            self._whole = False
        self._expected = (packet.sequence + 1) & 0xFFFF
        kind = packet.payload[0] & 0x1F
        if kind == _FU_A:
            self._add_fragment(packet.payload)
        elif kind == _STAP_A:
            self._add_several(packet.payload)
        else:
            self._unit += b"\0\0\0\1" + packet.payload
        if not packet.marker:
            return None
        unit, whole = bytes(self._unit), self._whole
        self._unit.clear()
        self._whole = True
        return unit if whole else None

    def _add_fragment(self, payload: bytes) -> None:
        if payload[1] & 0x80:
            self._unit += b"\0\0\0\1" + bytes([payload[0] & 0xE0 | payload[1] & 0x1F])
        self._unit += payload[2:]

    def _add_several(self, payload: bytes) -> None:
        at = 1
        while at + 2 <= len(payload):
            size = int.from_bytes(payload[at : at + 2], "big")
            self._unit += b"\0\0\0\1" + payload[at + 2 : at + 2 + size]
            at += 2 + size
