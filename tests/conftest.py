"""Which tests may run side by side, which need the machine to themselves (`scripts/run-tests`), or a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_HEAVY_ROOMS = ("e2e", "integration/browser", "integration/devices", "integration/meeting")
"""Chromium, 720p or the sound's clock are in nearly everything there."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--share`: one share of the tests only."""
    parser.addoption(
        "--share",
        choices=("light", "heavy"),
        help="only the tests that may run side by side, or only those that need the machine to themselves",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is heavy by where it lies; leave out the other share."""
    heavy_rooms = [_HERE / room for room in _HEAVY_ROOMS]
    for item in items:
        if any(item.path.is_relative_to(room) for room in heavy_rooms):
            item.add_marker("heavy")
    share = config.getoption("share")
    if share is None:
        return
    shares: dict[str, list[pytest.Item]] = {"light": [], "heavy": []}
    for item in items:
        shares["heavy" if item.get_closest_marker("heavy") else "light"].append(item)
    items[:] = shares.pop(share)
    config.hook.pytest_deselected(items=[item for others in shares.values() for item in others])


_IN_OWN_NETWORK = "JIBRI_SIP_TEST_IN_OWN_NETWORK"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is marked `own_network` in a network namespace, as its root (tests/peer/netns.py)."""
    if pyfuncitem.get_closest_marker("own_network") is None or _IN_OWN_NETWORK in os.environ:
        return None
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, pyfuncitem.nodeid],
        cwd=pyfuncitem.config.rootpath,
        env={**os.environ, _IN_OWN_NETWORK: "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"in a network of its own:\n{done.stdout[-20000:]}\n{done.stderr[-4000:]}", pytrace=False)
    return True
