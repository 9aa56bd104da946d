"""Chromium and its driver: their versions, and that they start with the sandbox on."""

import asyncio
import contextlib
import re
import shutil
import tempfile
from pathlib import Path

from browser.chrome import Chrome
from browser.errors import ChromeNotStarted
from jibri_sip.doctor.finding import Finding, Patient, ok, wrong
from virtual_devices import processes
from virtual_devices.canvas import Canvas
from virtual_devices.display import Display
from virtual_devices.errors import DeviceError

_CHECK = "browser"
_PACKAGES = {"chromium": "chromium", "chromedriver": "chromium-driver"}
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_ANSWER_S = 15
_SAME = "Install chromium and chromium-driver from the same source, and upgrade both together."


async def examine(patient: Patient) -> list[Finding]:
    """Both are there, of one version, and work together."""
    problem, version = await _versions()
    if problem is not None:
        return [problem]
    if not patient.start:
        return [ok(_CHECK, f"Chromium {version} and its driver")]
    with tempfile.TemporaryDirectory(prefix="doctor") as name:
        try:
            return [await _start(Path(name))]
        finally:
            await processes.reap(Path(name))


async def _versions() -> tuple[Finding | None, str]:
    """What is wrong with the programs; the version that both have."""
    versions = []
    for program, package in _PACKAGES.items():
        if shutil.which(program) is None:
            return wrong(_CHECK, f"{program} was not found", f"Install {package}."), ""
        version = await _version(program)
        if version is None:
            return wrong(_CHECK, f"{program} does not tell its version", f"Install {package} anew."), ""
        versions.append(version)
    of_chromium, of_driver = versions
    # Builds of one major version and branch work together; Debian upgrades both at once.
    if of_chromium.split(".")[0] != of_driver.split(".")[0]:
        return wrong(_CHECK, f"Chromium is {of_chromium}, but its driver is {of_driver}", _SAME), ""
    return None, of_chromium


async def _version(program: str) -> str | None:
    process = await asyncio.create_subprocess_exec(
        program,
        "--version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _ANSWER_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return None
    match = _VERSION.search(output.decode(errors="replace"))
    return match[0] if match else None


async def _start(directory: Path) -> Finding:
    display = Display(directory, Canvas())
    try:
        await display.start()
        mark = {processes.INSTANCE_VARIABLE: str(directory)}
        chrome = Chrome(directory / "chrome", {**mark, **display.env})
        return await asyncio.to_thread(_try, chrome)
    except DeviceError:
        return wrong(_CHECK, "there is no display to try it on", "Mend the display first.")
    finally:
        await display.close()


def _try(chrome: Chrome) -> Finding:
    try:
        chrome.start()
        return ok(_CHECK, f"Chromium {chrome.version} starts, in its sandbox")
    except ChromeNotStarted as error:
        remedy = f"{error.remedy[:1].upper()}{error.remedy[1:]}." if error.remedy else "See what it says."
        return wrong(_CHECK, error.problem, remedy)
    finally:
        chrome.close()
