"""Compile the RTP feedback and the control of encoders: `python jibri_sip/sip/native/build.py PJPROJECT_DIR`.

It is linked against the very shared libraries that the pjsua2 module uses, so that both see one PJSIP.
"""

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import cffi

HERE = Path(__file__).parent
TARGET = HERE / "_wire.abi3.so"
KEY = HERE / "_wire.key"

_INTERFACES = ("wire.h", "control.h")
_OPTIONS = ["-O2", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra", "-Wshadow", "-Werror"]


def _declarations() -> str:
    texts = [(HERE / name).read_text() for name in _INTERFACES]
    return "".join(text.partition("/* cffi: begin */")[2].partition("/* cffi: end */")[0] for text in texts)


def _flags(pjproject: Path) -> list[str]:
    environment = {**os.environ, "PKG_CONFIG_PATH": str(pjproject / "lib/pkgconfig")}
    output = subprocess.check_output(["pkg-config", "--cflags", "libpjproject"], env=environment, text=True)
    # As system headers: their warnings are not ours.
    return [f"-isystem{flag[2:]}" if flag.startswith("-I") else flag for flag in shlex.split(output)]


def build(pjproject: Path) -> Path:
    """Compile what is out of date, and return the module's file."""
    sources = sorted([*HERE.glob("*.c"), *HERE.glob("*.h"), HERE / "build.py"])
    key = hashlib.sha256(
        b"\0".join([str(pjproject).encode(), *(source.read_bytes() for source in sources)])
    ).hexdigest()
    if TARGET.exists() and KEY.exists() and KEY.read_text() == key:
        return TARGET
    ffi = cffi.FFI()
    ffi.cdef(_declarations())
    ffi.set_source(
        "_wire",
        "".join(f'#include "{name}"\n' for name in _INTERFACES),
        sources=[str(source) for source in sources if source.suffix == ".c"],
        include_dirs=[str(HERE)],
        extra_compile_args=[*_flags(pjproject), *_OPTIONS],
        libraries=["pjsua", "pjmedia", "pj"],
        library_dirs=[str(pjproject / "lib")],
        runtime_library_dirs=[str(pjproject / "lib")],
        py_limited_api=True,
    )
    with tempfile.TemporaryDirectory() as work:
        # Renamed into place: a process may have the old one mapped.
        fresh = HERE / f".wire.{os.getpid()}"
        fresh.write_bytes(Path(ffi.compile(tmpdir=work)).read_bytes())
        fresh.chmod(0o755)
        fresh.replace(TARGET)
    KEY.write_text(key)
    return TARGET


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  (the program and its one argument)
        sys.exit(__doc__)
    build(Path(sys.argv[1]).resolve())
