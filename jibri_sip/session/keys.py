"""What the room does with its keys: `*6` switches its microphone in the meeting off and on, `*7` its camera.

The same as with Jibri, whose patched pjsua knows these two. Where moderation does not let the room unmute, and for a
visitor, they raise and lower its hand.
"""

from dataclasses import dataclass

from browser.errors import BrowserError
from browser.page import Medium
from jibri_sip import log
from jibri_sip.slot import Slot

_log = log.logger("keys")

WITHIN_S = 3.0
"""Longest time from the star to the digit."""
_MEDIA: dict[str, Medium] = {"6": "audio", "7": "video"}


@dataclass(frozen=True)
class Keypad:
    """The keys pressed so far, as far as they matter.

    Attributes:
        star_at: When the star was pressed that waits for its digit, monotonic seconds.
    """

    star_at: float | None = None

    def press(self, key: str, now: float) -> "tuple[Keypad, Medium | None]":
        """The keypad after this key (`0`-`9`, `*`, `#`, `A`-`D`), and what is to be switched; any other key forgets."""
        if key == "*":
            return Keypad(now), None
        waits = self.star_at is not None and now - self.star_at <= WITHIN_S
        return Keypad(), _MEDIA.get(key) if waits else None


async def switch(media: Medium, slot: Slot) -> None:
    """Switch the room's microphone or camera; a page that cannot is no reason to end the call."""
    try:
        done = await slot.browse(slot.page.toggle, media)
    except BrowserError as error:
        _log.warning("key_not_obeyed", media=media, error=str(error))
    else:
        _log.info("key_obeyed", media=media, done=done or "nothing, outside a meeting")
