"""Chrome on a display of ours: one fresh profile, sandbox on, no process and no file left afterwards."""

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from selenium.webdriver.chrome.options import Options

from browser import flags as chrome_flags
from browser import process_tree
from browser.chromedriver import DIES_WITH_PARENT, Chromedriver
from browser.driver import SCRIPT_TIMEOUT_S, Driver
from browser.errors import ChromeGone, ChromeNotStarted, StartKind
from browser.page import MeetingPage
from browser.patience import PATIENCE

# What Chrome gets of our own environment; the rest (secrets of the service among it) stays here.
_PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "TZ", "XAUTHORITY", "DISPLAY", "JIBRI_SIP_INSTANCE_DIR"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)
# Chrome makes a socket 58 characters below TMPDIR, and a socket's path has 107 at most (unix(7)); longer,
# it hangs in its start.
_TMPDIR_CHARS = 48
_SHORT = Path("/tmp")  # noqa: S108  (private directories are made in it)
_START_TIMEOUT_S = round(30 * PATIENCE)
_WATCH_S = 0.1
_LAUNCHER = Path(__file__).with_name("launch")
"""Not made where the profile is: nothing can be executed in /run (noexec, as initramfs-tools mounts it)."""
_PID_FILE = "chrome.pid"


class Chrome:
    """One Chrome: started once, closed once, then replaced.

    Synchronous, and tied to one thread: `start()` must be called in a thread that outlives Chrome, for Chrome
    is killed by the kernel when that thread ends. `alive()`, `pids()` and the page's `abort()` may be called
    from any thread.

    Args:
        profile_root: A directory of the instance; profiles are made and removed in it.
        env: Added to the few variables that Chrome gets: the display's, the sound server's, the camera's.
        flags: The devices' own flags for Chrome. Their `--enable-features` are merged with ours.
        size: The page's width and height in pixels; the display must be two pixels larger each way, or
            Chrome makes its window one pixel smaller.
        log: Gets the lines that chromedriver and Chrome print, in a thread of its own.
        chromium: The browser, by name or path.
        chromedriver: Its driver, of the same version.
    """

    def __init__(
        self,
        profile_root: Path,
        env: Mapping[str, str],
        flags: Sequence[str] = (),
        size: tuple[int, int] = (1280, 720),
        log: Callable[[str], None] | None = None,
        *,
        chromium: str = "chromium",
        chromedriver: str = "chromedriver",
    ) -> None:
        self._profile_root = profile_root
        self._env = dict(env)
        self._flags = list(flags)
        self._size = size
        self._log = log or (lambda _line: None)
        self._chromium = chromium
        self._chromedriver = chromedriver
        self._directory: Path | None = None
        self._temporary: Path | None = None
        self._process: Chromedriver | None = None
        self._driver: Driver | None = None
        self._page: MeetingPage | None = None

    def start(self, timeout: int = _START_TIMEOUT_S) -> None:
        """Start Chrome and rest on the blank page; about one second.

        Raises:
            ChromeNotStarted: What is missing, and what to do about it.
        """
        programs = self._check()
        try:
            directory = self._make_directory()
            self._process = Chromedriver(programs["chromedriver"], self._environment(directory, programs), self._log)
            options = self._options(directory)
            try:
                with _ended_with(directory / _PID_FILE, self._process):
                    self._driver = Driver(self._process.url, options, self.alive, timeout)
            except ChromeNotStarted as error:
                self._process.close_output()
                raise diagnose(f"{error} | {self._process.output()}") from None
            self._page = MeetingPage(self._driver)
            self._page.show_blank()
        except BaseException:
            self.close()
            raise

    def page(self) -> MeetingPage:
        """Return the one page.

        Raises:
            ChromeGone: Chrome is not started, or closed.
        """
        if self._page is None:
            raise ChromeGone("Chrome is not running")
        return self._page

    def alive(self) -> bool:
        """Return whether chromedriver and Chrome's main process both run."""
        process, driver = self._process, self._driver
        if process is None or not process.is_alive():
            return False
        return driver is None or process_tree.is_alive(driver.chrome_pid)

    def pids(self) -> list[int]:
        """Return all processes of this Chrome, chromedriver's first."""
        process = self._process
        if process is None:
            return []
        found = process_tree.members(process.pid, self._mark())
        return sorted(found, key=lambda pid: pid != process.pid)

    @property
    def chrome_pid(self) -> int | None:
        """Chrome's main process, for accounts of CPU and memory."""
        return None if self._driver is None else self._driver.chrome_pid

    @property
    def version(self) -> str | None:
        """Chrome's version."""
        return None if self._driver is None else self._driver.version

    def close(self) -> None:
        """End everything and remove the profile; in any state, any number of times, within some six seconds."""
        driver, process = self._driver, self._process
        if driver is not None:
            driver.close()
        self._page = self._driver = None
        if process is not None:
            process.kill()
            left = process_tree.kill(process.pid, self._mark())
            if left:
                self._log(f"processes of Chrome that cannot be killed: {left}")
            process.close_output()
            self._process = None
        for path in (self._directory, self._temporary):
            if path is not None:
                shutil.rmtree(path, ignore_errors=True)
        self._directory = self._temporary = None

    def _check(self) -> dict[str, str]:
        """Find the programs.

        Raises:
            ChromeNotStarted: One is missing, there is no display, or we are root.
        """
        if os.geteuid() == 0:
            raise ChromeNotStarted(
                "root", "Chrome does not run as root", "run as an unprivileged user (its sandbox is never turned off)"
            )
        if not (self._env.get("DISPLAY") or os.environ.get("DISPLAY")):
            raise ChromeNotStarted("display-missing", "no DISPLAY is given", "start the virtual display first")
        packages: list[tuple[str, str, StartKind, str]] = [
            ("chromium", self._chromium, "chromium-missing", "chromium"),
            ("chromedriver", self._chromedriver, "chromedriver-missing", "chromium-driver"),
            ("setpriv", DIES_WITH_PARENT[0], "setpriv-missing", "util-linux"),
        ]
        found = {}
        for name, program, kind, package in packages:
            path = shutil.which(program)
            if path is None:
                raise ChromeNotStarted(kind, f"{program} was not found", f"install {package}")
            found[name] = path
        if not os.access(_LAUNCHER, os.X_OK):
            raise ChromeNotStarted(
                "chromium-missing",
                f"{_LAUNCHER} cannot be executed",
                "install the gateway anew, on a file system that is not mounted with noexec",
            )
        return found

    def _make_directory(self) -> Path:
        """Make the profile's directory, and a home and a place for temporary files in it."""
        self._profile_root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory = Path(tempfile.mkdtemp(prefix="chrome-", dir=self._profile_root))
        (directory / "home").mkdir()
        self._temporary = directory / "tmp"
        if len(str(self._temporary)) > _TMPDIR_CHARS:
            self._temporary = Path(tempfile.mkdtemp(prefix=_prefix(self._profile_root), dir=_SHORT))
        self._temporary.mkdir(exist_ok=True)
        return directory

    def _mark(self) -> str:
        return f"JIBRI_SIP_BROWSER={self._directory}\0"

    def _environment(self, directory: Path, programs: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {
            # Without a bus of the camera's, Chrome is not to look for the desktop's.
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
            **inherited,
            **self._env,
            "HOME": str(directory / "home"),
            "TMPDIR": str(self._temporary),
            # For the launcher; the first is the mark by which Chrome's processes are known, too.
            "JIBRI_SIP_BROWSER": str(directory),
            "JIBRI_SIP_CHROMIUM": programs["chromium"],
        }

    def _options(self, directory: Path) -> Options:
        options = Options()
        options.binary_location = str(_LAUNCHER)
        for argument in chrome_flags.command_line(directory / "profile", self._size, self._flags):
            options.add_argument(argument)
        options.add_experimental_option("excludeSwitches", list(chrome_flags.EXCLUDED_SWITCHES))
        options.add_experimental_option("prefs", dict(chrome_flags.PREFERENCES))
        # chromedriver's own limit is a minute; ours is to be the first to end, or as long.
        options.add_experimental_option("browserStartupTimeout", max(60, _START_TIMEOUT_S) * 1000)
        # The page is watched by its agent; waiting in chromedriver could not be broken off.
        options.page_load_strategy = "none"
        options.unhandled_prompt_behavior = "accept"
        options.timeouts = {"script": SCRIPT_TIMEOUT_S * 1000, "pageLoad": 10_000}
        return options


def _prefix(profile_root: Path) -> str:
    return f"chrome-{hashlib.sha256(str(profile_root).encode()).hexdigest()[:12]}-"


def remove_leftovers(profile_root: Path) -> None:
    """Remove what a killed owner of this directory left in /tmp; nobody else may have a Chrome in it now."""
    for path in _SHORT.glob(f"{_prefix(profile_root)}*"):
        with suppress(OSError):
            if path.lstat().st_uid == os.geteuid():
                shutil.rmtree(path)


@contextmanager
def _ended_with(chrome: Path, process: Chromedriver) -> Iterator[None]:
    """Kill chromedriver when Chrome dies in its start: it would wait for Chrome until the time-out."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_WATCH_S):
            pid = chrome.read_text().strip() if chrome.exists() else ""
            # A dead child without a process id left: the launcher itself was not to be executed.
            if not process_tree.is_alive(int(pid)) if pid else process_tree.has_dead_child(process.pid):
                process.kill()
                return

    watcher = threading.Thread(target=watch, name="chrome-start-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def diagnose(output: str) -> ChromeNotStarted:
    """Return what chromedriver's and Chrome's last words mean."""
    text = output[-1500:]
    if "only supports Chrome version" in text:
        return ChromeNotStarted(
            "version-mismatch",
            "chromedriver and Chrome are of different versions",
            "install chromium and chromium-driver from the same source, and upgrade both together",
        )
    if any(words in text for words in ("No usable sandbox", "SUID sandbox helper", "Failed to move to new namespace")):
        return ChromeNotStarted(
            "sandbox-missing",
            "Chrome has no sandbox here",
            "install chromium-sandbox, or allow unprivileged user namespaces (sysctl user.max_user_namespaces)",
        )
    if "Missing X server" in text or "cannot open display" in text:
        return ChromeNotStarted(
            "display-missing", "Chrome could not open the display", "check DISPLAY and XAUTHORITY, and that Xvfb runs"
        )
    return ChromeNotStarted("start-failed", f"Chrome did not start: {text}", "")
