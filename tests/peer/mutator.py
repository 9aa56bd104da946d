"""Damages messages, the same way for the same seed: what a fuzzer sends."""

import random
from collections.abc import Callable

_ODD = (
    b"\0",
    b"\xff",
    b"\r\n",
    b"\r\n\r\n",
    b"%s%n",
    b'"',
    b"<",
    b">",
    b";",
    b"=",
    b"@",
    b":",
    b"-1",
    b"0",
    b"65536",
    b"4294967296",
    b"99999999999999999999",
    b"A" * 300,
    b"[::1]",
    b"sip:",
    b"\xc3\x28",
    b" ",
    b"\t",
)


class Mutator:
    """A stream of damaged messages.

    Args:
        seed: makes it repeatable.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            self._flip,
            self._cut,
            self._insert,
            self._repeat_line,
            self._swap_lines,
            self._drop_line,
            self._number,
        )

    def damaged(self, message: bytes) -> bytes:
        """The message with one to four things wrong."""
        for _ in range(self._random.randint(1, 4)):
            message = self._random.choice(self._ways)(message) or b"\r\n"
        return message[:60_000]

    def choice(self, messages: tuple[bytes, ...]) -> bytes:
        """One of them."""
        return self._random.choice(messages)

    def _place(self, message: bytes) -> int:
        return self._random.randrange(len(message) + 1)

    def _flip(self, message: bytes) -> bytes:
        data = bytearray(message)
        for _ in range(self._random.randint(1, 8)):
            data[self._random.randrange(len(data))] = self._random.randrange(256)
        return bytes(data)

    def _cut(self, message: bytes) -> bytes:
        first, last = sorted((self._place(message), self._place(message)))
        return message[:first] + message[last:] if self._random.random() < 0.5 else message[:last]

    def _insert(self, message: bytes) -> bytes:
        place = self._place(message)
        return message[:place] + self._random.choice(_ODD) * self._random.choice((1, 1, 1, 40)) + message[place:]

    def _repeat_line(self, message: bytes) -> bytes:
        lines = message.split(b"\r\n")
        place = self._random.randrange(len(lines))
        return b"\r\n".join([*lines[:place], *[lines[place]] * self._random.choice((2, 20, 100)), *lines[place:]])

    def _swap_lines(self, message: bytes) -> bytes:
        lines = message.split(b"\r\n")
        first, second = self._random.randrange(len(lines)), self._random.randrange(len(lines))
        lines[first], lines[second] = lines[second], lines[first]
        return b"\r\n".join(lines)

    def _drop_line(self, message: bytes) -> bytes:
        lines = message.split(b"\r\n")
        del lines[self._random.randrange(len(lines))]
        return b"\r\n".join(lines)

    def _number(self, message: bytes) -> bytes:
        places = [n for n, byte in enumerate(message) if 48 <= byte <= 57]
        if not places:
            return message
        place = self._random.choice(places)
        return message[:place] + self._random.choice((b"-1", b"0", b"999999999999", b"65536")) + message[place + 1 :]
