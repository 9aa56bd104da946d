"""Which tests may run side by side, and which need the machine to themselves (`scripts/run-tests`)."""

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
