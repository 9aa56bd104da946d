"""Compile what speaks to PJSIP in C: `python jibri_sip/sip/build.py PJPROJECT_DIR`.

Two modules: the door (requests, sockets, names) and the wire (RTP feedback, control of encoders). Both are linked
against the very shared libraries that the pjsua2 module uses, so that all see one PJSIP. Nothing is done when nothing
has changed.
"""

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cffi

HERE = Path(__file__).parent

_OPTIONS = ["-O2", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra", "-Wshadow", "-Werror"]


@dataclass(frozen=True)
class Room:
    """A directory of C files that become one module.

    Attributes:
        name: of the directory.
        module: of the module in it.
        interfaces: headers whose parts between the marks `cffi: begin` and `cffi: end` Python sees.
        libraries: PJSIP's.
        calls_python: functions of ours in Python that C calls.
    """

    name: str
    module: str
    interfaces: tuple[str, ...]
    libraries: tuple[str, ...]
    calls_python: str = ""

    @property
    def directory(self) -> Path:
        """Where it is."""
        return HERE / self.name

    @property
    def target(self) -> Path:
        """The compiled module."""
        return self.directory / f"{self.module}.abi3.so"

    def declarations(self) -> str:
        """What Python sees of it."""
        texts = [(self.directory / name).read_text() for name in self.interfaces]
        seen = [text.partition("/* cffi: begin */")[2].partition("/* cffi: end */")[0] for text in texts]
        return "".join(seen) + self.calls_python


ROOMS = (
    Room(
        "door",
        "_door",
        ("door.h",),
        ("pjsua", "pjsip-ua", "pjsip", "pj"),
        """
        extern "Python+C" void door_resolve(int query, const char *host, int port, int transport);
        extern "Python+C" int door_judge(const char *address, const char *message, int length);
        extern "Python+C" void door_stun(const char *message, int length);
        """,
    ),
    Room("native", "_wire", ("wire.h", "control.h"), ("pjsua", "pjmedia", "pj")),
)


def _flags(pjproject: Path) -> list[str]:
    environment = {**os.environ, "PKG_CONFIG_PATH": str(pjproject / "lib/pkgconfig")}
    output = subprocess.check_output(["pkg-config", "--cflags", "libpjproject"], env=environment, text=True)
    # As system headers: their warnings are not ours.
    return [f"-isystem{flag[2:]}" if flag.startswith("-I") else flag for flag in shlex.split(output)]


def _key(room: Room, pjproject: Path) -> str:
    inputs = [*sorted(room.directory.glob("*.c")), *sorted(room.directory.glob("*.h")), Path(__file__)]
    return hashlib.sha256(b"\0".join([str(pjproject).encode(), *(file.read_bytes() for file in inputs)])).hexdigest()


def _compile(room: Room, pjproject: Path) -> None:
    key, noted = _key(room, pjproject), room.directory / f"{room.module}.key"
    if room.target.exists() and noted.exists() and noted.read_text() == key:
        return
    ffi = cffi.FFI()
    ffi.cdef(room.declarations())
    ffi.set_source(
        room.module,
        "".join(f'#include "{name}"\n' for name in room.interfaces),
        sources=[str(source) for source in sorted(room.directory.glob("*.c"))],
        include_dirs=[str(room.directory)],
        extra_compile_args=[*_flags(pjproject), *_OPTIONS],
        libraries=list(room.libraries),
        library_dirs=[str(pjproject / "lib")],
        runtime_library_dirs=[str(pjproject / "lib")],
        py_limited_api=True,
    )
    with tempfile.TemporaryDirectory() as work:
        # Renamed into place: a process may have the old one mapped.
        fresh = room.directory / f".{room.module}.{os.getpid()}"
        fresh.write_bytes(Path(ffi.compile(tmpdir=work)).read_bytes())
        fresh.chmod(0o755)
        fresh.replace(room.target)
    noted.write_text(key)


def build(pjproject: Path) -> None:
    """Compile what is out of date.

    Args:
        pjproject: what scripts/build-pjproject printed.
    """
    for room in ROOMS:
        _compile(room, pjproject)


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  (the program and its one argument)
        sys.exit(__doc__)
    build(Path(sys.argv[1]).resolve())
