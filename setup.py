"""What setup.cfg cannot say: the native devices are compiled, against the PJSIP that scripts/build-pjproject makes."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class BuildWithDevices(build_py):
    """Compiles the native devices before the packages are collected."""

    def run(self) -> None:
        """Compile, then collect."""
        sys.path.insert(0, str(HERE))
        from virtual_devices.native.build import build  # noqa: PLC0415  (cffi is there only while building)

        # By its path: a package that imports PJSIP's module is not to be imported here.
        sip = runpy.run_path(str(HERE / "jibri_sip" / "sip" / "build.py"))

        pjproject = os.environ.get("PJPROJECT_DIR") or subprocess.check_output(
            [HERE / "scripts" / "build-pjproject"], text=True
        )
        build(Path(pjproject.strip()))
        sip["build"](Path(pjproject.strip()))
        super().run()


class NativeDistribution(Distribution):
    """The wheel is for one platform."""

    def has_ext_modules(self) -> bool:
        """Say so."""
        return True


setup(cmdclass={"build_py": BuildWithDevices}, distclass=NativeDistribution)
