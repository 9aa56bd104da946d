"""The WebDriver session: a handful of commands, each bounded in time, each with our errors.

Selenium's own errors and urllib3's end here.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import (
    InvalidSessionIdException,
    NoSuchWindowException,
    SessionNotCreatedException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.remote_connection import ChromeRemoteConnection
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.remote.client_config import ClientConfig
from urllib3.exceptions import HTTPError, ReadTimeoutError

from browser.errors import BrowserError, ChromeGone, ChromeNotStarted, PageHung
from browser.patience import PATIENCE

# A page that is alive answers in milliseconds. The script's limit is chromedriver's, the other one is for a
# chromedriver or Chrome that says nothing at all.
SCRIPT_TIMEOUT_S = round(2 * PATIENCE)
ANSWER_TIMEOUT_S = SCRIPT_TIMEOUT_S + 1

# What dies closes its connections first, and is seen to be dead a moment later.
_DEATH_S = 1.0 * PATIENCE
_DEATH_POLL_S = 0.01

_GONE = ("disconnected", "not reachable", "tab crashed", "not connected", "target window already closed")
_BETWEEN_DOCUMENTS = ("aborted by navigation", "execution context", "Cannot find context", "loader has changed")

# The only way from Python into the page: a verb of the agent and its arguments, both as data.
_CALL = "return window.jibriSipAgent ? window.jibriSipAgent[arguments[0]](...arguments[1]) : null"


class _BetweenDocuments(BrowserError):  # noqa: N818  # a moment rather than an error
    """One document has gone and the next is not there yet."""


class Driver:
    """A WebDriver session with one Chrome.

    Args:
        url: Where chromedriver listens.
        options: Chrome's options.
        is_alive: Tells, when something fails, whether both processes still run.
        start_timeout: How long Chrome may take to start, seconds.

    Raises:
        ChromeNotStarted: Chrome did not start; the caller knows the processes' output.
    """

    def __init__(self, url: str, options: Options, is_alive: Callable[[], bool], start_timeout: int) -> None:
        self._is_alive = is_alive
        self._config = ClientConfig(
            remote_server_addr=url,
            timeout=start_timeout,
            proxy=Proxy({"proxyType": ProxyType.DIRECT}),
            # A command is not repeated: it may have been carried out.
            init_args_for_pool_manager={"init_args_for_pool_manager": {"retries": False}},
        )
        self._connection = ChromeRemoteConnection(url, client_config=self._config)
        try:
            self._remote = webdriver.Remote(command_executor=self._connection, options=options)
        except (SessionNotCreatedException, WebDriverException, HTTPError, OSError) as error:
            self._connection.close()  # type: ignore[no-untyped-call]
            raise ChromeNotStarted("start-failed", _first_line(error), "") from None
        self._config.timeout = ANSWER_TIMEOUT_S

    @property
    def chrome_pid(self) -> int:
        """Chrome's main process."""
        return int(self._remote.capabilities["goog:processID"])

    @property
    def version(self) -> str:
        """Chrome's version."""
        return str(self._remote.capabilities["browserVersion"])

    def navigate(self, url: str) -> None:
        """Send the page to a URL; return at once, the agent tells what became of it."""
        with self._our_errors():
            self._remote.get(url)

    def replace(self, url: str) -> None:
        """Send the page to a local URL (`data:`), whatever it is doing; return when it is there.

        Unlike `navigate` it also gets away from a server that does not answer.
        """
        self._cdp("Page.navigate", {"url": url})

    def url(self) -> str | None:
        """Return the URL of the document that is shown; while the next one loads, still the one before.

        None in the moment of the change.
        """
        try:
            history = self._cdp("Page.getNavigationHistory", {})
        except _BetweenDocuments:
            return None
        return str(history["entries"][history["currentIndex"]]["url"])

    def call(self, verb: str, *arguments: Any) -> Any:
        """Call a verb of the agent; None when there is no agent in the document at this moment.

        Between `navigate` and the answer of the server this waits, for Chrome holds scripts back then; ask
        `url` first.

        Raises:
            ChromeGone: Chrome, chromedriver or the page's process is dead.
            PageHung: No answer in time.
            BrowserError: The verb failed in the page.
        """
        try:
            with self._our_errors():
                return self._remote.execute_script(_CALL, verb, list(arguments))
        except _BetweenDocuments:
            return None

    def add_script(self, source: str) -> str:
        """Run a script in every document from now on, before the document's own; return its identifier."""
        return str(self._cdp("Page.addScriptToEvaluateOnNewDocument", {"source": source})["identifier"])

    def remove_script(self, identifier: str) -> None:
        """Undo `add_script`."""
        self._cdp("Page.removeScriptToEvaluateOnNewDocument", {"identifier": identifier})

    def screenshot(self) -> bytes:
        """Return the page's picture as PNG."""
        with self._our_errors():
            return self._remote.get_screenshot_as_png()

    def close(self) -> None:
        """Ask Chrome to end, if anybody is there to ask, and let go of the connection."""
        if self._is_alive():
            with suppress(BrowserError), self._our_errors():
                self._remote.quit()
        self._connection.close()  # type: ignore[no-untyped-call]

    def _cdp(self, command: str, parameters: Mapping[str, Any]) -> Any:
        with self._our_errors():
            answer = self._remote.execute("executeCdpCommand", {"cmd": command, "params": dict(parameters)})
            return answer["value"]

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except WebDriverException as error:
            raise _our_error(error) from None
        except (HTTPError, OSError) as error:
            is_late = isinstance(error, ReadTimeoutError)
            if self._is_dead_within(0 if is_late else _DEATH_S):
                raise ChromeGone("Chrome or chromedriver has died") from None
            if is_late:
                raise PageHung(f"Chrome did not answer in {ANSWER_TIMEOUT_S} s") from None
            raise PageHung(f"chromedriver broke off ({_first_line(error)})") from None

    def _is_dead_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._is_alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_DEATH_POLL_S)
        return True


def _our_error(error: WebDriverException) -> BrowserError:
    text = error.msg or ""
    if any(word in text for word in _BETWEEN_DOCUMENTS):
        return _BetweenDocuments(_first_line(error))
    if isinstance(error, (InvalidSessionIdException, NoSuchWindowException)):
        return ChromeGone(f"Chrome has closed ({_first_line(error)})")
    if any(word in text for word in _GONE):
        return ChromeGone(f"Chrome or its page has crashed ({_first_line(error)})")
    if isinstance(error, TimeoutException):
        return PageHung(f"the page did not answer in {SCRIPT_TIMEOUT_S} s")
    return BrowserError(_first_line(error))


def _first_line(error: Exception) -> str:
    text = getattr(error, "msg", None) or str(error) or type(error).__name__
    return str(text).partition("\n")[0][:300]
