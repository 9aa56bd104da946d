"""Displays, a site, and Chromes for the browser's tests."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from browser import Chrome, process_tree
from tests.integration.browser.site import Site, serve

# Chrome's own moving picture and beeps instead of a camera and a microphone.
FAKE_DEVICES = ["--use-fake-device-for-media-stream"]

StartChrome = Callable[..., Chrome]


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """A bare X display, two pixels larger each way than the page."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1282x722x24", "-nocursor", "-nolisten", "tcp"]
    # Begun anew after its last client, it would throw out one who comes meanwhile.
    process = subprocess.Popen([*command, "-noreset"], pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    try:
        yield ":" + os.read(reader, 16).decode().strip()
    finally:
        process.terminate()
        process.wait()
        os.close(reader)


@pytest.fixture
def profile_root() -> Iterator[Path]:
    """A directory with a short name; whatever is left in it is an error."""
    with tempfile.TemporaryDirectory(prefix="jsb-") as name:
        yield Path(name)
        assert list(Path(name).iterdir()) == []


@pytest.fixture
def start_chrome(display: str, profile_root: Path) -> Iterator[StartChrome]:
    """Start Chromes of one's own; they are closed at the end, and must have left nothing."""
    started: list[Chrome] = []

    def start(**options: object) -> Chrome:
        chrome = Chrome(profile_root, {"DISPLAY": display}, FAKE_DEVICES, **options)  # type: ignore[arg-type]
        started.append(chrome)
        chrome.start()
        return chrome

    yield start
    for chrome in started:
        pids = chrome.pids()
        chrome.close()
        assert not any(map(process_tree.is_alive, pids))


@pytest.fixture(scope="session")
def shared_chrome(display: str) -> Iterator[Chrome]:
    """One Chrome for all tests that leave it whole."""
    with tempfile.TemporaryDirectory(prefix="jsb-") as name:
        chrome = Chrome(Path(name), {"DISPLAY": display}, FAKE_DEVICES)
        chrome.start()
        yield chrome
        chrome.close()
        assert list(Path(name).iterdir()) == []


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The site with the stand-in for Jitsi Meet's page."""
    with serve() as running:
        yield running
