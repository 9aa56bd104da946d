"""Keeps the slot ready: starts it, renews it after each session, makes it anew when a part of it is lost."""

import asyncio
from collections.abc import Callable

from browser.errors import BrowserError
from jibri_sip import errors, log
from jibri_sip.clock import monotonic
from jibri_sip.config.model import Settings
from jibri_sip.errors import GatewayError
from jibri_sip.media.bridge import Bridge
from jibri_sip.session.translate import from_browser, from_device
from jibri_sip.slot import Slot
from virtual_devices.errors import DeviceError

_log = log.logger("slot_keeper")

RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses between attempts to get a slot that does not start; the last one repeats."""
CHECK_EVERY_S = 1.0
"""How often the slot is looked at."""


class SlotKeeper:
    """The owner of the slot.

    Args:
        settings: the gateway's settings.
        on_change: called in the event loop whenever `ready` or `failure` may be another.
        on_lost: called in the event loop when a part of the slot is lost: what is in it has to end.

    Attributes:
        ready: whether a session may have the slot.
        failure: why there is no slot; None when there is one, or one is being made.
        bridge: the pictures of the present slot.
    """

    def __init__(
        self, settings: Settings, on_change: Callable[[], None], on_lost: Callable[[GatewayError], None]
    ) -> None:
        self.ready = False
        self.failure: GatewayError | None = None
        self.bridge: Bridge
        self._settings = settings
        self._on_change = on_change
        self._on_lost = on_lost
        self._slot: Slot | None = None
        self._lent = False
        self._used = False
        self._lost: GatewayError | None = None
        self._attention = asyncio.Event()
        self._alive_at = monotonic()
        self._task: asyncio.Task[None] | None = None

    @property
    def slot(self) -> Slot:
        """The slot.

        Raises:
            NotReady: there is none now.
        """
        if self._slot is None:
            raise errors.NotReady
        return self._slot

    def check_ready(self) -> None:
        """Raise why a session cannot have the slot now."""
        if self.failure is not None:
            raise self.failure
        if not self.ready:
            raise errors.NotReady

    def silent_s(self) -> float:
        """For how long it has been at one thing, seconds: the start of a slot, a pause, a look at it."""
        return monotonic() - self._alive_at

    def start(self) -> None:
        """Begin to make the slot ready."""
        self._task = asyncio.create_task(self._keep(), name="slot-keeper")

    async def close(self) -> None:
        """Release the slot."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._drop()

    def lend(self) -> None:
        """A session has the slot from now on."""
        self._lent = True
        self._set_ready(ready=False)

    def give_back(self) -> None:
        """The session is over; the slot is renewed."""
        self._lent = False
        self._used = True
        self._set_ready(ready=False)
        self._attention.set()

    def _set_ready(self, *, ready: bool) -> None:
        self.ready = ready
        self._on_change()

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                await self._make_ready()
                failures = 0
                await self._until_needed()
            except GatewayError as error:
                failures += 1
                await self._pause(error, failures)
            except Exception as error:
                _log.exception("slot_keeper_failed")
                failures += 1
                await self._pause(errors.InternalError(type(error).__name__), failures)

    async def _pause(self, error: GatewayError, failures: int) -> None:
        """Say why there is no slot, and wait before the next attempt."""
        self._alive_at = monotonic()
        self.failure = error
        self._on_change()
        pause = RETRY_S[min(failures, len(RETRY_S)) - 1]
        _log.error("slot_failed", error=error.message, remedy=error.remedy, retry_s=pause)
        await asyncio.sleep(pause)

    async def _make_ready(self) -> None:
        """Renew the slot, or make one where there is none (any more)."""
        began = self._alive_at = monotonic()
        lost, self._lost = self._lost, None
        try:
            if lost is not None:
                await self._drop()
            if self._slot is None:
                slot = Slot(self._settings, self._settings.instance.runtime_dir, self._lose)
                await slot.start()
                self._slot = slot
                self.bridge = Bridge(slot.canvas, slot.screen, slot.camera)
                self.bridge.cover()
            else:
                await self._slot.renew()
        except GatewayError:
            await self._drop()
            raise
        except DeviceError as error:
            await self._drop()
            raise from_device(error) from error
        except BrowserError as error:
            await self._drop()
            raise from_browser(error) from error
        self.failure = None
        self._set_ready(ready=True)
        _log.info("slot_ready", after_s=round(monotonic() - began, 2))

    async def _drop(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            await slot.close()

    async def _until_needed(self) -> None:
        """Wait until the slot was used or a part of it is lost, and no session is in it."""
        while self._lent or not (self._used or self._lost):
            self._alive_at = monotonic()
            self._attention.clear()
            # Not wait_for: that of Python 3.11 swallows a cancellation which comes together with the event.
            try:
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._attention.wait()
            except TimeoutError:
                await self._check()
        self._used = False
        self._set_ready(ready=False)

    async def _check(self) -> None:
        try:
            await self.slot.check(idle=not self._lent)
        except GatewayError as error:
            # In a session it is for the session to say what it was about its page.
            if not self._lent and self._lost is None:
                self._lose(error)

    def _lose(self, error: GatewayError) -> None:
        self._lost = error
        self._set_ready(ready=False)
        _log.warning("slot_lost", error=error.message)
        self._on_lost(error)
        self._attention.set()
