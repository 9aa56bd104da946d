"""The one picture size of a gateway."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Canvas:
    """The size and rate of the pictures in both directions, fixed for the life of a process.

    Pictures are I420 (planar Y, U, V without padding; BT.601, limited range).

    Attributes:
        width: in pixels, even.
        height: in pixels, even.
        fps: pictures a second.

    Raises:
        ValueError: a size is odd or not positive.
    """

    width: int = 1280
    height: int = 720
    fps: int = 30

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.fps) < 1 or self.width % 2 or self.height % 2:
            raise ValueError(f"a canvas needs even sizes and a positive rate, not {self}")

    @property
    def picture_bytes(self) -> int:
        """The length of an I420 picture of this size, in bytes."""
        return self.width * self.height * 3 // 2
