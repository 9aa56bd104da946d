"""What a demo or a bench found, as report.json and as Markdown tables; and the meters that both use.

A figure is None (null in JSON) where it was not measured. The fields are those of report.json, by these names.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

GROUPS = ("gateway", "chrome", "xvfb", "pulse", "camera")

# The name a process has in /proc, as far as the kernel keeps it (15 characters), and its group. What is not here
# belongs to the gateway itself.
_GROUP_OF = {
    "chromium": "chrome",
    "chrome": "chrome",
    "chrome_crashpad": "chrome",
    "chromedriver": "chrome",
    "xvfb": "xvfb",
    "pulseaudio": "pulse",
    "pipewire": "camera",
    "dbus-daemon": "camera",
}
_COMMAND_TIMEOUT_S = 10
_MIB = 1 << 20


@dataclass
class Percentiles:
    """Milliseconds."""

    p50: float | None = None
    p95: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Nearest-rank percentiles; both None of no values."""
        ranked = sorted(values)
        if not ranked:
            return cls()
        return cls(*(round(ranked[min(len(ranked) - 1, int(len(ranked) * share))], 1) for share in (0.5, 0.95)))

    def rounded(self) -> "Percentiles":
        """The same to a tenth of a millisecond."""
        return Percentiles(*(None if value is None else round(value, 1) for value in (self.p50, self.p95)))


@dataclass
class SetupTimes:
    """Medians, milliseconds from the INVITE: the 200, and the first picture of each direction at its far end."""

    invite_to_200: float | None = None
    to_meet_first_frame: float | None = None
    to_sip_first_frame: float | None = None


@dataclass(frozen=True)
class Readiness:
    """Milliseconds until the slot takes a call again: since the BYE, and since the SIGKILL of one of its programs."""

    after_call: Percentiles
    after_kill: dict[str, float]


@dataclass
class Video:
    """A direction's picture, as its far end got it.

    Attributes:
        codec: on the SIP leg.
        width: at the far end, pixels.
        height: at the far end, pixels.
        fps: different intact pictures a second at the far end.
        intact: share of the pictures that came whose stamp could be read, 0 to 1.
        latency_ms: the whole way, from the picture's making to its decoding at the far end.
        gateway_latency_ms: the gateway's share. to_sip: painted by its Chrome, to the last RTP packet sent; to_meet:
            last RTP packet of the picture sent to it, to its Chrome's camera track.
    """

    codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    intact: float | None = None
    latency_ms: Percentiles = field(default_factory=Percentiles)
    gateway_latency_ms: Percentiles = field(default_factory=Percentiles)


@dataclass
class Audio:
    """A direction's sound, as its far end got it.

    Attributes:
        codec: on the SIP leg.
        tone_heard: whether the other side's tone was, for most of the time.
        tone_share: for which share of it.
        latency_ms: of tone bursts, the whole way from one far end to the other.
        gateway_latency_ms: the gateway's share: of tone bursts, from RTP packet to RTP packet (PCMU on the SIP leg,
            Opus at the SFU).
    """

    codec: str | None = None
    tone_heard: bool | None = None
    tone_share: float | None = None
    latency_ms: Percentiles = field(default_factory=Percentiles)
    gateway_latency_ms: Percentiles = field(default_factory=Percentiles)


@dataclass
class Direction:
    """Picture and sound of one direction."""

    video: Video = field(default_factory=Video)
    audio: Audio = field(default_factory=Audio)


@dataclass
class Shares:
    """A figure by group of the slot's processes; `gateway` is the Python process with PJSIP and the codecs."""

    gateway: float | None = None
    chrome: float | None = None
    xvfb: float | None = None
    pulse: float | None = None
    camera: float | None = None
    total: float | None = None

    @classmethod
    def of(cls, by_group: Mapping[str, float], digits: int) -> Self:
        """With their sum as `total`."""
        rounded = {group: round(by_group.get(group, 0.0), digits) for group in GROUPS}
        return cls(**rounded, total=round(sum(by_group.values()), digits))


@dataclass
class Machine:
    """Where it was measured; `load_before` is the 1-minute load average when the run began."""

    cores: int
    load_before: float
    kernel: str
    versions: dict[str, str | None]


@dataclass
class Report:
    """report.json; `rivals`: each step that was also done as rivals do it; `loss`: what tests/bench/loss.py found."""

    machine: Machine
    setup_ms: SetupTimes = field(default_factory=SetupTimes)
    to_meet: Direction = field(default_factory=Direction)
    to_sip: Direction = field(default_factory=Direction)
    cpu_cores: Shares = field(default_factory=Shares)
    rss_mib: Shares = field(default_factory=Shares)
    ready_ms: Readiness | None = None
    rivals: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """What is worth a line for people: name, to_meet or slot, to_sip."""
        meet, sip = self.to_meet, self.to_sip
        yield "first picture after INVITE", ms(self.setup_ms.to_meet_first_frame), ms(self.setup_ms.to_sip_first_frame)
        for name, pick in _PICTURE_ROWS:
            yield name, pick(meet.video), pick(sip.video)
        for name, hear in _SOUND_ROWS:
            yield name, hear(meet.audio), hear(sip.audio)

    def markdown(self) -> str:
        """The report as Markdown tables."""
        versions = ", ".join(f"{name} {version or '?'}" for name, version in self.machine.versions.items())
        head = (
            f"{self.machine.cores} cores, load {self.machine.load_before} at the start,"
            f" Linux {self.machine.kernel}; {versions}."
        )
        shares = [
            (group, figure(getattr(self.cpu_cores, group)), figure(getattr(self.rss_mib, group)))
            for group in (*GROUPS, "total")
        ]
        parts = [
            head,
            table(("", "to the meeting", "to the SIP peer"), self.rows()),
            f"INVITE to 200: {ms(self.setup_ms.invite_to_200)}.",
            table(("", "CPU, cores", "memory, MiB"), shares),
        ]
        if self.ready_ms:
            kills = self.ready_ms.after_kill
            slowest = max(kills, key=lambda name: kills[name])
            parts.append(
                f"Ready again after a call: {ms(self.ready_ms.after_call.p50)};"
                f" after a kill, at most ({slowest}): {ms(kills[slowest])}."
            )
        return "\n\n".join(parts) + "\n"


def figure(value: float | None, unit: str = "") -> str:
    """A figure for a table; a dash for none."""
    return "-" if value is None else f"{value:g}{unit}"


def ms(value: float | None) -> str:
    """Milliseconds for a table."""
    return figure(None if value is None else round(value), " ms")


def pair(values: Percentiles) -> str:
    """Median and 95th percentile for a table."""
    return "-" if values.p50 is None else f"{figure(values.p50)} / {figure(values.p95)} ms"


def _size(video: Video) -> str:
    return "-" if video.width is None else f"{video.codec or '?'} {video.width}x{video.height}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _heard(audio: Audio) -> str:
    if audio.tone_heard is None:
        return "-"
    share = "" if audio.tone_share is None else f" {_percent(audio.tone_share)} of the time"
    return f"{audio.codec or '?'}, tone {'' if audio.tone_heard else 'not '}heard{share}"


_PICTURE_ROWS: tuple[tuple[str, Callable[[Video], str]], ...] = (
    ("picture", _size),
    ("frames a second", lambda video: figure(video.fps)),
    ("intact", lambda video: _percent(video.intact)),
    ("latency, whole way, p50 / p95", lambda video: pair(video.latency_ms)),
    ("latency, gateway's share, p50 / p95", lambda video: pair(video.gateway_latency_ms)),
)
_SOUND_ROWS: tuple[tuple[str, Callable[[Audio], str]], ...] = (
    ("sound", _heard),
    ("sound latency, whole way, p50 / p95", lambda audio: pair(audio.latency_ms)),
    ("sound latency, gateway's share, p50 / p95", lambda audio: pair(audio.gateway_latency_ms)),
)


def table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned for a terminal."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def machine(load_before: float | None = None) -> Machine:
    """This machine now; `load_before` if it was taken earlier."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        load_before=round(os.getloadavg()[0] if load_before is None else load_before, 2),
        kernel=platform.release(),
        versions={
            "chromium": _first_version("chromium", "--version"),
            "pjproject": _pjproject_version(),
            "pulseaudio": _first_version("pulseaudio", "--version"),
            "baresip": _first_version("dpkg-query", "--show", "--showformat=${Version}", "baresip-core"),
        },
    )


def _first_version(*command: str) -> str | None:
    """The first word of a command's output that begins with a digit; None if it cannot be run."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=True)
        return next((word for word in done.stdout.split() if word[0].isdigit()), None)
    return None


def _pjproject_version() -> str | None:
    """From the name of the directory that the bindings lie in; loading them would take a copy of PJSIP into memory."""
    found = importlib.util.find_spec("pjsua2")
    match = re.search(r"pjproject-([\d.]+)", str(Path(found.origin).resolve())) if found and found.origin else None
    return match[1] if match else None


class CpuMeter:
    """CPU time and memory of a gateway and its children, by group; an async context manager that samples meanwhile.

    Args:
        pid: of the gateway.
        interval_s: between samples of memory and of processes that came or went.
    """

    def __init__(self, pid: int, interval_s: float = 2.0) -> None:
        self._root = psutil.Process(pid)
        self._interval_s = interval_s
        self._groups: dict[psutil.Process, str] = {}
        self._first: dict[psutil.Process, float] = {}
        self._last: dict[psutil.Process, float] = {}
        self._memory: dict[str, float] = {}
        self._began_s = self._ended_s = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to count."""
        self._began_s = asyncio.get_running_loop().time()
        self._sample(first=True)
        self._task = asyncio.create_task(self._keep_sampling())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop counting."""
        if self._task is not None:
            self._task.cancel()
        self._sample()
        self._ended_s = asyncio.get_running_loop().time()

    async def _keep_sampling(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self._sample()

    def _sample(self, *, first: bool = False) -> None:
        memory: dict[str, float] = {}
        for process in (self._root, *self._root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                group = self._groups.get(process) or self._group(process)
                times = process.cpu_times()
                self._groups[process] = group
                self._last[process] = times.user + times.system
                if first:
                    self._first[process] = self._last[process]
                memory[group] = memory.get(group, 0.0) + _proportional_mib(process.pid)
        self._memory = {group: max(memory.get(group, 0), self._memory.get(group, 0)) for group in GROUPS}

    def _group(self, process: psutil.Process) -> str:
        return _GROUP_OF.get(process.name().lower()[:15], "gateway")

    def cores(self) -> Shares:
        """Mean number of cores that each group kept busy."""
        spent: dict[str, float] = {}
        for process, last in self._last.items():
            group = self._groups[process]
            spent[group] = spent.get(group, 0.0) + last - self._first.get(process, 0.0)
        return Shares.of({group: s / (self._ended_s - self._began_s) for group, s in spent.items()}, 3)

    def rss_mib(self) -> Shares:
        """Most resident memory of each group, MiB; what processes share is counted once (proportional set size)."""
        return Shares.of(self._memory, 1)


def _proportional_mib(pid: int) -> float:
    """Proportional set size; the resident set where the kernel does not let us look (a sandboxed child)."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return float(psutil.Process(pid).memory_info().rss) / _MIB
    return next((int(line.split()[1]) / 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0.0)
