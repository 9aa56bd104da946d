"""`python -m tests.bench`: measures the gateway on this machine; writes build/bench/report.{json,md} and plot.png."""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from jibri_sip.sip.settings import Picture
from tests import report as reports
from tests.bench import calls, loss, own_share, plot, readiness, rivals
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting

DIRECTORY = Path("build/bench")
_PICTURE = (1280, 720, 30)
_CALLS = 5


def _progress() -> Callable[[str], None]:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s, load {os.getloadavg()[0]:.1f}] {text}", flush=True)

    return say


async def _with_meeting(parts: set[str], report: reports.Report, say: Callable[[str], None]) -> None:
    async with EmbeddedMeeting(DIRECTORY, library_directory()) as meeting:
        if "set-up" in parts:
            say(f"set-up time: {_CALLS} calls to a warm gateway")
            report.setup_ms = await calls.set_up(meeting, DIRECTORY / "set-up.log", _CALLS, say)
        if "ready" in parts:
            say("ready again: after calls, and after kills")
            report.ready_ms = await readiness.measure(meeting, DIRECTORY / "ready.log", say)
        if "whole" in parts:
            say("whole way: 720p30 both ways")
            await calls.whole_way(meeting, DIRECTORY / "whole-way.log", report, _PICTURE)
        if "share" in parts:
            say("the gateway's own share of the delay, 720p30 both ways")
            share = await own_share.measure(meeting, DIRECTORY / "own-share.log")
            report.to_sip.video.gateway_latency_ms = share.to_sip_ms
            report.to_meet.video.gateway_latency_ms = share.to_meet_ms
            report.to_sip.audio.gateway_latency_ms = share.sound_to_sip_ms
            report.to_meet.audio.gateway_latency_ms = share.sound_to_meet_ms
            say(f"at the gateway's devices: {share.to_meet_fps} / {share.to_sip_fps} frames a second")


async def _bench(parts: set[str], lossy: Picture) -> reports.Report:
    say = _progress()
    report = reports.Report(reports.machine(os.getloadavg()[0]))
    if parts & {"set-up", "ready", "whole", "share"}:
        await _with_meeting(parts, report, say)
    if "loss" in parts:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        report.loss = await loss.measure(DIRECTORY, say, lossy)
    if "rivals" in parts:
        say("rivals: the same steps as others do them, in turn")
        async with rivals.Bench(say) as bench:
            report.rivals = await bench.measure()
    say("done")
    return report


def _rivals_table(report: reports.Report) -> str:
    rows = [
        (step, name, f"{way['cpu_cores']:.3f}", reports.figure(way["fps"]), reports.figure(way["ratio"]))
        for step, ways in report.rivals.items()
        for name, way in ways.items()
    ]
    return reports.table(("step", "way", "CPU, cores", "frames a second", "times ours"), rows)


def _loss_tables(report: reports.Report) -> str:
    if not report.loss:
        return ""
    each = "intact frames a second (clean in all of it) / frozen / added latency"
    packets = (
        "largest packet, bytes",
        "packets a second",
        "kbit/s with headers",
        "headers",
        "intact fps",
        "CPU, cores",
    )
    return "\n\n".join(
        [
            reports.table(
                ("pair", "loss", f"to the SIP peer: {each}", "to the meeting: the same"), loss.rows(report.loss)
            ),
            reports.table(packets, loss.packet_rows(report.loss)),
        ]
    )


def main() -> None:
    """Measure, write, print."""
    names = ("set-up", "ready", "whole", "share", "loss", "rivals")
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="parts of it")
    parser.add_argument("--small", action="store_true", help="a small picture on lossy lines, for a machine in use")
    options = parser.parse_args()
    parts = set(options.only)
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    report = asyncio.run(_bench(parts, loss.SMALL if options.small else loss.FULL))
    text = "\n".join([report.markdown(), _rivals_table(report), "", _loss_tables(report), ""])
    report.write(DIRECTORY / "report.json")
    (DIRECTORY / "report.md").write_text(text)
    plot.draw(report, DIRECTORY / "plot.png")
    sys.stdout.write(f"\n{text}\nwritten to {DIRECTORY}/: report.json, report.md, plot.png\n")


if __name__ == "__main__":
    main()
