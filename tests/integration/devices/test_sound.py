"""The sound device against a real PulseAudio and a real PJMEDIA bridge."""

import asyncio
import os
import signal
import time
import wave
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.devices.pjsip import SOON_S, STRETCHES, pj, pjsip, run, run_until
from tests.stamps import tones
from virtual_devices import devices
from virtual_devices.audio import MEETING_SINK, MICROPHONE, AudioServer
from virtual_devices.canvas import Canvas
from virtual_devices.errors import DeviceError
from virtual_devices.sound import SoundDevice

pytestmark = pytest.mark.alone

MEETING_HZ, PEER_HZ = 440, 660
WINDOW = 4800  # samples: 100 ms
TONE_S = 60  # longer than any test plays it
HEARD_BYTES = 240_000  # 2.5 s
WHOLE = 0.9
CLOSED_S = 10.0  # some milliseconds, where the machine is not busy


def open_sound(endpoint: Any) -> None:
    """Makes our device the sound device of the bridge."""
    names = devices.DeviceNames()
    manager = endpoint.audDevManager()
    index = manager.lookupDev(names.driver, names.sound)
    manager.setCaptureDev(index)
    manager.setPlaybackDev(index)


def write_tone(path: Path, hz: int) -> None:
    """A mono wave file of a tone."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48000, 0, "NONE", ""))
        file.writeframes(tones.tone(hz, 1).tobytes() * TONE_S)


def levels(path: Path, hz: float, first: int) -> list[float]:
    """The level of a tone in each 100 ms of a mono wave file, from the window `first` on."""
    with wave.open(str(path)) as file:
        samples = array("h", file.readframes(file.getnframes()))
    starts = range(first * WINDOW, len(samples) - WINDOW + 1, WINDOW)
    return [tones.level(samples[start : start + WINDOW], hz) for start in starts]


def share(levels: list[float], wanted: float) -> float:
    """The share of the levels that are as wanted."""
    return sum(level == pytest.approx(wanted, rel=0.05) for level in levels) / len(levels)


@asynccontextmanager
async def program(*argv: str) -> AsyncIterator[None]:
    """A sound program of the test, ended with it."""
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def until_played(audio: AudioServer) -> None:
    """Wait until the meeting's tone is heard as loud as it is: a program takes its time to start."""
    deadline = time.monotonic() + SOON_S
    while (peak := await audio.peak(seconds=0.3)) != pytest.approx(tones.AMPLITUDE, rel=0.1):
        assert time.monotonic() < deadline, peak


def is_recorded(path: Path) -> bool:
    """Whether a program has written enough of what it hears."""
    return path.exists() and path.stat().st_size > HEARD_BYTES


@asynccontextmanager
async def peer_tone(endpoint: Any) -> AsyncIterator[None]:
    """A tone that the bridge plays to our device, as if a peer sounded it."""
    generator = pj.ToneGenerator()
    generator.createToneGenerator(48000, 1)
    tone = pj.ToneDesc()
    tone.freq1, tone.on_msec, tone.off_msec = PEER_HZ, 30000, 0
    sequence = pj.ToneDescVector()
    sequence.append(tone)
    generator.play(sequence, True)
    playback = endpoint.audDevManager().getPlaybackDevMedia()
    generator.startTransmit(playback)
    try:
        yield
    finally:
        generator.stopTransmit(playback)
        await run(endpoint, 0.1)
        del generator
        await run(endpoint, 0.1)


@asynccontextmanager
async def recording(endpoint: Any, path: Path) -> AsyncIterator[None]:
    """What the bridge captures from our device, in a wave file."""
    recorder = pj.AudioMediaRecorder()
    recorder.createRecorder(str(path))
    capture = endpoint.audDevManager().getCaptureDevMedia()
    capture.startTransmit(recorder)
    try:
        yield
    finally:
        capture.stopTransmit(recorder)
        await run(endpoint, 0.1)
        del recorder
        await run(endpoint, 0.1)


@pytest.fixture
async def sound(audio: AudioServer) -> AsyncIterator[SoundDevice]:
    """A connected sound device."""
    sound = SoundDevice(audio)
    try:
        await sound.start()
        yield sound
    finally:
        await sound.close()


@pytest.mark.parametrize("frame_ms", [10, 20])
async def test_both_ways(
    canvas: Canvas, audio: AudioServer, sound: SoundDevice, runtime_dir: Path, frame_ms: int
) -> None:
    """Tones pass both ways at once, unbroken and unmixed, whatever the length of the bridge's frames."""
    tone, captured, heard = (runtime_dir / name for name in ("tone.wav", "captured.wav", "heard.wav"))
    write_tone(tone, MEETING_HZ)
    microphone = ["parecord", f"--server={audio.server}", f"--device={MICROPHONE}", "--rate=48000", "--channels=1",
                  "--format=s16le", "--latency-msec=20", str(heard)]  # fmt: skip
    with pjsip(canvas, frame_ms) as endpoint:
        open_sound(endpoint)
        async with (
            program("paplay", f"--server={audio.server}", f"--device={MEETING_SINK}", str(tone)),
            peer_tone(endpoint),
        ):
            await until_played(audio)
            for _ in range(STRETCHES):
                heard.unlink(missing_ok=True)
                async with recording(endpoint, captured):
                    await run(endpoint, 1)
                    settled, began = sound.stats(), time.monotonic()
                    async with program(*microphone):
                        await run_until(endpoint, lambda: is_recorded(heard), "recording")
                    stats, ticks = sound.stats(), (time.monotonic() - began) * 1000 / frame_ms
                passed = stats.captured - settled.captured, stats.played - settled.played
                to_sip, to_meet = levels(captured, MEETING_HZ, 10), levels(heard, PEER_HZ, 3)
                whole = share(to_sip, tones.AMPLITUDE), share(to_meet, max(to_meet))
                if passed == pytest.approx((ticks, ticks), rel=0.05) and min(whole) >= WHOLE:
                    break
        endpoint.audDevManager().setNullDev()
    assert stats.connected
    assert passed == pytest.approx((ticks, ticks), rel=0.05)
    assert min(whole) >= WHOLE
    assert min(len(to_sip), len(to_meet)) >= 17
    assert max(to_meet) > 0.1
    assert max(levels(captured, PEER_HZ, 10)) < 0.02
    assert max(levels(heard, MEETING_HZ, 3)) < 0.02


async def test_levels_and_clients(audio: AudioServer, sound: SoundDevice, runtime_dir: Path) -> None:
    """The level meter sees what is played, and who plays is listed."""
    assert sound.stats().connected
    assert await audio.peak(seconds=0.2) < 0.01
    write_tone(runtime_dir / "tone.wav", MEETING_HZ)
    async with program("paplay", f"--server={audio.server}", f"--device={MEETING_SINK}", f"{runtime_dir}/tone.wav"):
        await until_played(audio)
        assert {"jibri-sip", "paplay"} <= set(await audio.clients())
    with pytest.raises(DeviceError, match="sound"):
        await audio.peak("no-such-source")


async def test_the_daemon_is_killed(endpoint: Any, audio: AudioServer, sound: SoundDevice, runtime_dir: Path) -> None:
    """The loss is told, the bridge's clock goes on, the device can be closed, and a new daemon takes over."""
    lost: list[str] = []
    audio.on_lost = lost.append
    open_sound(endpoint)
    captured = runtime_dir / "captured.wav"
    async with peer_tone(endpoint), recording(endpoint, captured):
        await run(endpoint, 0.3)
        assert audio.pid
        os.kill(audio.pid, signal.SIGKILL)
        await run_until(endpoint, lambda: bool(lost) and sound.stats().lost, "loss")
        await run(endpoint, 1)
        assert len(lost) == 1
        with pytest.raises(DeviceError):
            await audio.peak()
        start = time.monotonic()
        await sound.close()
        await audio.close()
        assert time.monotonic() - start < CLOSED_S
        await audio.start()
        again = SoundDevice(audio)
        await again.start()
        try:
            await run_until(endpoint, lambda: min(again.stats().captured, again.stats().played) > 30, "sound")
            await run(endpoint, 1)
        finally:
            await again.close()
    endpoint.audDevManager().setNullDev()
    with wave.open(str(captured)) as file:
        assert file.getnframes() / 48000 > 2


async def test_no_daemon(runtime_dir: Path) -> None:
    """Without a daemon, the error names the address, at once."""
    with pytest.raises(DeviceError, match=r"cannot record meeting\.monitor and play to sip"):
        await SoundDevice(AudioServer(runtime_dir)).start()
