"""The image in QEMU, without KVM: boots by BIOS and UEFI, set up by file or cloud, to a warm, confined gateway."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.machine import Machine

pytestmark = [pytest.mark.slow, pytest.mark.appliance, pytest.mark.timeout(3600)]

UNIT = "jibri-sip@1"
READY_S = 1800
GATEWAY = """
[meeting]
base_url = "http://localhost:18080"

[video]
width = 512
height = 288
fps = 5
"""
SETUP = f"""
[machine]
hostname = "gateway1"
patience = 20
{GATEWAY}
"""
USER_DATA = """\
#cloud-config
ssh_authorized_keys: ["{key}"]
write_files:
  - path: /etc/jibri-sip/setup.toml
    permissions: "0600"
    content: |
""" + "".join(f"      {line}\n" for line in SETUP.splitlines())


@pytest.fixture(scope="module")
def bios(prepared: Path, logs: Path, figures: dict[str, float]) -> Iterator[Machine]:
    """Started by its BIOS, set up by a file on its EFI system partition; the gateway is ready."""
    with Machine(prepared / "image.qcow2", logs, firmware="bios", setup=SETUP) as machine:
        figures["QEMU without KVM, BIOS: power-on to ready, s"] = round(machine.wait_until_active(UNIT, READY_S))
        yield machine


def test_the_camera_is_there(bios: Machine) -> None:
    """v4l2loopback was built for this kernel, is loaded, and has a device with the instance's label."""
    assert bios.ssh("cat /sys/class/video4linux/*/name").split() == ["SIP_Room_1"]
    assert "v4l2loopback" in bios.ssh("lsmod")
    assert bios.ssh("stat --format %G /dev/video0").strip() == "video"


def test_chromium_runs_with_its_whole_sandbox(bios: Machine) -> None:
    """The page's process is in namespaces of its own, under a seccomp filter, and can gain no privileges."""
    program = r"""
for pid in $(pgrep -f -- --type=renderer); do
  grep -E '^(Seccomp|NoNewPrivs):' /proc/$pid/status | tr -s '\t\n' '  '
  for kind in user pid net; do
    [ "$(readlink /proc/$pid/ns/$kind)" = "$(readlink /proc/1/ns/$kind)" ] && echo "shares $kind"
  done
  echo
done"""
    renderers = [line for line in bios.ssh(program).splitlines() if line.strip()]
    assert renderers
    for renderer in renderers:
        assert "Seccomp: 2" in renderer
        assert "NoNewPrivs: 1" in renderer
        assert "shares" not in renderer
    assert "sandbox" not in bios.ssh("tr '\\0' ' ' </proc/$(pgrep -o -x chromium)/cmdline")


def test_the_unit_is_confined(bios: Machine, figures: dict[str, float]) -> None:
    """As measured: what systemd counts as exposure, 0 to 10."""
    text = bios.ssh(f"systemd-analyze security --no-pager {UNIT} | tail -n 1")
    found = re.search(r"(\d+\.\d+)", text)
    assert found is not None
    figures["systemd-analyze security, 0 to 10"] = float(found.group(1))
    assert float(found.group(1)) <= 2.5


def test_nothing_has_failed(bios: Machine) -> None:
    """Every unit is as it should be; the firewall is up; the set-up file, which may hold secrets, is gone."""
    assert bios.ssh("systemctl list-units --failed --plain --no-legend").strip() == ""
    assert "policy drop" in bios.ssh("nft list chain inet jibri_sip input")
    assert bios.ssh("ls /boot/efi") == "EFI\n"
    assert bios.ssh("hostname").strip() == "gateway1"
    assert len(bios.ssh("cat /etc/machine-id").strip()) == 32


def test_the_console_says_what_to_dial(bios: Machine) -> None:
    """Above the login: the address to dial, the instance's state, and nothing wrong."""
    bios.wait_for("banner", lambda: "ready for a call" in bios.ssh("cat /run/issue.d/50-jibri-sip.issue"))
    banner = bios.ssh("cat /run/issue.d/50-jibri-sip.issue")
    assert re.search(r"Dial sip:ROOM@10\.0\.2\.15\b", banner)
    assert "What is wrong" not in banner
    bios.wait_for("banner on the console", lambda: "Dial sip:ROOM@" in bios.said())


def test_stopping_drains_and_a_kill_is_mended(bios: Machine) -> None:
    """Killed, the instance is started anew; stopped while idle, it is gone at once, and stays so."""
    pid = bios.state(UNIT)["MainPID"]
    bios.ssh(f"kill -KILL {pid}")
    bios.wait_for("new process", lambda: bios.state(UNIT)["MainPID"] not in {pid, "0"})
    bios.wait_until_active(UNIT, READY_S)
    bios.ssh(f"systemctl stop {UNIT}", timeout_s=600)
    state = bios.state(UNIT)
    assert (state["ActiveState"], state["Result"]) == ("inactive", "success")


def test_by_uefi_set_up_by_a_cloud(prepared: Path, logs: Path, figures: dict[str, float]) -> None:
    """The other firmware, and the other way to be set up: cloud-init's user data."""
    with Machine(prepared / "image.qcow2", logs, firmware="uefi", user_data=USER_DATA) as machine:
        figures["QEMU without KVM, UEFI: power-on to ready, s"] = round(machine.wait_until_active(UNIT, READY_S))
        assert machine.ssh("test -d /sys/firmware/efi && echo efi").strip() == "efi"
        assert machine.ssh("hostname").strip() == "gateway1"
        assert machine.ssh("systemctl list-units --failed --plain --no-legend").strip() == ""
