"""Which tests may run side by side, which need the machine to themselves (`scripts/run-tests`), or a network."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

# How long examples take says more of the machine than of the code.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

SHARES = ("light", "heavy", "alone")
_HERE = Path(__file__).parent
_HEAVY_ROOMS = [_HERE / room for room in ("e2e", "integration/browser", "integration/devices", "integration/meeting")]
"""Chromium is in nearly everything there."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--share`: one share of the tests only."""
    parser.addoption("--share", choices=SHARES, help="only the tests of this share (see tests/conftest.py)")


def _share(item: pytest.Item) -> str:
    """Of which share a test is: by its marks, else by where it lies."""
    if item.get_closest_marker("alone"):
        return "alone"
    if item.get_closest_marker("heavy") or any(item.path.is_relative_to(room) for room in _HEAVY_ROOMS):
        return "heavy"
    return "light"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other shares."""
    share = config.getoption("share")
    if share is None:
        return
    shares: dict[str, list[pytest.Item]] = {name: [] for name in SHARES}
    for item in items:
        shares[_share(item)].append(item)
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
