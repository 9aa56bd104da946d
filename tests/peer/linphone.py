"""Debian's Linphone, without its windows, as an independent peer: a foreign SIP and RTP stack with sound alone.

It can do no H.264 as Debian makes it: there is a decoder, but no encoder, so it offers VP8. It plays a tone from a file
and records what it hears to another; linphonec reads its commands from standard input.
"""

import array
import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peer import clips
from tests.peer.ports import free_port
from tests.stamps import tones
from virtual_devices.processes import instance_env

_WAV_HEADER = 44
_RATE = 48000
_RATE_AT = slice(24, 28)
_CHANNELS_AT = slice(22, 24)
_START_S = 20.0
_STOP_S = 5.0
_CHUNK = 4096
_PROMPT = "linphonec>"


class Linphone:
    """A Linphone of its own configuration and ports; an async context manager.

    Args:
        work_dir: a directory of its own.
        auto_answer: whether it answers calls by itself.
        tone_hz: of its tone.

    Attributes:
        port: its UDP port.
        log: what it printed, line by line.
    """

    def __init__(self, work_dir: Path, *, auto_answer: bool = True, tone_hz: float = 770) -> None:
        self.port = free_port()
        self.log: list[str] = []
        self._work_dir = work_dir
        self._auto_answer = auto_answer
        self._tone_hz = tone_hz
        self._recording = work_dir / "heard.wav"
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._printed = asyncio.Event()
        self._prompts = 0

    @property
    def uri(self) -> str:
        """Its address."""
        return f"sip:linphone@127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        """Start it; it takes calls on return."""
        config = await asyncio.to_thread(self._write_config)
        self._process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "linphonec", "-V", "-S", "-c", str(config)),
            *(["-a"] if self._auto_answer else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**instance_env(self._work_dir), "HOME": str(self._work_dir)},
        )
        self._reader = asyncio.create_task(self._read())
        tone = await asyncio.to_thread(clips.tone, self._tone_hz)
        async with asyncio.timeout(_START_S):
            await self._prompted(1)
            for command in ("soundcard use files", f"play {tone}", f"record {self._recording}"):
                # One at a time: 5.3 forgets some of what comes together.
                before = self._prompts
                self.tell(command)
                await self._prompted(before + 1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        if self._process is None:
            return
        self.tell("quit")
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    def tell(self, command: str) -> None:
        """Give a command, as one would type it: `call`, `terminate`, `pause`, `resume`."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{command}\n".encode())

    async def said(self, text: str, timeout_s: float = 10.0) -> None:
        """Wait until it has printed this."""
        async with asyncio.timeout(timeout_s):
            while not any(text in line for line in self.log):
                await self._wait_for_print()

    async def _prompted(self, times: int) -> None:
        while self._prompts < times:
            await self._wait_for_print()

    async def _wait_for_print(self) -> None:
        await self._printed.wait()
        self._printed.clear()

    async def heard(self, hz: float) -> float:
        """Amplitude of a tone in the last 500 ms that it recorded, 0 to 1."""
        return await asyncio.to_thread(self._heard, hz)

    def _heard(self, hz: float) -> float:
        data = self._recording.read_bytes() if self._recording.exists() else b""
        if len(data) <= _WAV_HEADER:
            return 0.0
        # It may write the header at the end.
        rate = int.from_bytes(data[_RATE_AT], "little") or _RATE
        channels = int.from_bytes(data[_CHANNELS_AT], "little") or 1
        samples = array.array("h", data[_WAV_HEADER : len(data) // 2 * 2])[::channels][-rate // 2 :]
        return tones.level(samples, hz, rate)

    def _write_config(self) -> Path:
        path = self._work_dir / "linphonerc"
        # Without a place for its database it sends nothing, and does not say why.
        (self._work_dir / ".local/share/linphone").mkdir(parents=True)
        lines = (
            "[sip]",
            f"sip_port={self.port}",
            "sip_tcp_port=0",
            "sip_tls_port=0",
            "use_ipv6=0",
            "bind_address=127.0.0.1",
            "[rtp]",
            # Else it names an address of this machine, by IPv6 if there is one.
            "bind_address=127.0.0.1",
            f"audio_rtp_port={free_port()}",
            "[sound]",
            "echocancellation=0",
        )
        path.write_text("\n".join(lines) + "\n")
        return path

    async def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        text = ""
        while chunk := await self._process.stdout.read(_CHUNK):
            *lines, text = (text + chunk.decode(errors="replace")).split("\n")
            self.log += [line.strip() for line in lines]
            self._prompts = sum(line.count(_PROMPT) for line in [*self.log, text])
            self._printed.set()
