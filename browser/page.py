"""The page object: what the rest of the gateway asks of the meeting's page."""

import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from typing import Any, Literal, TypeAlias, cast

from browser.driver import Driver
from browser.errors import BrowserError, JoinFailed, PageHung, PageLoadFailed
from browser.patience import PATIENCE
from browser.secret import Secret
from browser.state import PageState, join_failure, read_state
from browser.url import conference_url
from browser.visit import Visit

# The page that a warm Chrome rests on: the colour of our cards, nothing else.
BLANK_URL = "data:text/html,%3C!doctype%20html%3E%3Ctitle%3E%3C/title%3E%3Cbody%20style=background:%23101820%3E"

# In the order in which they run.
_SCRIPTS = ("still.js", "signs.js", "sounds.js", "devices.js", "agent.js")
_STEP_S = 0.05
_BLANK_TIMEOUT_S = 5.0 * PATIENCE
_RETREAT_S = 1.0

Medium: TypeAlias = Literal["audio", "video"]
Toggled: TypeAlias = Literal["muted", "unmuted", "hand-raised", "hand-lowered"]


class MeetingPage:
    """The one page of a Chrome, in a meeting or resting on the blank page.

    All methods raise `ChromeGone` when Chrome, chromedriver or the page's process is dead, and `PageHung`
    when there is no answer within three seconds. Used from one thread, but for `abort()`.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._visit_id: str | None = None
        self._visit_script: str | None = None
        self._resting = False
        self._arrived = False
        self._has_been_in = False
        self._abort = threading.Event()
        for script in _SCRIPTS:
            driver.add_script((resources.files("browser") / "agent" / script).read_text(encoding="utf-8"))

    def show_blank(self) -> None:
        """Rest on the blank page: whatever was there is gone, and what we told it forgotten."""
        self._abort.clear()
        self._go_blank()

    def join(
        self,
        visit: Visit,
        timeout: float = 30.0,
        *,
        lobby_timeout: float = 600.0,
        on_state: Callable[[PageState], None] | None = None,
    ) -> PageState:
        """Enter the meeting; return when we are in, and rest on the blank page when that fails.

        Args:
            visit: Where to, as whom.
            timeout: Seconds for everything but the wait in the lobby.
            lobby_timeout: Seconds for the lobby (or for a host to come).
            on_state: Called in this thread with each state whose phase differs from the one before.

        Raises:
            PageLoadFailed: The page is not there, or is not a meeting's page.
            JoinFailed: `.kind` says why; `aborted` after `abort()`.
        """
        url = conference_url(visit)
        try:
            if not self._resting:
                self._go_blank()
            self._resting = False
            self._visit_id = secrets.token_hex(8)
            self._visit_script = self._driver.add_script(_introduction(visit, self._visit_id))
            self._driver.navigate(url)
            return self._await_joined(visit, timeout, lobby_timeout, on_state)
        except BaseException:
            self._retreat()
            raise

    def abort(self) -> None:
        """Break off `join()` within some tenth of a second, from any thread; the next one if none runs.

        `leave()` and `show_blank()` take it back.
        """
        self._abort.set()

    def state(self) -> PageState:
        """Return the page's state: one round trip, a few milliseconds."""
        return self._read()[0]

    def set_audio_muted(self, muted: bool) -> None:
        """Mute or unmute what we send; a moderated meeting may refuse, `state()` tells."""
        self._driver.call("setMuted", "audio", muted)

    def set_video_muted(self, muted: bool) -> None:
        """Mute or unmute the picture that we send; a moderated meeting may refuse, `state()` tells."""
        self._driver.call("setMuted", "video", muted)

    def rename(self, display_name: str, sip_address: str) -> None:
        """Be called otherwise from now on; the page may load anew. Nothing happens outside a meeting.

        Args:
            display_name: The name that others see; any Unicode.
            sip_address: Of the peer, for our presence.
        """
        self._driver.call("rename", display_name, sip_address)

    def toggle(self, media: Medium) -> Toggled | None:
        """Switch what we send on or off; where we may not switch it on, our hand goes up or down instead.

        That holds for visitors, and under moderation for whoever has no leave to unmute.

        Returns:
            What was done; None when we are in no meeting.
        """
        return cast("Toggled | None", self._driver.call("toggle", media))

    def still(self) -> bytes:
        """Return the page as it looks, PNG, for people."""
        return self._driver.screenshot()

    def leave(self, timeout: float = 3.0) -> bool:
        """Hang up, so that nobody is left in the meeting as a ghost, and rest on the blank page.

        Returns:
            Whether the meeting confirmed within `timeout` seconds that we are out.
        """
        self._abort.clear()
        left = self._hang_up(timeout)
        self._go_blank()
        return left

    def _read(self) -> tuple[PageState, bool]:
        """Return the state, and whether the document has an `APP.conference`."""
        if self._visit_id is not None and not self._arrived:
            self._arrived = self._driver.url() not in {None, BLANK_URL}
            if not self._arrived:
                return PageState(phase="loading"), False
        report = self._driver.call("state")
        state = read_state(report, self._visit_id, has_been_in=self._has_been_in)
        if state.phase == "joined":
            self._has_been_in = True
        return state, bool(report and report["hasConference"])

    def _await_joined(
        self, visit: Visit, timeout: float, lobby_timeout: float, on_state: Callable[[PageState], None] | None
    ) -> PageState:
        phase = ""
        meeting_page = False
        remaining = {"lobby": lobby_timeout, "": timeout}
        before = time.monotonic()
        while not self._abort.wait(_STEP_S if phase else 0):
            try:
                state, has_conference = self._read()
            except PageHung:
                # A page that is busy with its start, on a busy machine: that costs time, not the call.
                if time.monotonic() - before > remaining[""]:
                    raise
                continue
            meeting_page |= has_conference
            if state.load_error is not None:
                raise PageLoadFailed(visit.host, state.load_error)
            if state.phase != phase and on_state is not None:
                on_state(state)
            phase = state.phase
            if phase == "joined":
                return state
            failure = join_failure(state)
            if failure is not None:
                raise failure
            now = time.monotonic()
            budget = "lobby" if phase == "lobby" else ""
            remaining[budget] -= now - before
            before = now
            if remaining[budget] < 0:
                raise _too_late(visit, state, meeting_page)
        raise JoinFailed("aborted", "joining was broken off")

    def _hang_up(self, timeout: float) -> bool:
        if not self._arrived:
            return True
        self._driver.call("leave")
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            # A page that has left may go on to another one, which is as good.
            if self.state().phase in {"left", "kicked", "ended", "failed", "reconnecting", "loading"}:
                return True
            time.sleep(_STEP_S)
        return False

    def _retreat(self) -> None:
        """Be gone from a meeting that was not entered; what cannot be done any more is not an error."""
        with suppress(BrowserError):
            self._hang_up(_RETREAT_S)
        with suppress(BrowserError):
            self._go_blank()

    def _go_blank(self) -> None:
        """Replace the document, and wait until it is replaced.

        Raises:
            PageHung: The old document does not go away.
        """
        self._visit_id = None
        self._resting = self._arrived = self._has_been_in = False
        self._driver.replace(BLANK_URL)
        # Only now: while a server keeps us waiting, Chrome holds this back.
        if self._visit_script is not None:
            self._driver.remove_script(self._visit_script)
            self._visit_script = None
        deadline = time.monotonic() + _BLANK_TIMEOUT_S
        while not self._is_blank():
            if time.monotonic() > deadline:
                raise PageHung("the page does not go away")
            time.sleep(_STEP_S / 2)
        self._resting = True

    def _is_blank(self) -> bool:
        report = self._driver.call("state")
        return report is not None and report["visit"] is None and report["phase"] == "blank" and report["blank"]


def _too_late(visit: Visit, state: PageState, meeting_page: bool) -> BrowserError:
    if state.phase == "lobby":
        return JoinFailed("lobby-timeout", "nobody let us in from the lobby in time")
    if not meeting_page:
        return PageLoadFailed(visit.host, "no meeting page there (it has no APP.conference)")
    return JoinFailed("timeout", f"the meeting was not joined in time (phase {state.phase})")


def _introduction(visit: Visit, visit_id: str) -> str:
    """Return the script that tells the agent about the visit, in each document before the page's own scripts.

    It is one call with one JSON text for its argument; JSON in ASCII is a JavaScript expression (ECMA-262,
    since 2019), so nothing in a name can end the string that it stands in.
    """
    login = visit.xmpp_login
    data: dict[str, Any] = {
        "id": visit_id,
        "origin": visit.origin,
        "displayName": visit.display_name,
        "email": visit.email,
        "statisticsId": visit.statistics_id,
        "password": _reveal(visit.password),
        "jwt": _reveal(visit.jwt),
        "xmppLogin": login and {"user": f"{login.user}@{login.domain}", "password": login.password.reveal()},
        "sipAddress": visit.sip_address,
    }
    return f"window.jibriSipAgent?.begin({json.dumps(data, ensure_ascii=True)})"


def _reveal(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()
