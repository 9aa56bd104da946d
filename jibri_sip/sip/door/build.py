"""Compile the door: `python jibri_sip/sip/door/build.py PJPROJECT_DIR`.

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
TARGET = HERE / "_door.abi3.so"
KEY = HERE / "_door.key"

_DECLARATIONS = """
    int door_open(const char *refusal_text, int retry_after_s);
    void door_add_header(const char *name, const char *value);
    int door_correct_addresses(int keep_alive_s);
    int door_move_to(const char *address);
    int door_resolve_here(void);
    int door_add_server(const char *address, int port, int transport);
    void door_resolved(int query);
    extern "Python+C" void door_resolve(int query, const char *host, int port, int transport);
    int door_media_sockets(int call, int media, int *rtp, int *rtcp);
    int door_try_tcp_first(int transport, int timeout_ms);
    int door_refuse_oversize(void);
    void door_withdraw(const char *name);
    void door_write_compact(void);
    int door_tell_capabilities(const char *sdp);
    extern "Python+C" int door_judge(const char *address, const char *message, int length);
"""


def _flags(pjproject: Path) -> list[str]:
    environment = {**os.environ, "PKG_CONFIG_PATH": str(pjproject / "lib/pkgconfig")}
    output = subprocess.check_output(["pkg-config", "--cflags", "libpjproject"], env=environment, text=True)
    return shlex.split(output)


def build(pjproject: Path) -> Path:
    """Compile what is out of date, and return the module's file."""
    sources = sorted(HERE.glob("*.c"))
    inputs = [*sources, HERE / "door.h", HERE / "build.py"]
    key = hashlib.sha256(b"\0".join([str(pjproject).encode(), *(file.read_bytes() for file in inputs)])).hexdigest()
    if TARGET.exists() and KEY.exists() and KEY.read_text() == key:
        return TARGET
    ffi = cffi.FFI()
    ffi.cdef(_DECLARATIONS)
    ffi.set_source(
        "_door",
        '#include "door.h"',
        sources=[str(source) for source in sources],
        include_dirs=[str(HERE)],
        extra_compile_args=[*_flags(pjproject), "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror"],
        libraries=["pjsua", "pjsip-ua", "pjsip", "pj"],
        library_dirs=[str(pjproject / "lib")],
        runtime_library_dirs=[str(pjproject / "lib")],
        py_limited_api=True,
    )
    with tempfile.TemporaryDirectory() as work:
        # Renamed into place: a process may have the old one mapped.
        fresh = HERE / f".door.{os.getpid()}"
        fresh.write_bytes(Path(ffi.compile(tmpdir=work)).read_bytes())
        fresh.chmod(0o755)
        fresh.replace(TARGET)
    KEY.write_text(key)
    return TARGET


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  (the program and its one argument)
        sys.exit(__doc__)
    build(Path(sys.argv[1]).resolve())
