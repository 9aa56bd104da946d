"""A full disk: the gateway says so, to its operator and to callers, and works again once there is room."""

import contextlib
import errno
import os
from pathlib import Path

import pytest

from tests.e2e.waiting import until
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting
from tests.peer.measured import MeasuredPeer
from tests.peer.raw import AUDIO, RawCaller, sdp
from tests.running_gateway import RunningGateway

SIZE = "96m"
READY_S = 40.0
_CHUNK = b"\1" * (1 << 20)


def on_a_small_disk(directory: Path) -> tuple[str, ...]:
    """A command that mounts a small disk there, for itself alone, and gives up the right to before it goes on."""
    script = (
        f'mount -t tmpfs -o size={SIZE},mode=0700 small "$0" && exec setpriv --inh-caps=-all --ambient-caps=-all "$@"'
    )
    return ("unshare", "--map-current-user", "--keep-caps", "--mount", "sh", "-c", script, str(directory))


def fill(gateway: RunningGateway, directory: Path) -> Path:
    """Fill the gateway's disk, seen from outside; the file to remove."""
    filler = Path(f"/proc/{gateway.pid}/root{directory}/filler")
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(_CHUNK)
    return filler


async def test_full_disk(tmp_path: Path) -> None:
    """Full between two calls: the slot is not renewed, callers get 503, and soon after there is room they are taken."""
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    settings = {"instance": {"runtime_dir": str(disk / "run")}}
    async with (
        EmbeddedMeeting(tmp_path, library_directory()) as meeting,
        RunningGateway(meeting.base_url, settings, wrapper=on_a_small_disk(disk)) as gateway,
        MeasuredPeer(width=640, height=360, fps=15) as peer,
    ):
        await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        await peer.wait_up()
        filler = fill(gateway, disk)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), (filler.parent / "more").open("wb") as more:
            more.write(_CHUNK)
        await peer.hangup()
        await peer.wait_over()
        status = await until(
            gateway.status, lambda now: now["slot"] == "failed", "gateway that tells of the disk", READY_S
        )
        assert status["problem"]["key"] == "disk-full", status
        async with RawCaller(gateway.sip_port, "demo") as caller:
            caller.request("INVITE", sdp(AUDIO))
            code, _ = await caller.response()
            caller.request("ACK")
        assert code == 503
        filler.unlink()
        await gateway.ready(READY_S)
        await peer.call(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        await peer.wait_up()
