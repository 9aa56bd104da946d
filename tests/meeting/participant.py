"""`Participant`: a headless Chromium in the meeting that stamps its frames and sounds its tone, and reads others'."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service

from tests.meeting.meeting import EmbeddedMeeting
from tests.stamps import tones

_AGENT = Path(__file__).with_name("agent")
_STAMP = Path(__file__).parents[1] / "stamps" / "stamp.js"
_SCREEN = {"width": 1280, "height": 720, "deviceScaleFactor": 1, "mobile": False}
_POLL_S = 0.1
_JOIN_TIMEOUT_S = 60
_PLAIN = "!'()*"

# What parties of the tests sound: participants 440 and 550 Hz, SIP peers 660 and 770 Hz.
TONES_HZ = (440, 550, 660, 770)

_FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--window-size=1280,720",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-renderer-backgrounding",
    # The last two are pages of an address bar that there is none of; they are half of what a start costs.
    "--disable-features=WebRtcHideLocalIpsWithMdns,Translate,MediaRouter,WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    # Chromium ends when this pipe closes: it does not outlive a chromedriver that was killed.
    "--remote-debugging-pipe",
)

_JOIN_STEP = """
    document.querySelector('[data-testid="prejoin.joinMeeting"]')?.checkVisibility()
        && document.querySelector('[data-testid="prejoin.joinMeeting"]').click();
    return {joined: Boolean(window.APP?.conference?.isJoined()), screen: document.body.dataset.screen ?? ''};
"""
_ANSWER_PROMPT = """
    const field = document.querySelector('input[name=lockKey]');
    field.value = arguments[0];
    document.querySelector('#modal-dialog-ok-button').click();
"""
# Two more frames have to be painted after the picture has become visible.
_SHOW = """
    const done = arguments[arguments.length - 1];
    document.documentElement.dataset.shown = '';
    requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 300))));
"""
_HIDE = "delete document.documentElement.dataset.shown;"
_FIND_OTHER = """
    const room = APP.conference._room;
    const other = room.getParticipants().find(who => who.getDisplayName() === arguments[0]);
"""
_OTHER = f"""{_FIND_OTHER}
    if (!other) {{
        throw new Error(`nobody is called ${{arguments[0]}}`);
    }}
"""
_STANDING = f"""{_FIND_OTHER}
    return other && {{audio_muted: other.isAudioMuted(), video_muted: other.isVideoMuted(),
        hand_raised: Number(other.getProperty('raisedHand') ?? 0) > 0}};
"""

_T = TypeVar("_T")


class ParticipantError(Exception):
    """The participant could not join or does not get what was waited for; the message says what it sees instead."""


@dataclass(frozen=True)
class VideoSeen:
    """What was seen of one other participant since the last reset.

    Attributes:
        frames: decoded frames.
        intact: those of them that bear a readable stamp other than the frame before.
        unreadable: those without a stamp, or with a damaged one.
        repeated: those with the same stamp as the frame before.
        lost: stamps that were left out.
        freezes: gaps of more than 250 ms.
        fps: intact frames a second.
        width: of the last frame, pixels.
        height: of the last frame, pixels.
        latency_p50_ms: stamped to decoded here; None before the first frame.
        latency_p95_ms: the same.
        first_ms: CLOCK_REALTIME of the first intact frame ever, ms.
    """

    frames: int
    intact: int
    unreadable: int
    repeated: int
    lost: int
    freezes: int
    fps: float
    width: int
    height: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    first_ms: float | None


@dataclass(frozen=True)
class BurstsHeard:
    """Tone bursts heard of one other participant since the last reset, for participants made with `bursts`.

    Attributes:
        heard: how many.
        latency_p50_ms: from the full second, when it is sounded, until its samples leave the jitter buffer here;
            modulo 1 s, right within 10 ms. None before the first one.
        latency_p95_ms: the same.
    """

    heard: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None


@dataclass(frozen=True)
class ParticipantReport:
    """What a participant sees and hears.

    Attributes:
        video: by display name (endpoint id for those without one).
        audio: by display name, the amplitude (0 to 1) of each of `TONES_HZ`, now.
        heard: by display name and tone, the share of the time since the last reset in which it was above 0.02.
        first_heard_ms: by display name and tone, CLOCK_REALTIME when it was first above 0.02, ms, within 0.1 s.
        bursts: by display name.
        members: how many are in the room, oneself included.
    """

    video: Mapping[str, VideoSeen]
    audio: Mapping[str, Mapping[int, float]]
    heard: Mapping[str, Mapping[int, float]]
    first_heard_ms: Mapping[str, Mapping[int, float]]
    bursts: Mapping[str, BurstsHeard]
    members: int


@dataclass(frozen=True)
class VideoStream:
    """One video stream of a participant's WebRTC connection, by the browser's own statistics.

    Attributes:
        direction: "in" or "out".
        codec: H264, VP8.
        bytes: payload received or sent so far.
        limited_by: why an encoder gives less than it could: none, cpu, bandwidth, other.
        at_ms: when this was measured, for rates.
    """

    direction: str
    codec: str
    width: int
    height: int
    fps: float
    bytes: int
    packets_lost: int
    limited_by: str
    at_ms: float


@dataclass(frozen=True)
class Standing:
    """What a participant sees of another one's microphone, camera and hand."""

    audio_muted: bool
    video_muted: bool
    hand_raised: bool


class _DyingService(Service):
    """chromedriver that the kernel kills when the thread that started it is gone."""

    def __init__(self, *, log_output: Any, env: Mapping[str, str]) -> None:
        super().__init__(executable_path="/usr/bin/setpriv", log_output=log_output, env=env)

    def command_line_args(self) -> list[str]:
        return ["--pdeathsig", "KILL", "chromedriver", *super().command_line_args()]


def _agent_script(settings: Mapping[str, Any]) -> str:
    parts = [_STAMP, _AGENT / "source.js", _AGENT / "reader.js"]
    # Each in a block of its own: they are injected as one script.
    texts = [f"globalThis.PARTICIPANT = {json.dumps(settings)};", *(part.read_text() for part in parts)]
    return "\n".join(texts)


class Participant:
    """Somebody else in the meeting.

    Args:
        meeting: the embedded meeting.
        room: the room's name.
        name: display name, by which others' reports call it.
        tone_hz: what it sounds.
        width: of its frames, pixels; a multiple of 16.
        height: of its frames, pixels; a multiple of 8.
        fps: frames a second that it sends.
        bursts: sound the tone for the first 100 ms of each second only, and time the bursts of others.
        password: of the room, typed when the page asks for it.
        overrides: what goes into the address' hash, as `config.x`: JSON value.
        must_join: whether entering the block waits until it is in the room; else until its page is there.
    """

    def __init__(
        self,
        meeting: EmbeddedMeeting,
        room: str,
        name: str = "alice",
        *,
        tone_hz: int = 440,
        width: int = 640,
        height: int = 360,
        fps: int = 15,
        bursts: bool = False,
        password: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        must_join: bool = True,
    ) -> None:
        self._meeting = meeting
        self._room = room
        self._password = password
        self._must_join = must_join
        self._hash = {"userInfo.displayName": name, **(overrides or {})}
        self._settings = {
            "toneHz": tone_hz,
            "amplitude": tones.AMPLITUDE,
            "width": width,
            "height": height,
            "fps": fps,
            "bursts": bursts,
            "listenHz": TONES_HZ,
        }
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"participant-{name}")
        self._driver: webdriver.Chrome | None = None
        self._service: _DyingService | None = None
        self._profile = Path()
        self.name = name

    async def _call(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def __aenter__(self) -> Self:
        """Start the browser and join.

        Raises:
            ParticipantError: it is not in the room after a minute.
        """
        try:
            await self._call(self._start)
            if self._must_join:
                await self.join(self._password)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave and end the browser."""
        await self.close()

    def _start(self) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="p", dir=self._meeting.scratch))
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*_FLAGS, f"--user-data-dir={self._profile}/profile"):
            options.add_argument(flag)
        with (self._profile / "chromedriver.log").open("wb") as log:
            environment = {**os.environ, "TMPDIR": str(self._profile), "HOME": str(self._profile)}
            self._service = _DyingService(log_output=log, env=environment)
            self._driver = webdriver.Chrome(options=options, service=self._service)
        self._driver.set_script_timeout(60)
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", _SCREEN)
        script = {"source": _agent_script(self._settings)}
        self._driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
        parameters = "&".join(f"{name}={quote(json.dumps(value))}" for name, value in self._hash.items())
        # As encodeURIComponent does, by which people's links to a room are made.
        self._driver.get(f"{self._meeting.base_url}/{quote(self._room, safe=_PLAIN)}#{parameters}")

    async def join(self, password: str | None = None) -> None:
        """Get into the room: click the join button, type the password if one is asked for.

        Raises:
            ParticipantError: it is not in the room after a minute; the message tells what the page says.
        """
        deadline = asyncio.get_running_loop().time() + _JOIN_TIMEOUT_S
        while True:
            state = await self.evaluate(_JOIN_STEP)
            if state["joined"]:
                return
            if state["screen"] == "password" and password is not None:
                await self.type_password(password)
                password = None
            if asyncio.get_running_loop().time() > deadline:
                text = await self.evaluate("return document.body.innerText")
                raise ParticipantError(f"{self.name} has not joined {self._room!r}; the page says {text!r}")
            await asyncio.sleep(_POLL_S)

    async def type_password(self, password: str) -> None:
        """Answer the page's question for the room's password."""
        await self.evaluate(_ANSWER_PROMPT, password)

    async def close(self) -> None:
        """Leave and end the browser; does nothing if that is done."""
        if self._driver:
            await self._call(self._quit)
        self._thread.shutdown()

    def _quit(self) -> None:
        driver, self._driver = self._driver, None
        assert driver
        try:
            # Leaving properly spares the others a ghost until the server misses us; it may be gone itself.
            driver.set_script_timeout(20)
            driver.execute_async_script(
                "const done = arguments[0]; (window.APP?.conference?.hangup() ?? Promise.resolve()).finally(done);"
            )
            driver.quit()
        except WebDriverException:
            if self._service:
                self._service.stop()
        shutil.rmtree(self._profile, ignore_errors=True)

    async def evaluate(self, script: str, *arguments: Any) -> Any:
        """Run a function body of JavaScript in the page and give what it returns.

        Raises:
            ParticipantError: the script threw, or the browser is gone.
        """
        driver = self._driver
        if driver is None:
            raise ParticipantError(f"{self.name} has no browser")
        try:
            return await self._call(driver.execute_script, script, *arguments)
        except WebDriverException as error:
            raise ParticipantError(f"{self.name}: {error.msg}") from error

    async def report(self, *, reset: bool = False) -> ParticipantReport:
        """What is seen and heard of the others; `reset` lets the counts start again."""
        values = await self.evaluate("return Reader.report(arguments[0])", reset)

        def by_tone(levels: Mapping[str, float]) -> dict[int, float]:
            return {int(hz): level for hz, level in levels.items()}

        return ParticipantReport(
            video={name: VideoSeen(**seen) for name, seen in values["video"].items()},
            audio={name: by_tone(levels) for name, levels in values["audio"].items()},
            heard={name: by_tone(shares) for name, shares in values["heard"].items()},
            first_heard_ms={name: by_tone(first) for name, first in values["first_heard_ms"].items()},
            bursts={name: BurstsHeard(**heard) for name, heard in values["bursts"].items()},
            members=values["members"],
        )

    async def streams(self) -> Sequence[VideoStream]:
        """Statistics of the browser's video streams."""
        return [VideoStream(**row) for row in await self.evaluate("return Reader.streams()")]

    async def wait_for(
        self, condition: Callable[[ParticipantReport], bool], what: str, timeout_s: float = 30
    ) -> ParticipantReport:
        """The first report that fulfils `condition`.

        Raises:
            ParticipantError: none did within `timeout_s`; the message names `what` and gives the last report.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not condition(report := await self.report()):
            if asyncio.get_running_loop().time() > deadline:
                raise ParticipantError(f"{self.name} waited {timeout_s} s for {what}; last: {report}")
            await asyncio.sleep(_POLL_S)
        return report

    async def wait_until(self, script: str, wanted: Callable[[Any], bool], what: str, timeout_s: float = 30) -> None:
        """Wait until a function body of JavaScript returns something that is wanted.

        Raises:
            ParticipantError: it does not within `timeout_s`; the message names `what`.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not wanted(now := await self.evaluate(script)):
            if asyncio.get_running_loop().time() > deadline:
                raise ParticipantError(f"{self.name}: no {what} after {timeout_s} s, but {now!r}")
            await asyncio.sleep(_POLL_S)

    async def wait_for_screen(self, screen: str, timeout_s: float = 30) -> None:
        """Wait until the page shows a screen (a `data-for` of index.html: prejoin, password, lobby, kicked, …).

        Raises:
            ParticipantError: it does not within `timeout_s`.
        """
        script = "return document.body.dataset.screen"
        await self.wait_until(script, lambda now: bool(now == screen), f"screen {screen}", timeout_s)

    async def wait_for_text(self, text: str, timeout_s: float = 30) -> None:
        """Wait until the page says `text`.

        Raises:
            ParticipantError: it does not within `timeout_s`.
        """
        await self.wait_until("return document.body.innerText", lambda now: text in now, repr(text), timeout_s)

    async def set_audio_muted(self, muted: bool) -> None:
        """Mute or unmute the microphone."""
        await self.evaluate("return APP.conference.muteAudio(arguments[0])", muted)

    async def set_video_muted(self, muted: bool) -> None:
        """Switch the camera off or on."""
        await self.evaluate("return APP.conference.muteVideo(arguments[0])", muted)

    async def standing(self, other: str) -> Standing:
        """How another participant, named by display name, stands.

        Raises:
            ParticipantError: nobody is called so.
        """
        standing = await self._standing(other)
        if standing is None:
            raise ParticipantError(f"{self.name}: nobody is called {other!r}")
        return standing

    async def _standing(self, other: str) -> Standing | None:
        found = await self.evaluate(_STANDING, other)
        return Standing(**found) if found else None

    async def wait_for_standing(self, other: str, wanted: Standing, timeout_s: float = 30) -> None:
        """Wait until another participant, who need not be there yet, stands like this.

        Raises:
            ParticipantError: they do not within `timeout_s`.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while (now := await self._standing(other)) != wanted:
            if asyncio.get_running_loop().time() > deadline:
                raise ParticipantError(f"{self.name}: {other} does not come to {wanted} in {timeout_s} s; last: {now}")
            await asyncio.sleep(_POLL_S)

    async def mute(self, other: str, media: str) -> None:
        """As a moderator, mute another one's `audio` or `video`."""
        await self.evaluate(_OTHER + "room.muteParticipant(other.getId(), arguments[1]);", other, media)

    async def moderate(self, media: str, *, enabled: bool) -> None:
        """As a moderator, let nobody switch on `audio` or `video` without leave, or everybody again."""
        verb = "enableAVModeration" if enabled else "disableAVModeration"
        await self.evaluate("APP.conference._room[arguments[0]](arguments[1]);", verb, media)

    async def approve(self, other: str, media: str) -> None:
        """As a moderator, let another one switch on `audio` or `video`."""
        await self.evaluate(_OTHER + "room.avModerationApprove(arguments[1], other.getId());", other, media)

    async def screenshot(self, path: Path) -> None:
        """Write what the page shows, 1280x720, as PNG."""
        await self._call(self._screenshot, path)

    def _screenshot(self, path: Path) -> None:
        assert self._driver
        self._driver.execute_async_script(_SHOW)
        path.write_bytes(self._driver.get_screenshot_as_png())
        self._driver.execute_script(_HIDE)
