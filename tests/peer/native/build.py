"""Compile the test devices: `python -m tests.peer.native.build PJPROJECT_DIR`.

They are linked against the very shared libraries that the pjsua2 module uses, so that both see one PJMEDIA.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import cffi

HERE = Path(__file__).parent
MODULE = "_peer"

_DECLARATIONS = """
    struct peer_frame {
        int64_t seen_ms; int64_t latency_ms; uint16_t counter; uint16_t width, height; uint8_t intact; uint8_t error;
    };
    int peer_register(unsigned width, unsigned height, unsigned fps);
    unsigned peer_take_frames(struct peer_frame *frames, unsigned max);
    int peer_still(uint8_t *buffer, unsigned size, unsigned timeout_ms, unsigned *width, unsigned *height);
    void peer_say(double hz, double amplitude, int rhythm);
    double peer_heard(double hz, unsigned ms);
    double peer_loudest(double hz, unsigned ms, unsigned *ms_ago);
    double peer_peak(unsigned ms);
    void peer_count_gaps(double hz, double least);
    double peer_take_gaps(void);
    void peer_time_bursts(double hz);
    unsigned peer_take_bursts(double *delays_ms, unsigned max);
    int peer_sources(int call, uint32_t *ours, uint32_t *theirs);
    int peer_send_rtcp(int call, const uint8_t *compound, unsigned size);
"""


def _pkg_config(pjproject: Path, option: str) -> list[str]:
    environment = {**os.environ, "PKG_CONFIG_PATH": str(pjproject / "lib/pkgconfig")}
    output = subprocess.check_output(["pkg-config", option, "libpjproject"], env=environment, text=True)
    return shlex.split(output)


def _renamed_into_place(built: Path, target: Path) -> Path:
    # A process may have the old one mapped.
    fresh = HERE / f".{target.name}.{os.getpid()}"
    fresh.write_bytes(built.read_bytes())
    fresh.chmod(0o755)
    return fresh.replace(target)


def build_preloaded(name: str, *flags: str) -> Path:
    """Compile a library that is loaded before a program's own (LD_PRELOAD), and return its file."""
    options = ["-O2", "-shared", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Wshadow", "-Werror", *flags]
    with tempfile.TemporaryDirectory() as work:
        built = Path(work) / f"{name}.so"
        subprocess.run(["cc", *options, str(HERE / f"{name}.c"), "-o", str(built), "-ldl"], check=True)
        return _renamed_into_place(built, HERE / f"{name}.so")


def build(pjproject: Path) -> Path:
    """Compile the devices, and return the module's file."""
    ffi = cffi.FFI()
    ffi.cdef(_DECLARATIONS)
    ffi.set_source(
        MODULE,
        '#include "peer.h"',
        sources=[str(HERE / name) for name in ("video.c", "audio.c", "feedback.c")],
        include_dirs=[str(HERE), str(HERE.parents[1] / "stamps")],
        extra_compile_args=[*_pkg_config(pjproject, "--cflags"), "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror"],
        libraries=["pjsua", "pjmedia-videodev", "pjmedia-audiodev", "pjmedia", "pj", "m"],
        library_dirs=[str(pjproject / "lib")],
        runtime_library_dirs=[str(pjproject / "lib")],
        py_limited_api=True,
    )
    with tempfile.TemporaryDirectory() as work:
        return _renamed_into_place(Path(ffi.compile(tmpdir=work)), HERE / f"{MODULE}.abi3.so")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    pjproject_dir = Path(sys.argv[1])
    build(pjproject_dir)
    build_preloaded("lossy")
    build_preloaded("hours", *_pkg_config(pjproject_dir, "--cflags"))
