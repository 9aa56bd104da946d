"""The appliance in a machine of its own, for as long as a `with` lasts: `Machine`, QEMU without KVM."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.running_gateway import free_port

BOOT_S = 900
"""QEMU without KVM is some twenty times slower than the machine it runs on, which may be busy."""
LOGIN_S = 250
"""A busy machine of that kind takes minutes from our connection to its first word."""
ESP_OFFSET, ESP_BYTES = 2 << 20, 64 << 20
"""Where scripts/make-disk puts the EFI system partition."""
UEFI = Path("/usr/share/OVMF/OVMF_CODE.fd")
UEFI_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS.fd")


class MachineError(Exception):
    """The machine did not come up, or a command in it failed; the message has what was said last."""


def run(*command: object, stdin: str | None = None, timeout_s: float = 120) -> str:
    """A program's output; it has to succeed."""
    done = subprocess.run(
        [str(word) for word in command], input=stdin, capture_output=True, text=True, check=False, timeout=timeout_s
    )
    if done.returncode != 0:
        raise MachineError(f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Guest:
    """A machine that is or will be switched on, and the way into it.

    Args:
        console: file with what it says on its console.
        key: private key of root's.
        host: where its SSH is.
        port: the same.
        work: directory of this machine's own.

    Attributes:
        started_at: when it was switched on (monotonic).
    """

    def __init__(self, console: Path, key: Path, host: str, port: int, work: Path) -> None:
        self.console = console
        self.started_at = 0.0
        self._way_in = (host, port, key)
        self._shared = work / "login"
        self._process: subprocess.Popen[bytes] | None = None
        self._login: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that the machine is on this one."""
        assert self._process is not None
        return self._process.pid

    def _switch_on(self, process: subprocess.Popen[bytes]) -> None:
        self.started_at = time.monotonic()
        self._process = process

    def _switch_off(self) -> None:
        login, self._login = self._login, None
        if login is not None:
            login.kill()
            login.wait()
        process, self._process = self._process, None
        if process is not None:
            # User-Mode Linux is many processes.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def up_s(self) -> float:
        """Seconds since it was switched on."""
        return time.monotonic() - self.started_at

    def log_in(self, timeout_s: float = BOOT_S) -> float:
        """Wait until it lets us in, and stay in it; seconds since it was switched on.

        What `ssh` runs from then on needs no log-in of its own: each takes an emulated machine up to a minute.

        Raises:
            MachineError: it was not in time, or the machine is gone.
        """
        # Asked before it has a network it does not even refuse; asked when it has, but is busy, it takes its time.
        waits_s, began = LOGIN_S / 16, time.monotonic()

        def let_in() -> bool:
            nonlocal waits_s, began
            if self._login is None or self._login.poll() is not None:
                if time.monotonic() - began > waits_s:
                    waits_s = min(2 * waits_s, LOGIN_S)
                began = time.monotonic()
                self._login = self._begin_login(round(waits_s))
            return self._shared.exists()

        return self.wait_for("SSH", let_in, timeout_s)

    def _begin_login(self, timeout_s: int) -> subprocess.Popen[bytes]:
        command = self.ssh_command("-N", "-M", "-o", f"ConnectTimeout={timeout_s}")
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL)

    def ssh(self, command: str, *, stdin: str | None = None, timeout_s: float = 300) -> str:
        """A command's output, run by root in the machine.

        Raises:
            MachineError: it failed, or there is no answer.
        """
        return run(*self.ssh_command(), command, stdin=stdin, timeout_s=timeout_s)

    def ssh_command(self, *options: str) -> list[str]:
        """How to get into it."""
        host, port, key = self._way_in
        return [
            *("ssh", "-q", "-i", str(key), "-p", str(port), *options),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"),
            *("-o", f"ConnectTimeout={LOGIN_S}", "-o", f"ServerAliveInterval={LOGIN_S}"),
            *("-o", f"ControlPath={self._shared}"),
            f"root@{host}",
        ]

    def put(self, *files: Path, to: str) -> None:
        """Copy files and directories into a directory of the machine."""
        packed = subprocess.run(
            ["tar", "--create", *(word for file in files for word in ("-C", str(file.parent), file.name))],
            check=True,
            capture_output=True,
        ).stdout
        command = [*self.ssh_command(), f"mkdir -p {to} && tar --extract --no-same-owner --directory {to}"]
        subprocess.run(command, input=packed, check=True, timeout=300)

    def said(self) -> str:
        """What was on its serial console, without the escape sequences of terminals."""
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc|\r", "", text)

    def wait_for(self, what: str, probe: Callable[[], bool], timeout_s: float = BOOT_S) -> float:
        """Wait until the probe is true (that it fails for now is no failure); seconds since the start.

        Raises:
            MachineError: it was not in time, or the machine is gone.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if probe():
                    return self.up_s()
            except (MachineError, subprocess.TimeoutExpired):
                pass
            if self._process is None or self._process.poll() is not None:
                raise MachineError(f"the machine is off; its console ends:\n{self.said()[-3000:]}")
            if time.monotonic() > deadline:
                load = os.getloadavg()[0]
                raise MachineError(
                    f"no {what} after {timeout_s} s (load {load:.1f}); the console ends:\n{self.said()[-3000:]}"
                )
            time.sleep(2)

    def state(self, unit: str) -> dict[str, str]:
        """What systemd says of a unit."""
        wanted = "ActiveState,SubState,StatusText,NRestarts,Result,MainPID,ActiveEnterTimestampMonotonic"
        text = self.ssh(f"systemctl show --property {wanted} {unit}")
        return dict(line.split("=", 1) for line in text.splitlines())

    def wait_until_active(self, unit: str, timeout_s: float = BOOT_S) -> float:
        """Wait until a unit is up; seconds since the machine was switched on."""
        return self.wait_for(f"active {unit}", lambda: self.state(unit)["ActiveState"] == "active", timeout_s)


class Machine(Guest):
    """A virtual machine with the image as its disk.

    Args:
        image: qcow2 or raw; not written to.
        log: directory for the serial console's log.
        firmware: what starts it.
        setup: what is put onto its EFI system partition as jibri-sip.toml; the key for `ssh` is added.
        user_data: given to cloud-init instead, on a disk as clouds do; `{key}` is the public key.
        memory_mib: of the machine.
        cores: of the machine.
    """

    def __init__(
        self,
        image: Path,
        log: Path,
        *,
        firmware: Literal["bios", "uefi"] = "bios",
        setup: str | None = None,
        user_data: str | None = None,
        memory_mib: int = 3072,
        cores: int = int(os.environ.get("JIBRI_SIP_QEMU_CORES", "2")),
    ) -> None:
        log.mkdir(parents=True, exist_ok=True)
        self._image = image.absolute()
        self._firmware = firmware
        self._setup = setup
        self._user_data = user_data
        self._shape = ("-m", str(memory_mib), "-smp", str(cores))
        self._directory = tempfile.TemporaryDirectory(prefix="vm", dir=os.environ.get("TMPDIR", "/var/tmp"))  # noqa: S108
        self._work = Path(self._directory.name)
        self._port = free_port()
        super().__init__(log / f"console-{firmware}.log", self._work / "key", "127.0.0.1", self._port, self._work)
        self._forward: list[str] = []

    def forward(self, kind: Literal["tcp", "udp"], port: int, inside: int | None = None) -> None:
        """Before the start: lead a port of loopback into the machine."""
        self._forward.append(f"hostfwd={kind}:127.0.0.1:{port}-:{inside or port}")

    def __enter__(self) -> Self:
        """Switch it on."""
        try:
            self._prepare()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _prepare(self) -> None:
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", self._work / "key")
        overlay = self._work / "disk.qcow2"
        kind = "qcow2" if self._image.suffix == ".qcow2" else "raw"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", self._image, "-F", kind, overlay)
        if self._setup is not None:
            self._put_on_esp(overlay, self._setup)
        if self._user_data is not None:
            self._make_seed(self._user_data)

    def _put_on_esp(self, overlay: Path, setup: str) -> None:
        key = (self._work / "key.pub").read_text().strip()
        file = self._work / "jibri-sip.toml"
        file.write_text(setup.replace("[machine]", f"[machine]\nssh_keys = [{json.dumps(key)}]"))
        esp = self._work / "esp"
        mib = 1 << 20
        blocks = ("bs=1M", f"skip={ESP_OFFSET // mib}", f"count={ESP_OFFSET // mib + ESP_BYTES // mib}")
        run("qemu-img", "dd", "-f", "qcow2", "-O", "raw", *blocks, f"if={overlay}", f"of={esp}")
        run("mcopy", "-i", esp, file, "::/jibri-sip.toml")
        run("qemu-io", "-f", "qcow2", "-c", f"write -q -s {esp} {ESP_OFFSET} {ESP_BYTES}", overlay)

    def _make_seed(self, user_data: str) -> None:
        """cloud-init's NoCloud: a disk with the label CIDATA."""
        key = (self._work / "key.pub").read_text().strip()
        (self._work / "user-data").write_text(user_data.replace("{key}", key))
        (self._work / "meta-data").write_text("instance-id: test-1\n")
        seed = self._work / "seed"
        seed.write_bytes(bytes(2 << 20))
        run("mformat", "-i", seed, "-v", "CIDATA", "-h", "4", "-s", "32", "-t", "32", "::")
        run("mcopy", "-i", seed, self._work / "user-data", self._work / "meta-data", "::/")

    def _start(self) -> None:
        forwards = ",".join((f"hostfwd=tcp:127.0.0.1:{self._port}-:22", *self._forward))
        command = [
            *("nice", "-n", "19", "qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-display", "none"),
            # Never KVM: where it is only half there, the machine hangs without a word.
            *("-accel", "tcg,thread=multi,tb-size=512", *self._shape),
            *("-drive", f"file={self._work}/disk.qcow2,if=virtio,format=qcow2,cache=unsafe"),
            *("-netdev", f"user,id=n,{forwards}", "-device", "virtio-net-pci,netdev=n,romfile="),
            *("-device", "virtio-rng-pci", "-serial", f"file:{self.console}", "-no-reboot"),
        ]
        if self._firmware == "uefi":
            shutil.copy(UEFI_VARIABLES, self._work / "variables")
            command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={UEFI}"]
            command += ["-drive", f"if=pflash,format=raw,unit=1,file={self._work}/variables"]
        if self._user_data is not None:
            command += ["-drive", f"file={self._work}/seed,if=virtio,format=raw,readonly=on"]
        command = ["setpriv", "--pdeathsig", "KILL", *command]
        self._switch_on(subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Pull the plug."""
        self.close()

    def close(self) -> None:
        """Pull the plug; nothing of the machine stays but its console's log."""
        self._switch_off()
        self._directory.cleanup()
