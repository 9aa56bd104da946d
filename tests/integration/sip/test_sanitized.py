"""PJSIP built with AddressSanitizer, under the torture and the fuzzer: nothing is read or written beside its memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.peer.other_pjsip import OUR_NATIVES, PEER_NATIVES, pjsip, tree_for

_TESTS = (
    "test_pjsip_defects.py",
    "test_torture.py",
    "test_delayed_offer.py",
    "test_dtls.py",
    "test_encryption.py",
    "test_names.py",
    "test_picture_sizes.py",
    "test_sizes.py",
    "test_turn.py::test_router_gets_another_address",
    "test_turn.py::test_stun_server_lost_and_back",
)
_NOT = "long or never_comes or as_fast or before_the_keys or sent_again"
"""What takes long, or preloads a library of its own."""
_REPORT = 99


def preloaded() -> str:
    """AddressSanitizer's library, which must be there before any other, and that of C++, whose exceptions it sees."""
    paths = (
        subprocess.check_output(["cc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libstdc++.so.6")
    )
    return " ".join(paths)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A copy of this checkout whose native parts belong to that build, and the environment for programs in it."""
    made = tree_for(pjsip("sanitized"), tmp_path_factory.mktemp("sanitized") / "tree", (*OUR_NATIVES, *PEER_NATIVES))
    copy = made.directory
    # pjsua2 deletes objects of SWIG's subclasses as what they are to it, which frees them all the same.
    options = {
        "detect_leaks": 0,
        "new_delete_type_mismatch": 0,
        "quarantine_size_mb": 16,
        "exitcode": _REPORT,
        "log_path": copy.parent / "report",
    }
    return copy, {
        **made.environment,
        "LD_PRELOAD": preloaded(),
        "ASAN_OPTIONS": ":".join(f"{name}={value}" for name, value in options.items()),
    }


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_torture_and_fuzz(tree: tuple[Path, dict[str, str]]) -> None:
    """No report of AddressSanitizer, and the calls in between are served as ever."""
    copy, environment = tree
    tests = [str(copy / "tests/integration/sip" / name) for name in _TESTS]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        f"not ({_NOT})",
        "--tb=short",
        *tests,
    ]
    done = subprocess.run(
        command,
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1400,
        check=False,
    )
    reports = [path.read_text() for path in copy.parent.glob("report*")]
    assert not reports, reports[0][:4000]
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.slow
def test_a_mistake_is_noticed(tree: tuple[Path, dict[str, str]]) -> None:
    """A byte that is written behind a block of PJSIP's memory ends the program with a report: the build is one."""
    copy, environment = tree
    program = (
        "import ctypes, pjsua2\n"
        "endpoint = pjsua2.Endpoint(); endpoint.libCreate()\n"
        "pjlib = ctypes.CDLL('libpj.so.2')\n"
        "pjlib.pj_strdup2.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p]\n"
        "pjsua = ctypes.CDLL('libpjsua.so.2')\n"
        "pjsua.pjsua_pool_create.restype = ctypes.c_void_p\n"
        "pjsua.pjsua_pool_create.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t]\n"
        "pool = pjsua.pjsua_pool_create(b'x', 1000, 1000)\n"
        "place = (ctypes.c_void_p * 2)()\n"
        "pjlib.pj_strdup2(pool, place, b'12345678')\n"
        "ctypes.memset(place[0], 0, 64)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=copy, env=environment, check=False)
    assert done.returncode == _REPORT
    assert any("heap-buffer-overflow" in path.read_text() for path in copy.parent.glob("report*"))
