"""Processors and memory."""

import os

import psutil

from jibri_sip.doctor.finding import Finding, Patient, ok, warning

_CHECK = "machine"
CORES = 2
MEMORY_MIB = 800
"""A slot with a call takes some 600 MiB, most of it Chromium's, and more with many participants."""


async def examine(patient: Patient) -> list[Finding]:
    """Enough for a call of 720p30 both ways."""
    cores = len(os.sched_getaffinity(0))
    available = psutil.virtual_memory().available >> 20
    findings = []
    if cores < CORES:
        remedy = "Give it two, or lower video.width, video.height and video.fps."
        findings.append(warning(_CHECK, f"{cores} core; a call of 720p30 takes about 0.7, at its begin two", remedy))
    if patient.running is None and available < MEMORY_MIB:
        remedy = f"Have {MEMORY_MIB} MiB for each instance, or end what takes the memory."
        findings.append(warning(_CHECK, f"{available} MiB of memory are available; a call takes 600", remedy))
    return findings or [ok(_CHECK, f"{cores} cores, {available} MiB of memory available")]
