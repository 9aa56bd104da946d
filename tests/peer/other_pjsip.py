"""Programs of this checkout on another build of PJSIP: a copy of the tree, whose native parts belong to that one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
_NOT_COPIED = (".git", ".venv", "build", "*.so", "*.key", "__pycache__", ".*_cache", "packer")
_BUILD_S = 3000
OUR_NATIVES = (("jibri_sip/sip/build.py",), ("-m", "virtual_devices.native.build"))
PEER_NATIVES = (("-m", "tests.peer.native.build"),)


@dataclass(frozen=True)
class Tree:
    """Where to run Python's `-m`, and in which environment."""

    directory: Path
    environment: Mapping[str, str]


def pjsip(variant: Literal["sanitized", "stock"]) -> Path:
    """That build of PJSIP, made if need be, which takes ten minutes."""
    command = [str(ROOT / "scripts/build-pjproject"), f"--{variant}"]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=_BUILD_S)
    return Path(output.stdout.strip())


def tree_for(build: Path, directory: Path, natives: Sequence[tuple[str, ...]]) -> Tree:
    """A copy of this checkout.

    Args:
        build: PJSIP.
        directory: where the copy goes, in place of any that is there.
        natives: how the parts that are needed are compiled.
    """
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(ROOT, directory, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    environment = {**os.environ, "PYTHONPATH": f"{directory}:{build / 'python'}"}
    for native in natives:
        subprocess.run([sys.executable, *native, build], cwd=directory, env=environment, check=True)
    return Tree(directory, environment)
