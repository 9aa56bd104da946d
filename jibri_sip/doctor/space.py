"""Room on the disk, and for shared memory."""

import os
import shutil
from pathlib import Path

from jibri_sip.doctor.finding import Finding, Patient, ok, warning, wrong
from jibri_sip.slot import PROFILE_BYTES

_CHECK = "space"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (looked at only)
SHARED_BYTES = 256 << 20
"""Chromium hands pictures from process to process there. Containers often have 64 MiB, in which pages crash."""
_COMFORT = 4


async def examine(patient: Patient) -> list[Finding]:
    """For the browser's profile, which is written anew for each call."""
    return [_disk(_existing(patient.settings.instance.runtime_dir)), _shared(SHARED_MEMORY)]


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.is_dir())


def _disk(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    message = f"{free >> 20} MiB are free at {directory}"
    remedy = "Make room there, or set instance.runtime_dir to another place."
    if free < PROFILE_BYTES:
        return wrong(_CHECK, f"{message}; a call takes {PROFILE_BYTES >> 20}", remedy)
    if free < _COMFORT * PROFILE_BYTES:
        return warning(_CHECK, f"{message}, hardly enough for a long call", remedy)
    return ok(_CHECK, message)


def _shared(directory: Path) -> Finding:
    remedy = "Mount a larger tmpfs there; for a container: --shm-size=1g."
    if not os.access(directory, os.W_OK):
        return wrong(_CHECK, f"{directory} cannot be written", remedy)
    total = shutil.disk_usage(directory).total
    if total < SHARED_BYTES:
        return warning(_CHECK, f"{directory} has {total >> 20} MiB in all, in which pages may crash", remedy)
    return ok(_CHECK, f"{directory} has {total >> 20} MiB in all")
