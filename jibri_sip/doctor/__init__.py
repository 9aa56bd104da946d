"""Examines the machine and what the configuration points at: what is wrong, and how to mend it.

One check a module, each with `examine`, which returns findings and raises nothing that it foresees.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from jibri_sip.api.client import ApiProblem, Client
from jibri_sip.config.model import Settings
from jibri_sip.doctor import (
    browser,
    certificates,
    clock,
    deployment,
    devices,
    fonts,
    gateway,
    machine,
    parts,
    ports,
    space,
    user,
)
from jibri_sip.doctor.finding import Finding, Patient, Standing, wrong
from jibri_sip.errors import GatewayError, GatewayNotRunning
from jibri_sip.session.facts import StatusFacts

__all__ = ["CHECKS", "Finding", "Standing", "examine"]

Check = Callable[[Patient], Awaitable[list[Finding]]]

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "user": user.examine,
        "parts": parts.examine,
        "gateway": gateway.examine,
        "machine": machine.examine,
        "space": space.examine,
        "devices": devices.examine,
        "browser": browser.examine,
        "fonts": fonts.examine,
        "ports": ports.examine,
        "certificates": certificates.examine,
        "deployment": deployment.examine,
        "clock": clock.examine,
    }
)


async def examine(settings: Settings, *, start: bool = True) -> list[Finding]:
    """All findings, in the order of `CHECKS`.

    Args:
        settings: the gateway's.
        start: whether to start display, sound, camera and browser, as long as no gateway does.
    """
    running = await asyncio.to_thread(_running, settings)
    if isinstance(running, Finding):
        return [running]
    # As root neither sound server nor browser would start, and `user` has said so.
    patient = Patient(settings, running, start and running is None and os.geteuid() != 0)
    found = await asyncio.gather(*(_examined(name, check, patient) for name, check in CHECKS.items()))
    return [finding for findings in found for finding in findings]


def _running(settings: Settings) -> StatusFacts | Finding | None:
    """How the gateway stands that has these settings; None when there is none."""
    try:
        with Client(settings.api) as client:
            return client.status()
    except GatewayNotRunning:
        return None
    except ApiProblem as error:
        return wrong("gateway", f"the API on port {settings.api.port} refuses us: {error}", error.problem.remedy)
    except GatewayError as error:
        return wrong("gateway", error.message, error.remedy)


async def _examined(name: str, check: Check, patient: Patient) -> list[Finding]:
    """What a check found. One that fails must not hide what the others found."""
    try:
        return await check(patient)
    except Exception as error:
        return [wrong(name, f"this check failed: {error!r}", "Please report it.")]
