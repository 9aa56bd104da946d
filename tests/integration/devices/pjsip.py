"""PJSIP in the tests' own process, with our devices."""

import asyncio
import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jibri_sip.sip import trace
from virtual_devices import devices
from virtual_devices.canvas import Canvas

pj: Any = importlib.import_module("pjsua2")  # the typed stub holds what the gateway uses, the tests need more

SOON_S = 20.0
STRETCHES = 6
"""So often a machine that stands still for a second now and then has the chance to keep a rate."""


@contextmanager
def pjsip(canvas: Canvas, frame_ms: int = 20, buffer_ms: int | None = None) -> Iterator[Any]:
    """An endpoint with our devices registered, as the gateway has it: no worker threads, 48 kHz all the way.

    Args:
        canvas: of the video devices.
        frame_ms: length of the audio bridge's frames, 10 or 20 ms.
        buffer_ms: what a sound device that asks for it is told to hold; PJMEDIA's default where it is None.
    """
    # Else what it says of its start is printed after the tests' own last line.
    trace.hush()
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.medConfig.clockRate = config.medConfig.sndClockRate = 48000
    config.medConfig.audioFramePtime = frame_ms
    config.medConfig.ecTailLen = 0
    if buffer_ms is not None:
        config.medConfig.sndRecLatency = config.medConfig.sndPlayLatency = buffer_ms
    config.logConfig.level = config.logConfig.consoleLevel = 2
    endpoint.libInit(config)
    devices.register(canvas)
    endpoint.libStart()
    try:
        yield endpoint
    finally:
        endpoint.libDestroy()
        # There can be one only, and a failed test's traceback would keep it: the next one would abort the process.
        type(endpoint).__swig_destroy__(endpoint)
        endpoint.thisown = False


async def run(endpoint: Any, seconds: float) -> None:
    """Lets PJSIP work for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        endpoint.libHandleEvents(1)
        await asyncio.sleep(0.005)


async def run_until(endpoint: Any, probe: Callable[[], bool], what: str) -> None:
    """Lets PJSIP work until something is so."""
    deadline = time.monotonic() + SOON_S
    while not probe():
        assert time.monotonic() < deadline, f"no {what} within {SOON_S} s"
        await run(endpoint, 0.05)
