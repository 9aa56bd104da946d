"""What tests/appliance/run has prepared, and what was measured."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def prepared() -> Path:
    """The directory with image, kernel, key."""
    directory = os.environ.get("JIBRI_SIP_APPLIANCE")
    if not directory:
        pytest.fail("these tests need an image: run them by tests/appliance/run, as root (make test-appliance)")
    return Path(directory)


@pytest.fixture(scope="session")
def logs() -> Path:
    """Where the machines' consoles are kept, for those who ask why a test failed."""
    directory = Path("build", "appliance").absolute()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture(scope="session")
def figures(prepared: Path, logs: Path) -> Iterator[dict[str, float]]:
    """What was measured, by its name and unit; written to build/appliance/figures.json, with the load beside it."""
    built = prepared / "figures.json"
    measured: dict[str, float] = json.loads(built.read_text()) if built.exists() else {}
    measured["image, qcow2, MiB"] = round((prepared / "image.qcow2").stat().st_size / 2**20)
    measured["load of this machine at the start"] = round(os.getloadavg()[0], 1)
    yield measured
    measured["load of this machine at the end"] = round(os.getloadavg()[0], 1)
    (logs / "figures.json").write_text(json.dumps(measured, indent=2) + "\n")
