"""Chrome's life: exact picture, nothing left behind, and a quick and clear error when something is killed."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from Xlib import X
from Xlib import display as x_display

from browser import (
    BrowserError,
    Chrome,
    ChromeGone,
    ChromeNotStarted,
    PageHung,
    Secret,
    Visit,
    XmppLogin,
    process_tree,
)
from browser.chrome import remove_leftovers
from browser.page import MeetingPage
from tests.integration.browser.conftest import FAKE_DEVICES, StartChrome
from tests.integration.browser.site import Site

LIMIT_S = 3.0 + 3.0  # three seconds, and as many on a machine that is busy
JOIN_S = 30.0  # half a second, where the machine is not busy
ENDED_S = 20.0  # a tenth of a second, likewise


def visit(site: Site, **more: Any) -> Visit:
    """A visit to the stand-in page."""
    return Visit(base_url=f"{site.url}/open", room="room", display_name="Guest", **more)


def root_picture(display: str) -> Image.Image:
    """What the X display shows, RGB."""
    connection = x_display.Display(display)
    try:
        root = connection.screen().root
        size = root.get_geometry()
        raw = root.get_image(0, 0, size.width, size.height, X.ZPixmap, 0xFFFFFFFF)
        return Image.frombytes("RGB", (size.width, size.height), raw.data, "raw", "BGRX")
    finally:
        connection.close()


def test_page_covers_exactly_1280x720(start_chrome: StartChrome, display: str, site: Site) -> None:
    """The page's own edge is at the edge of the captured rectangle on all sides: no bar, no bubble, no pixel less."""
    chrome = start_chrome()
    chrome.page().join(visit(site), JOIN_S)
    white, green = (255, 255, 255), (0, 160, 0)
    # Joined is not yet painted.
    deadline = time.monotonic() + JOIN_S
    while (seen := [root_picture(display).getpixel(at) for at in [(1279, 719), (640, 360)]]) != [white, green]:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    time.sleep(0.5)
    picture = root_picture(display)
    assert picture.size == (1282, 722)
    page = picture.crop((0, 0, 1280, 720))
    edges = {page.getpixel(at) for at in [(0, 0), (640, 0), (1279, 0), (0, 719), (640, 719), (1279, 719), (1279, 360)]}
    assert edges == {white}
    assert page.crop((4, 4, 1276, 716)).getcolors() == [(1272 * 712, green)]


def command_lines(chrome: Chrome) -> dict[int, str]:
    """The arguments of each of its processes; those that end meanwhile have none."""
    found = {}
    for pid in chrome.pids():
        with suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = Path(f"/proc/{pid}/cmdline").read_text()
    return found


def test_secrets_are_in_no_command_line_and_no_log(start_chrome: StartChrome, site: Site) -> None:
    """Password, token and login are in no process's arguments or environment, and in no line that is logged."""
    lines: list[str] = []
    chrome = start_chrome(log=lines.append)
    login = XmppLogin("sip.example", "gateway", Secret("canary-3"))
    chrome.page().join(visit(site, password=Secret("canary-1"), jwt=Secret("canary-2"), xmpp_login=login), JOIN_S)
    commands = command_lines(chrome)
    assert commands
    assert not any("canary" in command for command in commands.values())
    assert lines
    assert "canary" not in "\n".join(lines)


def test_starts_where_nothing_can_be_executed(display: str, tmp_path: Path) -> None:
    """As in /run, which Debian's initramfs mounts with noexec: profile and temporary files are there."""
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from browser import Chrome

        chrome = Chrome(Path(sys.argv[1]), {"DISPLAY": sys.argv[2]}, sys.argv[3:])
        chrome.start(25)
        print(chrome.version)
        chrome.close()
    """)
    # As root of a namespace for the mount, as ourselves again for Chrome.
    who = f"--map-user={os.getuid()} --map-group={os.getgid()}"
    script = f'mount -t tmpfs -o noexec,mode=1777 tmpfs "$1" && shift && exec unshare --user {who} "$@"'
    mounted = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(tmp_path))
    done = subprocess.run(
        [*mounted, sys.executable, "-c", program, str(tmp_path), display, *FAKE_DEVICES],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.match(r"\d+\.", done.stdout)


def test_a_launcher_that_cannot_run_is_told_at_once(
    display: str, profile_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Left alone, chromedriver would wait for a minute."""
    launcher = tmp_path / "launch"
    launcher.write_text("#!/nothing/there\n")
    launcher.chmod(0o755)
    monkeypatch.setattr("browser.chrome._LAUNCHER", launcher)
    chrome = Chrome(profile_root, {"DISPLAY": display}, FAKE_DEVICES)
    began = time.monotonic()
    with pytest.raises(ChromeNotStarted):
        chrome.start()
    assert time.monotonic() - began < 20


def test_sandbox_is_on(start_chrome: StartChrome, site: Site) -> None:
    """Renderers are confined by seccomp, and no process was told to do without."""
    chrome = start_chrome()
    chrome.page().join(visit(site), JOIN_S)
    commands = command_lines(chrome)
    renderers = [pid for pid, command in commands.items() if "--type=renderer" in command]
    assert renderers
    # Chrome keeps a spare one, which may be just starting.
    deadline = time.monotonic() + ENDED_S
    while not all(map(_is_confined, renderers)):
        assert time.monotonic() < deadline, renderers
        time.sleep(0.05)
    assert not any("--no-sandbox" in command for command in commands.values())


def _is_confined(pid: int) -> bool:
    """Whether seccomp filters what it may do, or it is no more."""
    try:
        return "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


KILLS: dict[str, Callable[[Chrome], int]] = {
    "chrome": lambda chrome: chrome.chrome_pid or 0,
    "chromedriver": lambda chrome: chrome.pids()[0],
}


@pytest.mark.parametrize("victim", KILLS)
def test_killed_means_gone_within_three_seconds(start_chrome: StartChrome, site: Site, victim: str) -> None:
    """After kill -9 each call says ChromeGone in time, and closing leaves nothing."""
    chrome = start_chrome()
    page = chrome.page()
    page.join(visit(site), JOIN_S)
    os.kill(KILLS[victim](chrome), signal.SIGKILL)
    calls: list[Callable[[], object]] = [
        page.state,
        page.still,
        page.leave,
        page.show_blank,
        lambda: page.set_audio_muted(True),
        lambda: page.join(visit(site), JOIN_S),
    ]
    for call in calls:
        started = time.monotonic()
        with pytest.raises(ChromeGone):
            call()
        assert time.monotonic() - started < LIMIT_S
    # What ends is alive for some moments after its connections have broken.
    deadline = time.monotonic() + LIMIT_S
    while chrome.alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started, left = time.monotonic(), chrome.pids()
    chrome.close()
    assert time.monotonic() - started < LIMIT_S
    assert not any(map(process_tree.is_alive, left))


@pytest.mark.parametrize("victim", KILLS)
def test_killed_while_joining(start_chrome: StartChrome, site: Site, victim: str) -> None:
    """A kill in the middle of joining ends the joining as ChromeGone, too."""
    chrome = start_chrome()
    killed: list[float] = []

    def kill(_state: object) -> None:
        if not killed:
            killed.append(time.monotonic())
            os.kill(KILLS[victim](chrome), signal.SIGKILL)

    with pytest.raises(ChromeGone):
        chrome.page().join(Visit(base_url=f"{site.url}/open", room="silent", display_name="n"), 10, on_state=kill)
    assert time.monotonic() - killed[0] < LIMIT_S


def test_crashed_page_is_gone(start_chrome: StartChrome, site: Site) -> None:
    """The death of the page's own process is ChromeGone as well."""
    chrome = start_chrome()
    page = chrome.page()
    page.join(visit(site), JOIN_S)
    for pid, command in command_lines(chrome).items():
        if "--type=renderer" in command:
            _send(pid, signal.SIGKILL)
    with pytest.raises(ChromeGone):
        page.state()


def test_hung_page_is_said_to_hang(start_chrome: StartChrome, site: Site) -> None:
    """A page in an endless loop is PageHung in time, and can be replaced."""
    page = start_chrome().page()
    page.join(visit(site), JOIN_S)
    page._driver._remote.execute_script("setTimeout(() => { for (;;) ; })")
    started = time.monotonic()
    with pytest.raises(PageHung):
        page.state()
    assert time.monotonic() - started < LIMIT_S


def test_stopped_chrome_is_closed_all_the_same(start_chrome: StartChrome) -> None:
    """Processes that do not answer are killed; closing is bounded."""
    chrome = start_chrome()
    pids = chrome.pids()
    for pid in pids:
        _send(pid, signal.SIGSTOP)
    started = time.monotonic()
    chrome.close()
    assert time.monotonic() - started < 2 * LIMIT_S
    _wait_for_end(pids)


def test_closing_twice_and_starting_again(start_chrome: StartChrome) -> None:
    """A closed Chrome has no page, closes again without a word, and starts afresh."""
    chrome = start_chrome()
    chrome.close()
    chrome.close()
    with pytest.raises(ChromeGone):
        chrome.page()
    chrome.start()
    assert chrome.page().state().phase == "blank"


def test_nothing_grows_from_chrome_to_chrome(start_chrome: StartChrome) -> None:
    """Closed or killed, Chrome after Chrome leaves our own process as many descriptors and threads as before."""

    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = held()
    for victim in (None, *KILLS):
        chrome = start_chrome()
        if victim:
            os.kill(KILLS[victim](chrome), signal.SIGKILL)
        chrome.close()
    deadline = time.monotonic() + ENDED_S
    while any(now > then for now, then in zip(held(), before, strict=True)):
        assert time.monotonic() < deadline, (before, held())
        time.sleep(0.05)


def start_and_kill(display: str, profile_root: Path) -> Path:
    """Have another process start Chrome, kill it, and wait until Chrome is gone, too; where its temporary files are."""
    program = f"""
        import pathlib, time
        from browser import Chrome
        chrome = Chrome(pathlib.Path({str(profile_root)!r}), {{"DISPLAY": {display!r}}})
        chrome.start()
        print(chrome._temporary, *chrome.pids(), flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        temporary, *rest = owner.stdout.readline().split()
        pids = [int(pid) for pid in rest]
        owner.kill()
    _wait_for_end(pids)
    return Path(temporary)


def test_killed_owner_leaves_no_process(display: str, profile_root: Path) -> None:
    """When the process that started Chrome is killed, chromedriver and Chrome die with it."""
    start_and_kill(display, profile_root / "owner")
    subprocess.run(["rm", "-rf", str(profile_root / "owner")], check=True)


def test_a_killed_owner_leaves_nothing_for_good(display: str, tmp_path: Path) -> None:
    """What lies in /tmp, since the path is too long for sockets, is removed for the next one; a neighbour's stays."""
    root, neighbour = tmp_path / ("x" * 100), tmp_path / ("y" * 100)
    ours, theirs = start_and_kill(display, root), start_and_kill(display, neighbour)
    remove_leftovers(root)
    assert (ours.exists(), theirs.exists()) == (False, True)
    assert ours.parent == Path("/tmp")  # noqa: S108
    remove_leftovers(neighbour)
    assert not theirs.exists()


def _send(pid: int, number: signal.Signals) -> None:
    """A signal for a process, which may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_for_end(pids: Iterable[int]) -> None:
    deadline = time.monotonic() + ENDED_S
    while left := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"chromium": "no-such-chromium"}, "chromium-missing"),
        ({"chromedriver": "no-such-chromedriver"}, "chromedriver-missing"),
        ({"chromedriver": "true"}, "start-failed"),
        ({"chromium": "false"}, "start-failed"),
    ],
)
def test_what_is_missing_is_named(start_chrome: StartChrome, options: dict[str, str], kind: str) -> None:
    """Each thing that can be missing has its own error, and nothing is left of the attempt."""
    with pytest.raises(ChromeNotStarted) as error:
        start_chrome(**options)
    assert error.value.kind == kind


def test_missing_display_is_named(profile_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No display at all, and one that does not answer, are told apart from other failures."""
    monkeypatch.delenv("DISPLAY", raising=False)
    for env in ({}, {"DISPLAY": ":987"}):
        chrome = Chrome(profile_root, env, FAKE_DEVICES)
        with pytest.raises(ChromeNotStarted) as error:
            chrome.start()
        assert error.value.kind == "display-missing"


def test_long_profile_path(display: str, tmp_path: Path) -> None:
    """A directory with a path too long for a socket works, and is emptied."""
    root = tmp_path / ("x" * 100)
    chrome = Chrome(root, {"DISPLAY": display}, FAKE_DEVICES)
    chrome.start()
    chrome.close()
    assert list(root.iterdir()) == []


def test_settings_of_page_are_not_shared(start_chrome: StartChrome) -> None:
    """A page at rest has no visit to ask about; its verbs fail in words of ours."""
    page: MeetingPage = start_chrome().page()
    with pytest.raises(BrowserError):
        page.set_audio_muted(True)
