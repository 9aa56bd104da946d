"""The appliance looks after itself: a log with a limit, the network's time, upgrades that end no call.

On User-Mode Linux. The archive that it upgrades from is a directory in it; all else is what happens every night.
"""

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jibri_sip.clock import utc_now
from tests.appliance.uml.machine import GUEST, HOST, UserModeMachine
from tests.e2e.waiting import until
from tests.peer.measured import MeasuredPeer

pytestmark = [pytest.mark.slow, pytest.mark.appliance, pytest.mark.timeout(3600)]

UNIT = "jibri-sip@1"
READY_S, UP_S, HEARD_S, UPGRADE_S = 900, 180, 180, 900
TONE_HZ, LOUD = 660, 0.03
PACKAGE = "upkeep-test"
ARCHIVE = f"""set -e
. /etc/os-release
mkdir -p /srv/archive/package/DEBIAN && cd /srv/archive
for version in 1 2; do
  {{
    printf 'Package: {PACKAGE}\\nVersion: %s\\nArchitecture: all\\n' $version
    printf 'Maintainer: A <a@example.org>\\nDescription: a fix\\n'
  }} >package/DEBIAN/control
  dpkg-deb --root-owner-group --build package {PACKAGE}_$version.deb
done
dpkg --install {PACKAGE}_1.deb
{{
  dpkg-deb --field {PACKAGE}_2.deb
  echo "Filename: ./{PACKAGE}_2.deb"
  echo "Size: $(stat --format %s {PACKAGE}_2.deb)"
  echo "SHA256: $(sha256sum {PACKAGE}_2.deb | cut -d' ' -f1)"
}} >Packages
{{
  printf 'Origin: Debian\\nLabel: Debian-Security\\nCodename: %s-security\\n' "$VERSION_CODENAME"
  date --utc '+Date: %a, %d %b %Y %T UTC'
  echo "SHA256:"
  echo " $(sha256sum Packages | cut -d' ' -f1) $(stat --format %s Packages) Packages"
}} >Release
echo 'deb [trusted=yes] file:/srv/archive ./' >/etc/apt/sources.list.d/archive.list
rm /etc/apt/sources.list.d/debian.sources
"""
"""An archive of security fixes, as Debian's says of itself, with one in it: of what is there in an older version."""
NIGHT = "systemctl start apt-daily.service && systemctl start apt-daily-upgrade.service"
NTP_PORT, NTP_EPOCH = 123, 2_208_988_800
WRONG_BY_S, RIGHT_TO_S = 600, 60


@pytest.fixture(scope="module")
def machine(prepared: Path, logs: Path) -> Iterator[UserModeMachine]:
    """The appliance, ready for a call."""
    with UserModeMachine(prepared, logs / "upkeep") as running:
        running.log_in(READY_S)
        running.wait_until_active(UNIT, READY_S)
        yield running


def test_the_log_has_a_limit(machine: UserModeMachine) -> None:
    """On disk, and not of a tenth of it, as it would be: the journal says so itself."""
    said = machine.ssh("journalctl --unit systemd-journald --output cat")
    assert re.search(r"System Journal \(/var/log/journal/\w+\) is \S+, max 500\.0M", said), said


class TimeServer:
    """This machine's time by NTP (RFC 5905), on our end of the tap device; a context manager."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        """Answer no more."""
        self._over.set()
        self._thread.join()

    def _serve(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.bind((HOST, NTP_PORT))
            end.settimeout(0.5)
            while not self._over.is_set():
                with contextlib.suppress(TimeoutError):
                    asked, sender = end.recvfrom(48)
                    now = struct.pack("!Q", int((utc_now().timestamp() + NTP_EPOCH) * 2**32))
                    # Mode server, version 4, stratum 1; when it was asked, by the asker's clock, comes back.
                    head = struct.pack("!BBbb8x4s", 4 << 3 | 4, 1, 6, -20, b"LOCL")
                    end.sendto(head + now + asked[40:48] + now + now, sender)


def test_time_comes_from_the_network(machine: UserModeMachine) -> None:
    """A clock that is wrong is put right: certificates and tokens need it."""
    assert machine.ssh("timedatectl show --property NTP --value").strip() == "yes"
    with TimeServer():
        machine.ssh(
            "mkdir -p /etc/systemd/timesyncd.conf.d"
            f" && printf '[Time]\\nNTP={HOST}\\n' >/etc/systemd/timesyncd.conf.d/test.conf"
            f" && date --set '-{WRONG_BY_S} seconds' && systemctl restart systemd-timesyncd"
        )
        machine.wait_for(
            "right time", lambda: abs(float(machine.ssh("date +%s")) - utc_now().timestamp()) < RIGHT_TO_S, HEARD_S
        )
        said = machine.ssh("timedatectl show --property NTPSynchronized --value && timedatectl timesync-status")
    assert said.startswith("yes\n")
    assert HOST in said


def test_upgrades_come_every_night(machine: UserModeMachine) -> None:
    """And nothing restarts the machine, or services over one's head."""
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer"):
        assert machine.state(timer)["ActiveState"] == "active"
    settings = machine.ssh("apt-config dump")
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in settings
    assert 'APT::Periodic::Unattended-Upgrade "1";' in settings
    assert machine.ssh("command -v needrestart || echo absent").strip() == "absent"


async def test_an_upgrade_ends_no_call(machine: UserModeMachine, logs: Path) -> None:
    """The night's units install a security fix during a call, which goes on; then the instance starts anew."""
    machine.ssh(ARCHIVE)
    before = machine.state(UNIT)["MainPID"]
    async with MeasuredPeer(
        width=320, height=180, fps=5, bitrate=100_000, tone_hz=TONE_HZ, host=HOST, log=logs / "upkeep" / "peer.log"
    ) as peer:

        async def level() -> float:
            return (await peer.report(TONE_HZ)).tones[TONE_HZ]

        await peer.call(f"sip:echo@{GUEST}")
        await peer.wait_up(UP_S)
        await until(level, lambda heard: heard > LOUD, "sound of the echo", HEARD_S)
        said = await asyncio.to_thread(machine.ssh, f"{NIGHT} && dpkg-query --show {PACKAGE}", timeout_s=UPGRADE_S)
        assert said.split() == [PACKAGE, "2"]
        assert machine.state(UNIT)["MainPID"] == before
        assert "in a call" in machine.state(UNIT)["StatusText"]
        await until(level, lambda heard: heard > LOUD, "sound of the echo after the upgrade", HEARD_S)
        await peer.hangup()
        await peer.wait_over()
    machine.wait_for("instance with the upgrade", lambda: machine.state(UNIT)["MainPID"] not in {before, "0"}, READY_S)
    machine.wait_until_active(UNIT, READY_S)
    assert machine.ssh("systemctl list-units --failed --plain --no-legend").strip() == ""
