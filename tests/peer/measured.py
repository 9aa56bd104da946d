"""The measured peer, from a test: a process of its own, driven by JSON lines."""

import asyncio
import ctypes
import itertools
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peer.authority import Certificate
from tests.peer.lossy import LossyNetwork
from tests.peer.other_pjsip import Tree
from tests.peer.seen import Seen

_PR_SET_PDEATHSIG = 1
_START_S = 30.0
_REPLY_S = 20.0
_STOP_S = 5.0


@dataclass(frozen=True)
class PeerReport:
    """What the peer saw and heard since its last report.

    Attributes:
        video: the pictures.
        tones: amplitude of each tone asked for in the last 500 ms, 0 to 1.
        peak: loudest sample of that time, 0 to 1.
        burst_delays_ms: delays of tone bursts, where it was told to time them.
        streams: one a stream, in the order of the SDP: codec, packets sent, received, lost.
    """

    video: Seen
    tones: Mapping[float, float]
    peak: float
    burst_delays_ms: Sequence[float]
    streams: Sequence[Mapping[str, Any]]


class PeerError(Exception):
    """The peer could not do what it was told."""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class MeasuredPeer:
    """A SIP peer that stamps its pictures and sounds a tone, and reads both; an async context manager.

    Args:
        name: display name of its calls.
        width: of its picture in pixels.
        height: of its picture in pixels.
        fps: frames per second.
        bitrate: of its video in bit/s.
        tone_hz: its tone.
        fec: whether it wants FEC of Opus (RFC 7587 section 6.1).
        expects_loss: percent of its packets of sound that get lost, as its Opus is told; 0 for PJSIP's default.
        level: of H.264 that it says, ten times, as `31` for 3.1.
        codec: its only audio codec, by the start of its name (`PCMA`); all by default.
        srtp: 0 never, 1 optional, 2 required.
        keys: the only way to agree on keys, `sdes` or `dtls`; both by default.
        tls: its certificate; it listens on TLS then.
        authorities: PEM file of whom it trusts as a TLS client.
        sips: be of that scheme, as its callers must be then.
        nack: ask for lost packets and send them again, as we do; else it is as PJSIP comes.
        network: what its packets have to pass.
        ice: find ways for media by ICE.
        host: its address.
        prefix: of the command that starts it, to have it in another network.
        log: file for PJSIP's log.
        tree: another build of PJSIP for it to run on.
    """

    def __init__(
        self,
        *,
        name: str = "Measured Peer",
        width: int = 1280,
        height: int = 720,
        fps: int = 30,
        bitrate: int = 1_500_000,
        tone_hz: float = 660,
        fec: bool = True,
        expects_loss: int = 0,
        level: int = 31,
        codec: str = "",
        srtp: int = 0,
        keys: str = "",
        tls: Certificate | None = None,
        authorities: Path | None = None,
        sips: bool = False,
        nack: bool = False,
        network: LossyNetwork | None = None,
        ice: bool = False,
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
        log: Path | None = None,
        tree: Tree | None = None,
    ) -> None:
        values = {
            "--name": name,
            "--width": width,
            "--height": height,
            "--fps": fps,
            "--bitrate": bitrate,
            "--tone-hz": tone_hz,
            "--fec": int(fec),
            "--expects-loss": expects_loss,
            "--level": f"{level:02x}",
            "--codec": codec,
            "--srtp": srtp,
            "--keys": keys,
            "--host": host,
        }
        self._host = host
        self._prefix = prefix
        self._arguments = [f"{option}={value}" for option, value in values.items()]
        if tls is not None:
            self._arguments += [f"--tls-certificate={tls.file}", f"--tls-key={tls.key}"]
        self._arguments += [f"--{flag}" for flag, wanted in (("sips", sips), ("nack", nack), ("ice", ice)) if wanted]
        self._network = network
        self._tree = tree
        if authorities is not None:
            self._arguments.append(f"--tls-authorities={authorities}")
        if log is not None:
            self._arguments.append(f"--log={log}")
        self.port = self.tls_port = 0
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)

    @property
    def uri(self) -> str:
        """Its address."""
        return f"sip:peer@{self._host}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        if self._process is None:
            raise PeerError("not started")
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Start it, and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            *self._prefix,
            sys.executable,
            "-m",
            "tests.peer",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
            cwd=self._tree.directory if self._tree else None,
            env={
                **(self._tree.environment if self._tree else os.environ),
                **(self._network.environment if self._network else {}),
            },
            preexec_fn=_die_with_parent,
        )
        self._reader = asyncio.create_task(self._read())
        ready = await self.wait_for("ready", timeout_s=_START_S)
        self.port, self.tls_port = ready["port"], ready["tls_port"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._reader is not None:
            await self._reader

    async def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            if "event" in message:
                self.events.put_nowait(message)
                continue
            future = self._replies.pop(message["id"])
            if not future.done():
                future.set_result(message)
        self.events.put_nowait({"event": "gone"})
        for future in self._replies.values():
            if not future.done():
                future.set_exception(PeerError("the peer is gone"))

    async def _do(self, command: str, **values: Any) -> dict[str, Any]:
        if self._process is None or self._process.stdin is None:
            raise PeerError("not started")
        number = next(self._ids)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = future
        self._process.stdin.write(json.dumps({"id": number, "do": command, **values}).encode() + b"\n")
        reply = await asyncio.wait_for(future, _REPLY_S)
        if not reply["ok"]:
            raise PeerError(f"{command}: {reply['error']}")
        return reply

    async def wait_for(self, event: str, *, timeout_s: float = 20.0, **values: Any) -> dict[str, Any]:
        """The next event of this name with these values; earlier ones are dropped.

        Raises:
            TimeoutError: none came in time.
            PeerError: the peer has ended.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                message = await self.events.get()
                if message["event"] == "gone":
                    raise PeerError("the peer is gone")
                if message["event"] == event and all(message.get(key) == value for key, value in values.items()):
                    return message

    def forget_events(self) -> None:
        """Drop the events that came so far."""
        while not self.events.empty():
            self.events.get_nowait()

    async def call(
        self,
        uri: str,
        *,
        video: bool = True,
        delayed_offer: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Dial; returns `call_id` and `at_ms`, CLOCK_REALTIME of the INVITE."""
        return await self._do("call", uri=uri, video=video, delayed_offer=delayed_offer, headers=dict(headers or {}))

    async def answer_with(self, code: int = 200, *, after_s: float = 0.0, video: bool = True) -> None:
        """How to answer calls from now on: with this code, after ringing that long."""
        await self._do("answer-with", code=code, after_s=after_s, video=video)

    async def hangup(self, code: int = 0) -> None:
        """Hang up, cancel or refuse the call."""
        await self._do("hangup", code=code)

    async def wait_up(self, timeout_s: float = 20.0) -> dict[str, Any]:
        """Wait until the call is set up."""
        return await self.wait_for("state", state="CONFIRMED", timeout_s=timeout_s)

    async def wait_over(self, timeout_s: float = 20.0) -> dict[str, Any]:
        """Wait until the call is over; its `code` and `reason`."""
        return await self.wait_for("state", state="DISCONNECTED", timeout_s=timeout_s)

    async def report(self, *tones: float) -> PeerReport:
        """What was seen since the last report, and how loud each of `tones` (Hz) was just now."""
        reply = await self._do("report", tones=list(tones))
        return PeerReport(
            video=Seen(**reply["video"]),
            tones={hz: reply["tones"][str(hz)] for hz in tones},
            peak=reply["peak"],
            burst_delays_ms=reply["burst_delays_ms"],
            streams=reply["streams"],
        )

    async def still(self, path: Path) -> None:
        """Write the next picture that arrives to a PNG file."""
        await self._do("still", path=str(path))

    async def say(self, hz: float, *, amplitude: float = 0.3, rhythm: str = "steady") -> None:
        """Sound another tone: steady, or in `bursts` or `syllables` (devices.Rhythm)."""
        await self._do("say", hz=hz, amplitude=amplitude, rhythm=rhythm)

    async def loudest(self, hz: float, ms: int) -> tuple[float, int]:
        """Amplitude of a tone in the loudest 50 ms of the last `ms` (at most 30 s), 0 to 1, and its age in ms."""
        reply = await self._do("loudest", hz=hz, ms=ms)
        return float(reply["amplitude"]), int(reply["ms_ago"])

    async def time_bursts(self, hz: float) -> None:
        """Begin to time the bursts of a tone."""
        await self._do("time-bursts", hz=hz)

    async def count_gaps(self, hz: float, least: float) -> None:
        """Watch a steady tone: a piece of 10 ms in which its amplitude is below `least` is a gap."""
        await self._do("count-gaps", hz=hz, least=least)

    async def gaps(self) -> float:
        """Share of pieces that were gaps since it was last asked, 0 to 1."""
        return float((await self._do("gaps"))["share"])

    async def send_dtmf(self, digits: str, *, info: bool = False) -> None:
        """Press keys, by RFC 4733 or by INFO."""
        await self._do("dtmf", digits=digits, info=info)

    async def hold(self) -> None:
        """Put the call on hold."""
        await self._do("hold")

    async def resume(self) -> None:
        """Take the call back."""
        await self._do("resume")

    async def ask_for_keyframe(self, number: int) -> None:
        """Send a full intra request of this number (RFC 5104 section 4.3.1)."""
        await self._do("fir", number=number)

    async def limit(self, bps: int, *, overhead: int = 40) -> None:
        """Ask for no more than so many bit/s, `overhead` bytes of each packet's headers in it (RFC 5104 4.2.1)."""
        await self._do("tmmbr", bps=bps, overhead=overhead)

    async def refer(self, uri: str) -> None:
        """Ask the other side to call somebody else (RFC 3515)."""
        await self._do("refer", uri=uri)

    async def consult(self, uri: str) -> None:
        """Call somebody else beside the call that is up."""
        await self._do("consult", uri=uri)

    async def connect_the_two(self) -> None:
        """Hand the call on to whom was consulted: an attended transfer (RFC 5589 section 7)."""
        await self._do("connect")
