"""A Chromium with a page that opens the camera by plain getUserMedia and reads the stamps of what it gets."""

import functools
import http.server
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.remote_connection import ChromeRemoteConnection
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.client_config import ClientConfig

from virtual_devices.patience import PATIENCE

ANSWER_S = max(60, round(10 * PATIENCE))

# Pages that nobody sees: without KVM they take minutes.
FLAGS = ("--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",)

STAMPS = Path(__file__).parents[2] / "stamps"

PAGE = """<!doctype html><title>camera</title><script src="stamp.js"></script><script>
const seen = [];
let track;

// Also the brightness of a pixel at the left edge, which tells pillar boxes from picture.
async function readStamp(frame) {
    const width = frame.codedWidth & ~1;
    const lines = [];
    for (const y of Stamp.middleRows(frame.codedHeight)) {
        const rect = { x: 0, y, width, height: 2 };
        const buffer = new Uint8Array(frame.allocationSize({ rect }));
        const layout = await frame.copyTo(buffer, { rect });
        lines.push(buffer.subarray(layout[0].offset, layout[0].offset + width));
    }
    return [ Stamp.readLines(lines, width), lines[0][2] ];
}

async function follow() {
    const reader = new MediaStreamTrackProcessor({ track: track.clone(), maxBufferSize: 2 }).readable.getReader();
    for (;;) {
        const { value: frame, done } = await reader.read();
        if (done) return;
        const at = Stamp.now();
        const [ stamp, edge ] = await readStamp(frame);
        seen.push({ edge, counter: stamp ? stamp.counter : null, latency: stamp ? Stamp.age(stamp, at) : null,
            width: frame.codedWidth, height: frame.codedHeight });
        frame.close();
    }
}

async function open() {
    const stream = await navigator.mediaDevices.getUserMedia(
        { video: { width: 1280, height: 720, frameRate: 30 } });
    track = stream.getVideoTracks()[0];
    follow();
    return track.label;
}
</script>"""


@dataclass(frozen=True)
class Frame:
    """One frame of the camera track; counter and latency (ms) are None without an intact stamp.

    `edge` is the luma of a pixel at the left edge.
    """

    edge: int
    counter: int | None
    latency: float | None
    width: int
    height: int


class CameraPage:
    """The page in its browser. Blocking calls."""

    def __init__(self, driver: webdriver.Remote, chromedriver: int) -> None:
        self._driver = driver
        self._chromedriver = chromedriver

    def open(self) -> str:
        """Opens the camera; returns its label."""
        return str(self._driver.execute_async_script("open().then(arguments[0], e => arguments[0]('' + e))"))

    def kill(self) -> None:
        """Kills the whole browser, as an accident would."""
        browser = psutil.Process(self._chromedriver)
        for process in browser.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def take(self) -> list[Frame]:
        """The frames since the last call."""
        return [Frame(**frame) for frame in self._driver.execute_script("return seen.splice(0)")]

    def track_state(self) -> str:
        """`live` or `ended`."""
        return str(self._driver.execute_script("return track.readyState"))


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        content = PAGE.encode() if self.path == "/" else (STAMPS / "stamp.js").read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if self.path == "/" else "text/javascript")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Not in the tests' output."""


def _wait_for_page(driver: webdriver.Remote) -> None:
    deadline = time.monotonic() + ANSWER_S
    while not driver.execute_script("return typeof seen !== 'undefined' && document.readyState === 'complete'"):
        assert time.monotonic() < deadline, "the page was not loaded"
        time.sleep(0.05)


@contextmanager
def camera_page(profile: Path, env: Mapping[str, str], flags: Sequence[str]) -> Iterator[CameraPage]:
    """Starts Chromium, sandbox on, in the given environment, and shows the page."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        *flags, *FLAGS, "--kiosk", "--window-position=0,0", "--window-size=1280,720", "--no-first-run", "--disable-gpu",
        "--force-color-profile=srgb", "--auto-accept-camera-and-microphone-capture", f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(flag)
    # chromedriver can wait for ever, where that takes minutes, for a page that is not even ours.
    options.page_load_strategy = "none"
    options.timeouts = {"script": ANSWER_S * 1000, "pageLoad": ANSWER_S * 1000}
    options.add_experimental_option("browserStartupTimeout", ANSWER_S * 1000)
    service = Service("/usr/bin/chromedriver", env=dict(env))
    try:
        service.start()
        try:
            where = ClientConfig(remote_server_addr=service.service_url, timeout=2 * ANSWER_S)
            connection = ChromeRemoteConnection(service.service_url, client_config=where)
            driver = webdriver.Remote(connection, options=options)
            try:
                driver.get(f"http://localhost:{server.server_port}/")
                _wait_for_page(driver)
                yield CameraPage(driver, service.process.pid)
            finally:
                driver.quit()
        finally:
            service.stop()
    finally:
        server.shutdown()
        server.server_close()
