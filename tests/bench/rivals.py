"""Single steps of the way, done in turn as we do them and as rivals do, on the same picture; compared by their CPU.

    capture   a display, 720p30 ──► I420: our screen source; FFmpeg's x11grab; baresip's x11grab
    camera    I420, 720p30 ──► something a browser can open: our camera sink; a window on a second display, grabbed
              again (what comes after the rivals' grab, writing to the camera, is not even counted)

The CPU of the X server is counted too, less what it took before the step began.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from tests.bench import film
from tests.integration.devices.chromium import camera_page
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.processes import ChildProcess, instance_env

_FPS = 30
_SECONDS = 6.0
_WARM_UP_S = 2.0
_ROOT = Path(__file__).parents[2]
_PICTURES = 30
_BARESIP = """\
module_path /usr/lib/baresip/modules
net_interface 127.0.0.1
sip_listen 127.0.0.1:0
video_source x11grab,{display}
video_display fakevideo,nil
video_size {width}x{height}
video_fps {fps}
module x11grab.so
module fakevideo.so
module_app vidloop.so
module_app menu.so
"""

Say = Callable[[str], None]


@dataclass
class Way:
    """One way of doing a step.

    Attributes:
        cpu_cores: of all processes that it needs.
        fps: pictures a second that it got through; None where it does not tell.
        ratio: its CPU over ours.
    """

    cpu_cores: float
    fps: float | None
    ratio: float | None = None


class _Spent:
    """CPU seconds of some processes and of those they started, the dead ones excepted."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._before = self._now()

    def _now(self) -> float:
        processes = [psutil.Process(pid) for pid in self._pids]
        family = [child for process in processes for child in (process, *process.children(recursive=True))]
        return sum(times.user + times.system for times in (process.cpu_times() for process in family))

    def seconds(self) -> float:
        """Since this was made."""
        return self._now() - self._before


class Bench:
    """The steps; an async context manager that owns a directory, a film and a display that shows it."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._stack = contextlib.AsyncExitStack()
        self._canvas = Canvas()
        self._directory = Path()
        self._film = Path()
        self._environment_of_display: Mapping[str, str] = {}

    async def __aenter__(self) -> Self:
        """Make the film."""
        self._directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="rv")))
        self._film = self._directory / "film.yuv"
        await asyncio.to_thread(self._make_film)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Remove all."""
        await self._stack.aclose()

    def _make_film(self) -> None:
        width, height = self._canvas.width, self._canvas.height
        pattern = film.texture(width, height)
        with self._film.open("wb") as file:
            for number in range(_PICTURES):
                file.write(film.i420(width, height, number, pattern))

    async def measure(self) -> dict[str, dict[str, Any]]:
        """Both steps, each way in turn; by step and way."""
        steps = {"capture": await self._capture(), "camera": await self._camera()}
        for ways in steps.values():
            for way in ways.values():
                way.ratio = round(way.cpu_cores / ways["ours"].cpu_cores, 2)
        return {step: {name: asdict(way) for name, way in ways.items()} for step, ways in steps.items()}

    # Capture -------------------------------------------------------------------------------------

    async def _capture(self) -> dict[str, Way]:
        async with self._display("shown") as display, self._player(display):
            await asyncio.sleep(_WARM_UP_S)
            assert display.pid
            idle = await self._cost([display.pid])
            ways = {}
            for name, program in (
                ("ours", self._our_screen),
                ("ffmpeg x11grab", self._ffmpeg_grab),
                ("baresip x11grab", self._baresip_grab),
            ):
                cores, fps = await self._run(program(display), [display.pid])
                ways[name] = Way(round(cores - idle, 4), fps)
                self._say(f"capture, {name}: {cores - idle:.3f} cores")
            return ways

    def _our_screen(self, display: Display) -> list[str]:
        cookie = self._directory / "cookie"
        cookie.touch(mode=0o600)
        cookie.write_bytes(display.cookie)
        seconds = str(_WARM_UP_S + _SECONDS + 1)
        return [sys.executable, "-m", "tests.bench.screen_reader", display.name, str(cookie), seconds]

    def _ffmpeg_grab(self, display: Display) -> list[str]:
        size = f"{self._canvas.width}x{self._canvas.height}"
        return [
            *("ffmpeg", "-nostdin", "-loglevel", "error", "-progress", "pipe:1", "-f", "x11grab", "-draw_mouse", "0"),
            *("-framerate", str(_FPS), "-video_size", size, "-i", display.name),
            *("-pix_fmt", "yuv420p", "-f", "null", "-"),
        ]

    def _baresip_grab(self, display: Display) -> list[str]:
        home = self._directory / "baresip"
        home.mkdir(exist_ok=True)
        values = {"display": display.name, "width": self._canvas.width, "height": self._canvas.height, "fps": _FPS}
        (home / "config").write_text(_BARESIP.format(**values))
        for name in ("accounts", "contacts"):
            (home / name).touch()
        return ["baresip", "-4", "-f", str(home), "-e", "/vidloop"]

    # Camera --------------------------------------------------------------------------------------

    async def _camera(self) -> dict[str, Way]:
        return {"ours": await self._our_camera(), "display and grab": await self._display_and_grab()}

    async def _our_camera(self) -> Way:
        writer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.camera_writer", str(self._film)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment(),
        )
        assert writer.stdin
        assert writer.stdout
        try:
            camera = json.loads(await writer.stdout.readline())
            async with self._display("reader") as display:
                env = {**self._environment(), **camera["env"], **display.env}
                profile = self._directory / "profile"
                browser = camera_page(profile, env, camera["flags"])
                page = await asyncio.to_thread(browser.__enter__)
                try:
                    await asyncio.to_thread(page.open)
                    await asyncio.sleep(_WARM_UP_S)
                    await asyncio.to_thread(page.take)
                    cores = await self._cost([writer.pid])
                    frames = await asyncio.to_thread(page.take)
                finally:
                    await asyncio.to_thread(browser.__exit__, None, None, None)
        finally:
            writer.stdin.close()
            await writer.wait()
        fps = round(sum(frame.counter is not None for frame in frames) / _SECONDS, 1)
        self._say(f"camera, ours: {cores:.3f} cores, {fps} frames a second in a browser")
        return Way(round(cores, 4), fps)

    async def _display_and_grab(self) -> Way:
        async with self._display("second") as display, self._player(display) as player:
            assert display.pid
            cores, fps = await self._run(self._ffmpeg_grab(display), [display.pid, player])
        self._say(f"camera, display and grab: {cores:.3f} cores")
        return Way(round(cores, 4), fps)

    # Both ----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _display(self, name: str) -> AsyncIterator[Display]:
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        display = Display(directory, self._canvas)
        await display.start()
        self._environment_of_display = display.env
        try:
            yield display
        finally:
            await display.close()

    @contextlib.asynccontextmanager
    async def _player(self, display: Display) -> AsyncIterator[int]:
        """A window with the film, its upper left corner in that of the display; its process id."""
        size = f"{self._canvas.width}x{self._canvas.height}"
        argv = [
            *("ffplay", "-nostats", "-loglevel", "error", "-noborder", "-left", "0", "-top", "0", "-an", "-loop", "0"),
            *("-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", size, "-framerate", str(_FPS)),
            str(self._film),
        ]
        env = {**self._environment(), **display.env, "SDL_RENDER_DRIVER": "software"}
        player = await ChildProcess.spawn(argv, env=env, name="ffplay")
        try:
            yield player.pid
        finally:
            await player.stop()

    def _environment(self) -> Mapping[str, str]:
        return {**instance_env(self._directory), "PYTHONPATH": str(_ROOT)}

    async def _cost(self, pids: Sequence[int]) -> float:
        """Cores that these processes keep busy."""
        spent = _Spent(pids)
        await asyncio.sleep(_SECONDS)
        return spent.seconds() / _SECONDS

    async def _run(self, argv: Sequence[str], others: Sequence[int]) -> tuple[float, float | None]:
        """Run a program, count its CPU and that of `others`; cores, and pictures a second as it tells."""
        lines: list[str] = []
        env = {**self._environment(), **self._environment_of_display}
        program = await ChildProcess.spawn(argv, env=env, name=Path(argv[0]).name, log=lines.append)
        try:
            await asyncio.sleep(_WARM_UP_S)
            before = _frames(lines)
            cores = await self._cost([program.pid, *others])
            after = _frames(lines)
        finally:
            await program.stop()
        if before is None or after is None:
            return cores, None
        return cores, round((after - before) / _SECONDS, 1)


def _frames(lines: Sequence[str]) -> int | None:
    """The newest count of pictures in what a program has printed."""
    return next((int(line.partition("=")[2]) for line in reversed(lines) if line.startswith("frame=")), None)
