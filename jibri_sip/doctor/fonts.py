"""Fonts: names of participants are in all scripts, and the room sees boxes where there is none for one."""

import asyncio
import ctypes
import ctypes.util

from jibri_sip.doctor.finding import Finding, Patient, ok, warning, wrong

_CHECK = "fonts"
SCRIPTS = {
    "en": ("Latin", "fonts-dejavu-core"),
    "ru": ("Cyrillic", "fonts-dejavu-core"),
    "el": ("Greek", "fonts-dejavu-core"),
    "ar": ("Arabic", "fonts-noto-core"),
    "he": ("Hebrew", "fonts-noto-core"),
    "hi": ("Devanagari", "fonts-noto-core"),
    "th": ("Thai", "fonts-noto-core"),
    "zh-cn": ("Chinese", "fonts-noto-cjk"),
    "ja": ("Japanese", "fonts-noto-cjk"),
    "ko": ("Korean", "fonts-noto-cjk"),
    "und-zsye": ("emoji", "fonts-noto-color-emoji"),
}


async def examine(_patient: Patient) -> list[Finding]:
    """At least one for each script."""
    library = await asyncio.to_thread(ctypes.util.find_library, "fontconfig")
    if library is None:
        return [wrong(_CHECK, "fontconfig is not installed", "Install chromium, which brings it.")]
    covered = await asyncio.to_thread(_covered, library)
    missing = [script for script in SCRIPTS if script not in covered]
    if missing == list(SCRIPTS):
        return [wrong(_CHECK, "there are no fonts", "Install fonts-dejavu-core and fonts-noto-core.")]
    if missing:
        names = ", ".join(SCRIPTS[script][0] for script in missing)
        packages = " ".join(dict.fromkeys(SCRIPTS[script][1] for script in missing))
        return [warning(_CHECK, f"the room would see boxes in place of {names}", f"Install {packages}.")]
    return [ok(_CHECK, f"for {len(SCRIPTS)} scripts")]


def _covered(library: str) -> set[str]:
    """Which scripts there is a font for, by fontconfig's own list of installed fonts."""
    fontconfig = ctypes.CDLL(library)
    for function in ("FcInitLoadConfigAndFonts", "FcNameParse", "FcObjectSetCreate", "FcFontList"):
        getattr(fontconfig, function).restype = ctypes.c_void_p
    pointer = ctypes.c_void_p
    config = pointer(fontconfig.FcInitLoadConfigAndFonts())
    nothing_of_each = pointer(fontconfig.FcObjectSetCreate())
    found = set()
    for script in SCRIPTS:
        pattern = pointer(fontconfig.FcNameParse(f":lang={script}".encode()))
        fonts = pointer(fontconfig.FcFontList(config, pattern, nothing_of_each))
        # The first field of an FcFontSet is how many it has.
        if fonts and ctypes.cast(fonts, ctypes.POINTER(ctypes.c_int))[0] > 0:
            found.add(script)
        fontconfig.FcFontSetDestroy(fonts)
        fontconfig.FcPatternDestroy(pattern)
    fontconfig.FcObjectSetDestroy(nothing_of_each)
    fontconfig.FcConfigDestroy(config)
    return found
