"""`UserModeMachine`: the appliance's root file system on a User-Mode Linux, nearly at the speed of this machine."""

import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.appliance.machine import Guest

HOST, GUEST = "10.77.0.1", "10.77.0.2"
"""Our end of the tap device, and the machine's, as tests/appliance/run and setup.toml have them."""


class UserModeMachine(Guest):
    """A machine made by tests/appliance/run; there can be one at a time, for it takes the device tap0.

    Args:
        directory: what tests/appliance/run has prepared: `linux`, `root.ext4`, `key`. Not written to.
        log: directory for the console's log.
        memory_mib: of the machine.
    """

    def __init__(self, directory: Path, log: Path, *, memory_mib: int = 3072) -> None:
        log.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._memory_mib = memory_mib
        self._scratch = tempfile.TemporaryDirectory(prefix="uml", dir="/dev/shm")
        super().__init__(log / "console-uml.log", directory / "key", GUEST, 22, Path(self._scratch.name))

    def __enter__(self) -> Self:
        """Switch it on."""
        console = self.console.open("wb")
        arguments = [
            f"mem={self._memory_mib}M",
            f"ubd0={self._scratch.name}/cow,{self._directory}/root.ext4",
            *("root=/dev/ubda", "rw", "con=null", "con0=fd:0,fd:1", "con1=null", "ssl=null", "net.ifnames=0"),
            "vec0:transport=tap,ifname=tap0,depth=128,gro=1",
        ]
        command = ["setpriv", "--pdeathsig", "KILL", str(self._directory / "linux"), *arguments]
        environment = {**os.environ, "TMPDIR": self._scratch.name}
        self._switch_on(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        )
        console.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Pull the plug."""
        self.close()

    def close(self) -> None:
        """Pull the plug; what was written to its disk is gone."""
        self._switch_off()
        self._scratch.cleanup()
