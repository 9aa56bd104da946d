"""Compiles the native devices: `python -m virtual_devices.native.build PJPROJECT_DIR`.

PJPROJECT_DIR is what scripts/build-pjproject prints. The result, `_devices.abi3.so` beside this file, works with
every Python from 3.11 and finds PJSIP's libraries where they were when it was built. They must be the very libraries
that pjsua2 uses: the devices register with the PJMEDIA of that process. Nothing is done when nothing has changed.

The C files are compiled by us with all warnings as errors; only the wrapper that cffi writes is compiled without.
"""

import concurrent.futures
import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import cffi

HERE = Path(__file__).parent
MODULE = "virtual_devices.native._devices"
OUTPUT = HERE / "_devices.abi3.so"
KEY = HERE / "_devices.key"
PACKAGES = ["libpipewire-0.3", "libpulse", "xcb", "xcb-damage", "xcb-shm"]
LIBRARIES = ["yuv", "pjmedia-videodev", "pjmedia-audiodev", "pjmedia", "pj"]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]
FLAGS = ["-std=gnu11", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-pthread"]
LIMITED_API = "-DPy_LIMITED_API=0x030b0000"


class BuildError(Exception):
    """Something that must be installed or built first is missing, or a file does not compile."""


def run(*argv: str) -> str:
    """Runs a program and returns what it printed."""
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BuildError(f"{argv[0]} is not installed") from error
    if done.returncode != 0:
        raise BuildError(f"{' '.join(argv)}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def declarations() -> str:
    """The part of devices.h that Python sees."""
    text = (HERE / "devices.h").read_text()
    return text.partition("/* cffi: begin */")[2].partition("/* cffi: end */")[0]


def package_flags(pjproject: Path, option: str) -> list[str]:
    """Compiler or linker flags by pkg-config, headers of others as system headers (their warnings are not ours)."""
    os.environ["PKG_CONFIG_PATH"] = str(pjproject / "lib" / "pkgconfig")
    names = [*PACKAGES, "libpjproject"] if option == "--cflags" else PACKAGES
    flags = run("pkg-config", option, *names).split()
    return [f"-isystem{flag[2:]}" if flag.startswith("-I") else flag for flag in flags]


def content_key(pjproject: Path) -> str:
    """A digest of everything that goes into the result."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("*.c"), *HERE.glob("*.h"), HERE / "build.py"]):
        if path.name != "_devices.c":
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update(f"{pjproject}\0{run('cc', '-dumpfullversion')}\0{os.uname().machine}\0{cffi.__version__}".encode())
    return digest.hexdigest()


def compile_file(source: Path, directory: Path, flags: list[str]) -> Path:
    """Compiles one C file to an object file in the directory."""
    target = directory / f"{source.stem}.o"
    # Assertions and debug information name files: not by directories that are others each time and on each machine.
    named = (f"-ffile-prefix-map={HERE.parents[1]}=.", f"-ffile-prefix-map={directory}=.")
    run("cc", *FLAGS, *named, *flags, "-c", str(source), "-o", str(target))
    return target


def build(pjproject: Path) -> bool:
    """Builds what is out of date; returns whether anything was.

    Raises:
        BuildError: a package is missing, or the code does not compile; the message is the compiler's.
    """
    if not (pjproject / "lib" / "pkgconfig" / "libpjproject.pc").exists():
        raise BuildError(f"{pjproject} holds no PJSIP; run scripts/build-pjproject and give the directory it prints")
    key = content_key(pjproject)
    if OUTPUT.exists() and KEY.exists() and KEY.read_text() == key:
        return False
    cflags = package_flags(pjproject, "--cflags")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        wrapper = directory / "_devices.c"
        ffi = cffi.FFI()
        ffi.cdef(declarations())
        ffi.set_source(MODULE, '#include "devices.h"')
        with contextlib.redirect_stdout(io.StringIO()):  # cffi reports its progress there
            ffi.emit_c_code(str(wrapper))
        sources = sorted(path for path in HERE.glob("*.c") if path.name != "_devices.c")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(lambda source: compile_file(source, directory, [*WARNINGS, *cflags]), sources))
        python = [LIMITED_API, f"-isystem{sysconfig.get_path('include')}", f"-I{HERE}"]
        objects.append(compile_file(wrapper, directory, python))
        link(objects, directory / OUTPUT.name, pjproject)
        shutil.move(directory / OUTPUT.name, OUTPUT)
    KEY.write_text(key)
    return True


def link(objects: list[Path], target: Path, pjproject: Path) -> None:
    """Makes the extension module; unresolved names are an error here and not at the first call."""
    library_dir = pjproject / "lib"
    search = [f"-L{library_dir}", f"-Wl,-rpath,{library_dir}", "-Wl,--as-needed"]
    libraries = [*package_flags(pjproject, "--libs"), *(f"-l{library}" for library in LIBRARIES)]
    run("cc", "-shared", "-pthread", "-o", str(target), *map(str, objects), *search, *libraries)


def main() -> int:
    """The command line; exits with 1 and the reason when it cannot be built."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
        sys.stderr.write("usage: python -m virtual_devices.native.build PJPROJECT_DIR\n")
        return 2
    try:
        built = build(Path(sys.argv[1]).resolve())
    except BuildError as error:
        sys.stderr.write(f"native devices: {error}\n")
        return 1
    sys.stderr.write("native devices: built\n" if built else "native devices: up to date\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
