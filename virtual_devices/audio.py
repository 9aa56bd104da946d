"""The instance's own PulseAudio daemon.

    the browser's sound ──► sink "meeting" ──► meeting.monitor ──► to_sip
    to_meet ──► sink "sip" ──► sip.monitor ──► source "sip_mic", shown to pages as the microphone SIP_Room

Pages never see monitors, hence the remapped source. All is 48 kHz: nothing is resampled on the way.
"""

import asyncio
import contextlib
import resource
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pulsectl

from virtual_devices.errors import DeviceError
from virtual_devices.patience import PATIENCE
from virtual_devices.processes import ChildProcess, LogLine, accepts, instance_env, wait_until

START_TIMEOUT_S = 10.0 * PATIENCE
MEETING_SINK = "meeting"
MEETING_SOURCE = "meeting.monitor"
SIP_SINK = "sip"
MICROPHONE = "sip_mic"
MICROPHONE_LABEL = "SIP_Room"

# Without it an idle null sink works in blocks of 2 s: a stream that joins is silent until the block is over.
NULL_SINK = "norewinds=1"

SOUND_NICE = -10
"""As Chrome has it for its threads of sound: where the processor has too much to do sound comes first."""

DAEMON_CONF = f"""\
nice-level = {SOUND_NICE}
default-sample-format = s16le
default-sample-rate = 48000
alternate-sample-rate = 48000
default-sample-channels = 2
avoid-resampling = yes
resample-method = speex-float-1
exit-idle-time = -1
flat-volumes = no
remixing-produce-lfe = no
remixing-consume-lfe = no
"""


class AudioServer:
    """A private PulseAudio.

    Attributes:
        server: its address, "unix:/path".
        env: PULSE_SERVER, PULSE_SINK and PULSE_SOURCE for the browser.
        on_lost: called once in the loop when the daemon is gone without having been closed.
    """

    def __init__(self, runtime_dir: Path, log: LogLine | None = None) -> None:
        self.on_lost: Callable[[str], None] | None = None
        self._directory = runtime_dir / "pulse"
        self._runtime_dir = runtime_dir
        self._socket = self._directory / "native"
        self._log = log
        self._daemon: ChildProcess | None = None

    @property
    def server(self) -> str:
        """The address that clients connect to."""
        return f"unix:{self._socket}"

    @property
    def env(self) -> dict[str, str]:
        """What the browser needs in its environment to hear and be heard through this daemon."""
        return {"PULSE_SERVER": self.server, "PULSE_SINK": MEETING_SINK, "PULSE_SOURCE": MICROPHONE}

    @property
    def pid(self) -> int | None:
        """The daemon's process id while it runs."""
        return self._daemon.pid if self._daemon else None

    async def start(self) -> None:
        """Starts the daemon; sinks and sources are there on return.

        Raises:
            DeviceError: pulseaudio is missing, refuses to run as root, or does not come up.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        (self._directory / "daemon.conf").write_text(DAEMON_CONF)
        env = instance_env(self._runtime_dir)
        env["PULSE_CONFIG"] = str(self._directory / "daemon.conf")
        env["PULSE_STATE_PATH"] = str(self._directory)
        env["PULSE_RUNTIME_PATH"] = str(self._directory)
        self._daemon = await ChildProcess.spawn(self._argv(), env=env, name="pulseaudio", log=self._log)
        try:
            await wait_until(partial(accepts, self._socket), self._daemon, START_TIMEOUT_S)
        except DeviceError:
            await self.close()
            raise
        self._daemon.on_exit = self._on_exit

    def _argv(self) -> list[str]:
        modules = [
            f"module-null-sink sink_name={MEETING_SINK} rate=48000 channels=2 {NULL_SINK} {_description('Meeting')}",
            f"module-null-sink sink_name={SIP_SINK} rate=48000 channels=1 {NULL_SINK} {_description('SIP')}",
            (
                f"module-remap-source source_name={MICROPHONE} master={SIP_SINK}.monitor channels=1 channel_map=mono"
                f" master_channel_map=mono remix=no {_description(MICROPHONE_LABEL, 'source')}"
            ),
            # last: the socket tells that all is there
            f"module-native-protocol-unix socket={self._socket} auth-cookie-enabled=0",
        ]
        first = "yes" if _may_come_first() else "no"
        argv = [
            "pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--realtime=no",
            f"--high-priority={first}", "--disallow-exit=yes", "--log-target=stderr", "--log-level=warning",
        ]  # fmt: skip
        for module in modules:
            argv += ["-L", module]
        return argv

    def _on_exit(self, child: ChildProcess) -> None:
        if self.on_lost:
            self.on_lost(f"pulseaudio ended with status {child.returncode}")

    def kill(self) -> None:
        """Ends a daemon that does not work any more; its loss is told by `on_lost`."""
        if self._daemon:
            self._daemon.kill()

    async def close(self) -> None:
        """Stops the daemon. Idempotent."""
        daemon, self._daemon = self._daemon, None
        if daemon:
            daemon.on_exit = None
            await daemon.stop()
        self._socket.unlink(missing_ok=True)

    async def peak(self, source: str = MEETING_SOURCE, seconds: float = 0.5) -> float:
        """The highest level of a source over that time, 0.0 to 1.0 of full scale.

        Raises:
            DeviceError: there is no such source, or the daemon is gone.
        """
        return await asyncio.to_thread(self._peak, source, seconds)

    def _peak(self, source: str, seconds: float) -> float:
        with self._client() as pulse:
            found = pulse.get_source_by_name(source)
            return float(pulse.get_peak_sample(found.index, seconds))

    async def clients(self) -> list[str]:
        """The names of the programs that play or record now.

        Raises:
            DeviceError: the daemon is gone.
        """
        return await asyncio.to_thread(self._clients)

    def _clients(self) -> list[str]:
        with self._client() as pulse:
            return sorted(client.name for client in pulse.client_list() if client.name != "jibri-sip check")

    @contextlib.contextmanager
    def _client(self) -> Iterator[pulsectl.Pulse]:
        try:
            with pulsectl.Pulse("jibri-sip check", server=self.server) as pulse:
                yield pulse
        except pulsectl.PulseError as error:
            raise DeviceError("sound", f"PulseAudio does not answer: {error}") from error


def _may_come_first() -> bool:
    """Whether we are allowed to (setrlimit(2)): PulseAudio complains, and asks others, where it is not."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NICE)
    return limit == resource.RLIM_INFINITY or limit >= 20 - SOUND_NICE


def _description(text: str, kind: str = "sink") -> str:
    return f"{kind}_properties=device.description={text}"
