"""Debian's baresip 1.0.0 as the independent peer: a foreign SIP and RTP stack with FFmpeg's codecs.

It plays a stamped film and a tone, draws what it receives on an X display of its own, where its stamps are read, and
writes what it hears to a file. Found by trying: it must be bound to an address, not to an interface; audio devices
need two channels; there is no player to a file, but the filter `sndfile` writes what was decoded, and `aubridge` is a
player that takes anything.
"""

import array
import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peer import clips
from tests.peer.lossy import LossyNetwork
from tests.peer.seen import Frame, Seen, add_up
from tests.running_gateway import free_port
from tests.stamps import tones
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.processes import ChildProcess, instance_env, wait_until

_RATE = 48000
_CHANNELS = 2
_BLOCK = _RATE // 20
_FRAME = 2 * _CHANNELS
_WAV_HEADER = 44
_JUST_NOW = 10  # blocks: 500 ms
_HEARD = 0.02  # foreign tones leak less
_MODULES = "/usr/lib/baresip/modules"
_START_S = 10.0
_COMMAND_S = 5.0


@dataclass(frozen=True)
class BaresipReport:
    """What baresip showed and heard since the last report.

    Attributes:
        video: the pictures on its display.
        tones: amplitude of each tone asked for in the last 500 ms, 0 to 1.
        heard: share of the time since the last report in which each tone asked for was above 0.02.
    """

    video: Seen
    tones: Mapping[float, float]
    heard: Mapping[float, float]


def _last_blocks(data: bytes, count: int) -> list[tones.Samples]:
    """One channel of the last blocks of a recording, oldest first; fewer where it is shorter."""
    samples: tones.Samples = array.array("h")
    samples.frombytes(data[-count * _BLOCK * _FRAME :])
    samples = samples[::_CHANNELS]
    return [samples[start : start + _BLOCK] for start in range(len(samples) % _BLOCK, len(samples), _BLOCK)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)


class BaresipError(Exception):
    """baresip did not do what it was told."""


class Baresip:
    """A baresip of its own configuration, display and ports; an async context manager.

    Args:
        work_dir: an empty directory of its own; configuration and recordings stay there.
        user: its name.
        auto_answer: whether it answers calls by itself; else `accept`.
        width: of its film in pixels.
        height: of its film in pixels.
        fps: of its film.
        bitrate: of its video in bit/s.
        tone_hz: of its tone.
        video: whether it has video at all.
        shown: size of the picture that it will receive, in pixels.
        network: what its packets have to pass.
    """

    def __init__(
        self,
        work_dir: Path,
        *,
        user: str = "baresip",
        auto_answer: bool = True,
        width: int = 1280,
        height: int = 720,
        fps: int = 30,
        bitrate: int = 1_500_000,
        tone_hz: float = 770,
        video: bool = True,
        shown: tuple[int, int] = (1280, 720),
        network: LossyNetwork | None = None,
    ) -> None:
        # With another one above it, for TLS.
        self.port = free_port(2)
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.log: list[str] = []
        self._work_dir = work_dir
        self._user = user
        self._answer_mode = "auto" if auto_answer else "manual"
        self._film = (width, height, fps)
        self._bitrate = bitrate
        self._tone_hz = tone_hz
        self._video = video
        self._shown = shown
        self._network = network
        self._control_port = free_port()
        self._display = Display(work_dir, Canvas(*shown))
        self._frames: list[Frame] = []
        self._heard_until: dict[Path | None, int] = {}  # octets of each recording
        self._process: ChildProcess | None = None
        self._reader: ChildProcess | None = None
        self._control: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    @property
    def uri(self) -> str:
        """Its address."""
        return f"sip:{self._user}@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        if self._process is None:
            raise BaresipError("not started")
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Start display, reader and baresip; it takes calls on return."""
        await asyncio.to_thread(self._write_config)
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        await self._stop()

    async def _start(self) -> None:
        await self._display.start()
        env = {**instance_env(self._work_dir), **self._display.env}
        self._reader = await ChildProcess.spawn(
            [sys.executable, "-m", "tests.peer.display_reader", *map(str, self._shown)],
            env={**env, "PYTHONPATH": str(Path(__file__).parents[2])},
            name="display-reader",
            log=self._take_frame,
        )
        self._process = await ChildProcess.spawn(
            ["baresip", "-4", "-f", str(self._work_dir)],
            env={**env, **(self._network.environment if self._network else {})},
            name="baresip",
            log=self.log.append,
        )
        await wait_until(lambda: "baresip is ready." in self.log, self._process, _START_S)
        reader, self._control = await asyncio.open_connection("127.0.0.1", self._control_port)
        self._listener = asyncio.create_task(self._listen(reader))

    async def _stop(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
        if self._control is not None:
            self._control.close()
        for process in (self._process, self._reader):
            if process is not None:
                await process.stop()
        await self._display.close()

    def _write_config(self) -> None:
        width, height, fps = self._film
        tone = clips.tone(self._tone_hz)
        lines = [
            f"sip_listen 127.0.0.1:{self.port}",
            "net_interface 127.0.0.1",
            f"ctrl_tcp_listen 127.0.0.1:{self._control_port}",
            f"module_path {_MODULES}",
            f"audio_source aufile,{tone}",
            "audio_player aubridge,heard",
            *(f"{direction}_srate {_RATE}" for direction in ("ausrc", "auplay")),
            *(f"{direction}_channels {_CHANNELS}" for direction in ("ausrc", "auplay")),
            f"snd_path {self._work_dir}",
            "jitter_buffer_delay 1-5",
            "statmode_default off",
            "ringback_disabled yes",
            *(f"module {name}.so" for name in ("opus", "g711", "sndfile", "aubridge", "aufile")),
        ]
        if self._video:
            lines += [
                f"video_source avformat,{clips.film(width, height, fps)}",
                "video_display x11,nil",
                f"video_size {width}x{height}",
                f"video_fps {fps}",
                f"video_bitrate {self._bitrate}",
                *(f"module {name}.so" for name in ("avcodec", "avformat", "x11")),
            ]
        lines += ["module_tmp account.so", "module_app menu.so", "module_app ctrl_tcp.so"]
        (self._work_dir / "config").write_text("\n".join(lines) + "\n")
        account = f"<sip:{self._user}@127.0.0.1:{self.port}>;regint=0;answermode={self._answer_mode}"
        (self._work_dir / "accounts").write_text(account + "\n")
        (self._work_dir / "contacts").touch()

    def _take_frame(self, line: str) -> None:
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            width, height = self._shown
            self._frames.append(Frame(found["seen_ms"], found["latency_ms"], width, height))
            return
        self.log.append(line)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        # Netstrings: length, colon, JSON, comma.
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                message = json.loads((await reader.readexactly(length + 1))[:-1])
                (self.events if message.get("event") else self._answers).put_nowait(message)

    async def _command(self, command: str, params: str = "") -> str:
        if self._control is None:
            raise BaresipError("not started")
        message = json.dumps({"command": command, "params": params}).encode()
        self._control.write(b"%d:%s," % (len(message), message))
        answer = await asyncio.wait_for(self._answers.get(), _COMMAND_S)
        if not answer["ok"]:
            raise BaresipError(f"{command}: {answer.get('data')}")
        return str(answer.get("data", ""))

    async def dial(self, uri: str) -> None:
        """Call, with video if it has any."""
        await self._command("dial", uri)

    async def accept(self) -> None:
        """Answer the call that rings."""
        await self._command("accept")

    async def hangup(self) -> None:
        """Hang up."""
        await self._command("hangup")

    async def wait_for(self, kind: str, timeout_s: float = 10.0) -> dict[str, Any]:
        """The next event of this kind: `CALL_INCOMING`, `CALL_RINGING`, `CALL_ESTABLISHED`, `CALL_CLOSED`.

        Raises:
            TimeoutError: none came in time.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                event = await self.events.get()
                if event["type"] == kind:
                    return event

    async def report(self, *hertz: float) -> BaresipReport:
        """What was shown since the last report, and how loud each of `hertz` was."""
        frames, self._frames = self._frames, []
        tones_, heard = await asyncio.to_thread(self._sound, hertz)
        return BaresipReport(add_up(frames), tones_, heard)

    def _sound(self, hertz: tuple[float, ...]) -> tuple[dict[float, float], dict[float, float]]:
        """How loud each tone was just now, and in which share of the time since this was last asked."""
        recording = max(self._work_dir.glob("dump-*-dec.wav"), default=None)
        data = recording.read_bytes()[_WAV_HEADER:] if recording else b""
        begin, end = self._heard_until.get(recording, 0), len(data) // _FRAME * _FRAME
        self._heard_until[recording] = end
        since = (end - begin) // _FRAME // _BLOCK
        blocks = _last_blocks(data[:end], max(since, _JUST_NOW))
        levels = {hz: [tones.level(block, hz) for block in blocks] for hz in hertz}
        return (
            {hz: _mean(found[-_JUST_NOW:]) for hz, found in levels.items()},
            {hz: _mean([level > _HEARD for level in found[len(found) - since :]]) for hz, found in levels.items()},
        )

    async def still(self, path: Path) -> None:
        """Write what its display shows to a PNG file."""

        def take() -> None:
            with self._display.watch() as watch:
                watch.still().save(path)

        await asyncio.to_thread(take)
