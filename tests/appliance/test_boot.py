"""The image in QEMU, without KVM: boots by BIOS and UEFI, set up by file or cloud, to a warm, confined gateway.

What needs a warm slot comes last: Chromium, where a processor is emulated, wants the machine to itself.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.machine import Machine

pytestmark = [pytest.mark.slow, pytest.mark.appliance, pytest.mark.timeout(3600)]

UNIT = "jibri-sip@1"
BOOT_S, READY_S = 1200, 1800
SETUP = """
[machine]
hostname = "gateway1"
patience = 60

[meeting]
base_url = "http://localhost:18080"

[sip]
host = "0.0.0.0"

[video]
width = 512
height = 288
fps = 5
"""
USER_DATA = """\
#cloud-config
ssh_authorized_keys: ["{key}"]
write_files:
  - path: /etc/jibri-sip/setup.toml
    permissions: "0600"
    content: |
""" + "".join(f"      {line}\n" for line in SETUP.splitlines())


def boot(machine: Machine) -> float:
    """Wait until it has booted and was set up; seconds since power-on."""
    machine.log_in(BOOT_S)
    return machine.wait_for(
        "instance that starts", lambda: machine.state(UNIT)["ActiveState"] in {"activating", "active"}, BOOT_S
    )


def assert_set_up(machine: Machine) -> None:
    """It is what the file says; every unit is as it should be; the file, which may hold secrets, is gone."""
    assert machine.ssh("hostname").strip() == "gateway1"
    assert machine.ssh("systemctl list-units --failed --plain --no-legend").strip() == ""
    assert "policy drop" in machine.ssh("nft list chain inet jibri_sip input")
    assert machine.ssh("ls /boot/efi") == "EFI\n"
    assert "setup.toml" not in machine.ssh("ls /etc/jibri-sip")
    assert "http://localhost:18080" in machine.ssh("cat /etc/jibri-sip/jibri-sip.toml")
    assert len(machine.ssh("cat /etc/machine-id").strip()) == 32


def test_by_uefi_set_up_by_a_cloud(prepared: Path, logs: Path, figures: dict[str, float]) -> None:
    """The other firmware, and the other way to be set up: cloud-init's user data."""
    with Machine(prepared / "image.qcow2", logs, firmware="uefi", user_data=USER_DATA) as machine:
        figures["QEMU without KVM, UEFI: power-on to the gateway's start, s"] = round(boot(machine))
        assert machine.ssh("test -d /sys/firmware/efi && echo efi").strip() == "efi"
        assert_set_up(machine)


@pytest.fixture(scope="module")
def bios(prepared: Path, logs: Path, figures: dict[str, float]) -> Iterator[Machine]:
    """Started by its BIOS, set up by a file on its EFI system partition."""
    with Machine(prepared / "image.qcow2", logs, firmware="bios", setup=SETUP) as machine:
        figures["QEMU without KVM, BIOS: power-on to the gateway's start, s"] = round(boot(machine))
        yield machine


def test_by_bios(bios: Machine) -> None:
    """The older firmware, set up by a file on a partition that every system can write."""
    assert_set_up(bios)
    assert bios.ssh("test -d /sys/firmware/efi || echo bios").strip() == "bios"


def test_the_camera_is_there(bios: Machine) -> None:
    """v4l2loopback was built for this kernel, is loaded, and has a device with the instance's label."""
    assert bios.ssh("cat /sys/class/video4linux/*/name").split() == ["SIP_Room_1"]
    assert "v4l2loopback" in bios.ssh("lsmod")
    assert bios.ssh("stat --format %G /dev/video0").strip() == "video"


def test_the_unit_is_confined(bios: Machine, figures: dict[str, float]) -> None:
    """As measured: what systemd counts as exposure, 0 to 10."""
    text = bios.ssh(f"systemd-analyze security --no-pager {UNIT} | tail -n 1")
    found = re.search(r"(\d+\.\d+)", text)
    assert found is not None
    figures["systemd-analyze security, 0 to 10"] = float(found.group(1))
    assert float(found.group(1)) <= 2.5


def test_the_console_says_what_to_dial(bios: Machine) -> None:
    """Above the login: the address to dial, and nothing wrong."""
    bios.wait_for("banner on the console", lambda: "Dial sip:ROOM@10.0.2.15 " in bios.said(), BOOT_S)
    assert "What is wrong" not in bios.ssh("cat /run/issue.d/50-jibri-sip.issue")


def test_chromium_starts_with_its_sandbox(bios: Machine) -> None:
    """On the appliance's own kernel, as the gateway's user; its driver is of the same version."""
    bios.ssh(f"systemctl kill --signal KILL {UNIT}; systemctl mask --now --runtime {UNIT}", timeout_s=600)
    said = bios.ssh("JIBRI_SIP_PATIENCE=8 /usr/lib/jibri-sip/check-browser", timeout_s=1000)
    bios.ssh(f"systemctl unmask --runtime {UNIT}; systemctl start --no-block {UNIT}")
    assert "its driver fits" in said


@pytest.fixture(scope="module")
def warm(bios: Machine, figures: dict[str, float]) -> Machine:
    """The gateway is ready for a call."""
    figures["QEMU without KVM, BIOS: power-on to ready, s"] = round(bios.wait_until_active(UNIT, READY_S))
    return bios


def test_warm_chromium_runs_with_its_whole_sandbox(warm: Machine) -> None:
    """The page's process is in namespaces of its own, under a seccomp filter, and can gain no privileges."""
    program = r"""
for pid in $(pgrep -u jibri-sip -f -- --type=renderer); do
  grep -E '^(Seccomp|NoNewPrivs):' /proc/$pid/status | tr -s '\t\n' '  '
  for kind in user pid net; do
    [ "$(readlink /proc/$pid/ns/$kind)" = "$(readlink /proc/1/ns/$kind)" ] && echo "shares $kind"
  done
  echo
done"""
    renderers = [line for line in warm.ssh(program).splitlines() if line.strip()]
    assert renderers
    for renderer in renderers:
        assert "Seccomp: 2" in renderer
        assert "NoNewPrivs: 1" in renderer
        assert "shares" not in renderer
    assert "sandbox" not in warm.ssh("tr '\\0' ' ' </proc/$(pgrep -o -x chromium)/cmdline")


def test_warm_says_so(warm: Machine) -> None:
    """The console's banner tells the instance's state."""
    warm.wait_for("banner", lambda: "ready for a call" in warm.ssh("cat /run/issue.d/50-jibri-sip.issue"), BOOT_S)


def test_warm_stopping_drains_and_a_kill_is_mended(warm: Machine) -> None:
    """Killed, the instance is started anew; stopped while idle, it is gone at once, and stays so."""
    pid = warm.state(UNIT)["MainPID"]
    warm.ssh(f"kill -KILL {pid}")
    warm.wait_for("new process", lambda: warm.state(UNIT)["MainPID"] not in {pid, "0"})
    warm.wait_until_active(UNIT, READY_S)
    warm.ssh(f"systemctl stop {UNIT}", timeout_s=600)
    state = warm.state(UNIT)
    assert (state["ActiveState"], state["Result"]) == ("inactive", "success")
