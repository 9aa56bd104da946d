"""What is sent, fitted once a second to what arrives there: bitrate of the picture, protection of the sound, keyframes.

On the PJSIP thread. `rate` decides, native/control.c does it, in the running encoders: no re-INVITE.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import pjsua2 as pj
import structlog

from jibri_sip.sip import native
from jibri_sip.sip.native import Feedback, SentPicture
from jibri_sip.sip.rate import RateControl, RateState, Report
from jibri_sip.sip.thread import PjsipThread

log = structlog.get_logger(__name__)

EVERY_S = 1.0

_PEAK = 1.3
"""How far a busy second may pass the average."""
_LEAST_BPS = 16_000
"""An encoder takes no zero."""
_SOUND_BPS = 64_000
_HEADERS = 1.05
"""Of a limit that counts headers, and sound with the picture: what they take."""
_UNASKED_S = 3.0
"""Between keyframes for peers that cannot ask for one."""
_STEPS_PERCENT = (0, 5, 10, 20, 30)
"""Losses that the sound's encoder is told of: more protection costs quality, and not at every report."""
_LOSS_KEPT_S = 10.0
"""How long the sound is protected from a loss that has passed."""


@dataclass(frozen=True)
class SentSound:
    """Sound packets since the stream began: sent, and of them lost by the peer's count."""

    packets: int
    lost: int


@dataclass
class _Mark:
    at_s: float
    feedback: Feedback


class Steered(Protocol):
    """A call that can be steered."""

    def steer(self, now: float) -> None:
        """Once a second; `now` in seconds of any steady clock."""


async def rounds(thread: PjsipThread, calls: Mapping[str, Steered]) -> None:
    """Have each call steered on the PJSIP thread, for ever; `calls` is looked at there alone."""

    def steer_all() -> None:
        for call in calls.values():
            try:
                call.steer(time.monotonic())
            except pj.Error as error:
                # Its media may be changing just now.
                log.debug("call_not_steered", reason=error.reason)

    while True:
        await asyncio.sleep(EVERY_S)
        thread.post(steer_all)


class Steering:
    """Of one call.

    Args:
        bitrate: the most that the picture may have, bit/s, as configured.

    Attributes:
        state: how the picture's bitrate stands; None without a picture.
    """

    def __init__(self, bitrate: int) -> None:
        self.state: RateState | None = None
        self._bitrate = bitrate
        self._stream = 0
        self._control: RateControl | None = None
        self._mark: _Mark | None = None
        self._keyframe_s = float("-inf")
        self._sound = Protection()

    def step(self, call: int, sound: SentSound | None, now: float) -> bool:
        """Take the reports in that came, and act on them.

        Args:
            call: PJSUA's number of it.
            sound: what was sent of it; None without.
            now: seconds of any steady clock.

        Returns:
            Whether the peer needs a keyframe, and has no way to ask for it.
        """
        if sound is not None:
            self._protect(call, sound, now)
        picture = native.sent_picture(call)
        feedback = native.feedback(call)
        if picture is None or feedback is None:
            self.state = self._control = None
            return False
        if self._control is None or picture.stream != self._stream:
            self._begin(call, picture)
        if self._mark is None:
            self._mark = _Mark(now, feedback)
        elif feedback.reports != self._mark.feedback.reports or feedback.tmmbr_bps != self._mark.feedback.tmmbr_bps:
            self._follow(call, feedback, now)
            return feedback.loss > 0 and not picture.has_pli and self._may_mend(feedback, now)
        return False

    def _begin(self, call: int, picture: SentPicture) -> None:
        """A stream is new: at the start, and after each re-INVITE."""
        limit = min(self._bitrate, picture.max_bps)
        if picture.session_bps:
            limit = min(limit, max(int(picture.session_bps / _HEADERS) - _SOUND_BPS, _LEAST_BPS))
        # A network does not grow wider by a re-INVITE.
        start = min(picture.bps, self.state.target_bps) if self.state else picture.bps
        self._stream = picture.stream
        self._control = RateControl(limit, start)
        self._mark = None
        self._set(call, self._control.state)

    def _follow(self, call: int, feedback: Feedback, now: float) -> None:
        mark, self._mark = self._mark, _Mark(now, feedback)
        if mark is None or self._control is None:  # pragma: no cover  (set before)
            return
        sent = feedback.sent - mark.feedback.sent
        asked = feedback.asked - mark.feedback.asked
        # What is sent again in time, the peer does not report as lost.
        loss = max(feedback.loss, min(asked / sent, 1.0) if sent > 0 else 0.0)
        before = self.state
        state = self._control.observe(
            Report(
                at_s=now,
                loss=loss,
                rtt_ms=feedback.rtt_ms,
                packets_per_s=sent / (now - mark.at_s) if now > mark.at_s else 0.0,
                tmmbr_bps=feedback.tmmbr_bps,
                tmmbr_overhead=feedback.tmmbr_overhead,
            )
        )
        if before is None or state.target_bps != before.target_bps:
            self._set(call, state)
        self.state = state

    def _may_mend(self, feedback: Feedback, now: float) -> bool:
        """Some peers conceal what they lost, badly, and have no way to ask for better."""
        if feedback.keyframes_asked > 0 or now - self._keyframe_s < _UNASKED_S:
            return False
        self._keyframe_s = now
        return True

    def _set(self, call: int, state: RateState) -> None:
        most = max(int(state.limit_bps * _PEAK), _LEAST_BPS)
        status = native.set_bitrate(call, max(state.target_bps, _LEAST_BPS), most)
        if status != 0:
            log.warning("bitrate_not_set", status=status, bps=state.target_bps)
        elif self.state is None or state.held_by != self.state.held_by:
            log.info("bitrate", bps=state.target_bps, limit_bps=state.limit_bps, held_by=state.held_by)
        self.state = state

    def _protect(self, call: int, sound: SentSound, now: float) -> None:
        percent = self._sound.observe(sound, now)
        if percent is not None and native.set_audio_loss(call, percent):
            log.debug("sound_protected", loss_percent=percent)


class Protection:
    """How much loss the sound's encoder is to expect; pure."""

    def __init__(self) -> None:
        self._percent = 0
        self._before: SentSound | None = None
        self._worst: list[tuple[float, float]] = []

    def observe(self, sound: SentSound, now: float) -> int | None:
        """The loss to expect in percent, if it is another than before.

        Args:
            sound: what was sent so far.
            now: seconds of any steady clock.
        """
        before, self._before = self._before, sound
        if before is None or sound.packets < before.packets or sound.lost < before.lost:
            return None
        sent = sound.packets - before.packets
        self._worst = [(at, loss) for at, loss in self._worst if now - at < _LOSS_KEPT_S]
        if sent:
            self._worst.append((now, min((sound.lost - before.lost) / sent, 1.0)))
        # A single report of a few packets says little: the mean of what is remembered.
        mean = 100 * sum(loss for _, loss in self._worst) / len(self._worst) if self._worst else 0.0
        percent = min((step for step in _STEPS_PERCENT if step >= mean), default=_STEPS_PERCENT[-1])
        if mean < 1:
            percent = 0
        if percent == self._percent:
            return None
        self._percent = percent
        return percent
