"""`python -m tests.bench.sound_devices`: our PulseAudio device beside ALSA's pulse plugin, at the same null sinks.

Each plays to the sink `sip` what it records from the sink `meeting`, through PJMEDIA's bridge. Clicks are sounded; both
sinks are recorded, and the time between a click in the one and in the other is what device and bridge take. Writes
build/bench/sound_devices.json.

The rival needs libasound2-plugins, and a PJSIP with ALSA, which then serves both: one built without `--disable-sound`
(scripts/build-pjproject, where libasound2-dev is), its `python` first in PYTHONPATH and its `lib` in LD_LIBRARY_PATH.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.integration.devices.pjsip import pjsip
from virtual_devices import devices
from virtual_devices.audio import MEETING_SINK, MEETING_SOURCE, SIP_SINK, AudioServer
from virtual_devices.canvas import Canvas
from virtual_devices.sound import SoundDevice

DIRECTORY = Path("build/bench")
_RATE = 48_000
_EVERY_S = 0.517  # no multiple of any frame
_CLICK_S = 0.05
_LOUD = 3000
_FRAME_MS = 20
_PLUGIN = "alsa-lib/libasound_module_pcm_pulse.so"
_CONF = """\
pcm_type.pulse {{ lib "{plugin}" }}
pcm.capture {{ type pulse server "{server}" device "{source}" }}
pcm.playback {{ type pulse server "{server}" device "{sink}" }}
pcm.both {{ type asym capture.pcm "capture" playback.pcm "playback" hint {{ show on description "both" }} }}
"""


@dataclass(frozen=True)
class Figures:
    """Of one device.

    Attributes:
        latency_p50_ms: from one sink to the other.
        latency_p95_ms: the same.
        cpu_percent: of a core, its process.
        pulse_cpu_percent: of a core, the sound server meanwhile, which serves the measurement, too.
        clicks: how many were sounded and heard.
        gaps: how often it had nothing to play, or lost what it recorded; ALSA's plugin does not tell.
    """

    latency_p50_ms: float
    latency_p95_ms: float
    cpu_percent: float
    pulse_cpu_percent: float
    clicks: int
    gaps: int | None


async def _clicks(server: str, seconds: float) -> None:
    """Sound clicks into the sink of the meeting."""
    silence = array("h", bytes(2 * int((_EVERY_S - _CLICK_S) * _RATE)))
    click = array("h", [20_000 if number // 24 % 2 else -20_000 for number in range(int(_CLICK_S * _RATE))])
    process = await asyncio.create_subprocess_exec(
        *("pacat", f"--server={server}", f"--device={MEETING_SINK}", "--raw", "--rate=48000", "--channels=1"),
        "--latency-msec=50",
        stdin=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.write((silence + click).tobytes() * int(seconds / _EVERY_S))
    process.stdin.close()
    await process.wait()


async def _onsets(server: str, source: str, onsets: list[float]) -> None:
    """Append when (CLOCK_MONOTONIC, s) each click is at a source, until cancelled."""
    process = await asyncio.create_subprocess_exec(
        *("parec", f"--server={server}", f"--device={source}", "--raw", "--rate=48000", "--channels=1"),
        "--latency-msec=2",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    quiet_since = 0.0
    try:
        while True:
            samples = array("h", (await process.stdout.read(1 << 16))[: 1 << 16])
            now = time.monotonic()
            loud = next((number for number, sample in enumerate(samples) if abs(sample) > _LOUD), None)
            if loud is not None:
                if now - quiet_since > _CLICK_S * 2:
                    onsets.append(now - (len(samples) - loud) / _RATE)
                quiet_since = now
    finally:
        process.kill()
        await process.wait()


def _latencies(sounded: Sequence[float], heard: Sequence[float]) -> list[float]:
    """Milliseconds from each click in one sink until it is in the other."""
    found = []
    for began in sounded:
        after = [at for at in heard if 0 < at - began < _EVERY_S]
        if after:
            found.append((min(after) - began) * 1000)
    return found


async def _measure(audio: AudioServer, process: asyncio.subprocess.Process, seconds: float) -> Figures:
    assert audio.pid
    assert process.stdout
    await asyncio.sleep(3)
    watched = [psutil.Process(process.pid), psutil.Process(audio.pid)]
    before = [sum(each.cpu_times()[:2]) for each in watched]
    began = time.monotonic()
    sounded: list[float] = []
    heard: list[float] = []
    recorders = [
        asyncio.create_task(_onsets(audio.server, source, onsets))
        for source, onsets in ((MEETING_SOURCE, sounded), (f"{SIP_SINK}.monitor", heard))
    ]
    await _clicks(audio.server, seconds)
    elapsed = time.monotonic() - began
    device, pulse = [
        round(100 * (sum(each.cpu_times()[:2]) - used) / elapsed, 1) for each, used in zip(watched, before, strict=True)
    ]
    for recorder in recorders:
        recorder.cancel()
    await asyncio.gather(*recorders, return_exceptions=True)
    process.terminate()
    output, _ = await process.communicate()
    gaps = re.search(rb"^gaps (\d+)", output, re.MULTILINE)
    latencies = _latencies(sounded, heard)
    cuts = statistics.quantiles(latencies, n=20)
    p50 = round(statistics.median(latencies), 1)
    return Figures(p50, round(cuts[-1], 1), device, pulse, len(latencies), int(gaps[1]) if gaps else None)


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[AudioServer, Path]]:
    with tempfile.TemporaryDirectory(prefix="sd") as name:
        audio = AudioServer(Path(name))
        await audio.start()
        try:
            yield audio, Path(name)
        finally:
            await audio.close()


async def _device(seconds: float, *more: str, plugin: Path | None = None) -> Figures:
    """Measure a device at a sound server of its own; `more` goes to `--loop`."""
    async with _server() as (audio, directory):
        env = dict(os.environ)
        if plugin is not None:
            conf = directory / "asound.conf"
            conf.write_text(_CONF.format(plugin=plugin, server=audio.server, source=MEETING_SOURCE, sink=SIP_SINK))
            env["ALSA_CONFIG_PATH"] = str(conf)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.sound_devices", "--loop", str(directory), *more),
            env=env,
            stdout=asyncio.subprocess.PIPE,
        )
        return await _measure(audio, process, seconds)


async def _loop(directory: Path, buffer_ms: int | None) -> None:
    """Play what is recorded, through PJMEDIA's bridge, until SIGTERM; ALSA where there is a buffer, else ours."""
    sound = SoundDevice(AudioServer(directory))
    if buffer_ms is None:
        await sound.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    with pjsip(Canvas(), _FRAME_MS, buffer_ms) as endpoint:
        names = devices.DeviceNames()
        manager = endpoint.audDevManager()
        index = manager.lookupDev(names.driver, names.sound) if buffer_ms is None else manager.lookupDev("ALSA", "both")
        manager.setCaptureDev(index)
        manager.setPlaybackDev(index)
        manager.getCaptureDevMedia().startTransmit(manager.getPlaybackDevMedia())
        await asyncio.sleep(2)
        before = _gaps(sound) if buffer_ms is None else 0
        await ended.wait()
        if buffer_ms is None:
            print(f"gaps {_gaps(sound) - before}", flush=True)
        manager.setNullDev()
    await sound.close()


def _gaps(sound: SoundDevice) -> int:
    stats = sound.stats()
    return stats.silent + stats.overrun + stats.discarded + stats.underflows


async def _both(seconds: float, plugin: Path) -> dict[str, Figures]:
    found = {"ours": await _device(seconds)}
    for buffer_ms in (20, 40, 60, 100):
        found[f"ALSA, {buffer_ms} ms"] = await _device(seconds, "--buffer-ms", str(buffer_ms), plugin=plugin)
    found["ours again"] = await _device(seconds)
    return found


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sound_devices", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each device")
    parser.add_argument("--plugin", type=Path, help="libasound_module_pcm_pulse.so, where it is not in its place")
    parser.add_argument("--loop", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--buffer-ms", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.loop is not None:
        asyncio.run(_loop(given.loop, given.buffer_ms))
        return
    plugin = given.plugin or next(Path("/usr/lib").glob(f"*/{_PLUGIN}"), None)
    if plugin is None:
        parser.error("install libasound2-plugins")
    load = os.getloadavg()[0]
    found = asyncio.run(_both(given.seconds, plugin))
    text = json.dumps({"load_before": load} | {name: vars(figures) for name, figures in found.items()}, indent=2)
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    (DIRECTORY / "sound_devices.json").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
