"""PJSIP and our own native parts."""

import asyncio
import importlib

from jibri_sip.doctor.finding import Finding, Patient, ok, wrong

_CHECK = "parts"
_NATIVE = (
    "jibri_sip.sip.endpoint",
    "jibri_sip.sip.door._door",
    "jibri_sip.sip.native._wire",
    "virtual_devices.native.binding",
)


async def examine(_patient: Patient) -> list[Finding]:
    """They load, with all the libraries that they were linked against."""
    found = await asyncio.gather(*(asyncio.to_thread(_problem, name) for name in _NATIVE))
    problems = [problem for problem in found if problem is not None]
    return problems or [ok(_CHECK, "PJSIP and the native devices load")]


def _problem(name: str) -> Finding | None:
    try:
        importlib.import_module(name)
    except (ImportError, OSError) as error:
        return wrong(
            _CHECK, f"{name} cannot be loaded: {error}", "Install the package anew; in a checkout, run `make` again."
        )
    return None
