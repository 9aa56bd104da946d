"""The command line and the preferences that Chrome is started with, and why."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from browser.patience import PATIENCE

_MERGED = ("--enable-features=", "--disable-features=")

_SOUND_FRAMES = round(128 * min(PATIENCE, 8))
"""What PulseAudio asks Chrome for at a time, three times of which it holds (48 kHz).

The default, 512, is 20 ms more delay. But each time wakes a dozen threads: at 375 times a second a machine that wants
patience does little else.
"""

FLAGS: tuple[str, ...] = (
    # Camera and microphone are ours; screen sharing still asks.
    "--auto-accept-camera-and-microphone-capture",
    "--autoplay-policy=no-user-gesture-required",
    f"--audio-buffer-size={_SOUND_FRAMES}",
    # The software compositor, always: GL in software draws 8 pictures a second.
    "--disable-gpu",
    # The picture must be the same on every machine: what is painted is what is sent.
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
    "--kiosk",
    "--window-position=0,0",
    # No surprise on the picture, nothing fetched that the page did not ask for.
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-domain-reliability",
    "--disable-notifications",
    "--no-default-browser-check",
    "--no-first-run",
    "--disable-features=MediaRouter,Translate,OptimizationHints,InterestFeedContentSuggestions",
    # Two pages for the address bar, which nobody sees, in a renderer of their own: 1 s of a start's 1.7 s of processor
    # time, and 30 to 50 MiB.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    # A page on a display that nobody looks at is still worked for.
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    # DevTools over inherited pipes: no port on the machine that others could speak to.
    "--remote-debugging-pipe",
)

# chromedriver adds these by itself; the first shows a bar of 56 pixels, the second fills the log.
EXCLUDED_SWITCHES = ("enable-automation", "enable-logging")

_BLOCK = 2
PREFERENCES: Mapping[str, object] = {
    "credentials_enable_service": False,
    "profile.password_manager_enabled": False,
    "safebrowsing.enabled": False,
    "search.suggest_enabled": False,
    "translate.enabled": False,
    # A question that nobody can answer would stand on the picture.
    "profile.default_content_setting_values.geolocation": _BLOCK,
    "profile.default_content_setting_values.idle_detection": _BLOCK,
    "profile.default_content_setting_values.midi_sysex": _BLOCK,
    "profile.default_content_setting_values.notifications": _BLOCK,
    "profile.default_content_setting_values.window_placement": _BLOCK,
}


def command_line(profile: Path, size: tuple[int, int], extra: Iterable[str]) -> list[str]:
    """Return Chrome's arguments for a profile, a page of `size` (width, height), and the devices' flags."""
    width, height = size
    return merge_features([*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}", *extra])


def merge_features(flags: Iterable[str]) -> list[str]:
    """Make one `--enable-features` of several, and one `--disable-features`: Chrome heeds only the last."""
    plain: list[str] = []
    merged: dict[str, dict[str, None]] = {name: {} for name in _MERGED}
    for flag in flags:
        name = next((name for name in _MERGED if flag.startswith(name)), None)
        if name is None:
            plain.append(flag)
        else:
            merged[name].update(dict.fromkeys(filter(None, flag.removeprefix(name).split(","))))
    return plain + [name + ",".join(features) for name, features in merged.items() if features]
