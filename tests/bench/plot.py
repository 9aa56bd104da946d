"""The report as a picture."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from tests.report import GROUPS, Percentiles, Report

_COLOURS = {"to the meeting": "#2a6f97", "to the SIP peer": "#e07a1f"}


def draw(report: Report, path: Path) -> None:
    """Write latencies, CPU and the comparison with rivals as PNG."""
    figure, (delays, cpu, rivals) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    _draw_delays(delays, report)
    shares = {group: getattr(report.cpu_cores, group) or 0.0 for group in GROUPS}
    cpu.bar(list(shares), list(shares.values()), color="#2a6f97")
    cpu.set_title("CPU of the slot, 720p30 both ways, cores")
    ratios = {f"{name}\n{step}": row["ratio"] for step, rows in report.rivals.items() for name, row in rows.items()}
    known = {name: ratio for name, ratio in ratios.items() if ratio is not None}
    rivals.barh(list(known), list(known.values()), color="#7a7a7a")
    rivals.axvline(1, color="#2a6f97")
    rivals.set_title("CPU of the same step, as a multiple of ours")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw_delays(axes: Any, report: Report) -> None:
    """p50 as a bar, p95 as a line above it."""
    names = ("picture,\nwhole way", "picture,\ngateway", "sound,\nwhole way", "sound,\nmeeting to RTP")
    for offset, (label, way) in enumerate(zip(_COLOURS, (report.to_meet, report.to_sip), strict=True)):
        picture, sound = way.video, way.audio
        values = (picture.latency_ms, picture.gateway_latency_ms, sound.latency_ms, sound.gateway_latency_ms)
        places = [at + offset * 0.4 for at in range(len(values))]
        axes.bar(places, [value.p50 or 0 for value in values], width=0.38, label=label, color=_COLOURS[label])
        axes.errorbar(places, [value.p50 or 0 for value in values], yerr=_above(values), fmt="none", ecolor="#444")
    axes.set_xticks([at + 0.2 for at in range(len(names))], names)
    axes.set_title("latency p50 (line: p95), ms")
    axes.legend()


def _above(values: tuple[Percentiles, ...]) -> list[list[float]]:
    return [[0.0] * len(values), [(value.p95 or 0) - (value.p50 or 0) for value in values]]
