"""A SIP peer that is all wire: it plays a film encoded before, and takes the time of every packet that comes.

No jitter buffer, no codec while it sends; what comes is decoded only to read the stamps, and its time is the kernel's.
So it tells what the gateway alone takes, and hardly loads the machine on which the gateway is measured.
"""

import asyncio
import itertools
import re
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import av
from av.packet import Packet as CodedPacket
from av.video.codeccontext import VideoCodecContext

from tests.bench import pcmu, rtp
from tests.peer.raw import RawCaller, sdp
from tests.stamps import stamp

VIDEO_TYPE, SOUND_TYPE = 97, 0
_CLOCK = 90000
_PACKETS_A_SECOND = 50
_BURST_S = 0.1
_HEARD = 0.015  # a packet with a millisecond of the tone in it
_QUIET_MS = 300  # silence before a burst counts as one
_SO_TIMESTAMPNS = 35  # the same in Linux on all that we run on; socket has no name for it
_RECEIVE_BYTES = 4 << 20
_LARGEST = 2048
_POLL_S = 0.2


@dataclass
class Received:
    """What came of the meeting's picture.

    Attributes:
        frames: complete pictures.
        latencies_ms: from a stamp's time to the arrival of the last packet, of pictures with a new stamp.
        arrivals_ms: CLOCK_REALTIME of the same pictures.
        unreadable: pictures without a stamp.
        bursts_ms: CLOCK_REALTIME of the arrival of the packet in which a burst begins.
    """

    frames: int = 0
    unreadable: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    arrivals_ms: list[float] = field(default_factory=list)
    bursts_ms: list[float] = field(default_factory=list)


def _socket() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    opened.settimeout(_POLL_S)
    return opened


def _arrival_ms(ancillary: list[tuple[int, int, bytes]]) -> float:
    """When the kernel took a packet, CLOCK_REALTIME."""
    seconds, nanoseconds = struct.unpack("@qq", ancillary[0][2])
    return float(seconds * 1000 + nanoseconds / 1e6)


def now_ms() -> float:
    """CLOCK_REALTIME in ms, as the stamps use it."""
    return time.clock_gettime(time.CLOCK_REALTIME) * 1000


class RtpPeer:
    """One call to the gateway; an async context manager, in which the film runs.

    Args:
        sip_port: of the gateway, on loopback.
        user: whom it calls.
        units: the film, an H.264 access unit a picture.
        fps: of the film.
        say_hz: tone of its bursts: for 100 ms from each full second on, the first packet sent at that second.
        listen_hz: tone of the bursts that it times.

    Attributes:
        received: what came so far.
        sent_ms: by picture number, CLOCK_REALTIME at which its last packet had been sent.
    """

    def __init__(
        self, sip_port: int, user: str, units: Sequence[bytes], fps: int, *, say_hz: float, listen_hz: float
    ) -> None:
        self.received = Received()
        self.sent_ms: dict[int, float] = {}
        self._caller = RawCaller(sip_port, user)
        self._packets = [rtp.payloads(unit) for unit in units]
        self._fps = fps
        self._burst = pcmu.tone(say_hz, _BURST_S)
        self._listen_hz = listen_hz
        self._video, self._sound = _socket(), _socket()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    async def __aenter__(self) -> Self:
        """Call, wait for the answer, begin to play.

        Raises:
            RuntimeError: the call was not taken.
        """
        await self._caller.__aenter__()
        self._caller.request("INVITE", self._offer())
        code, text = await self._caller.response()
        self._caller.request("ACK")
        if code != 200:
            raise RuntimeError(f"the gateway answered {code}")
        sound, video = (int(port) for port in re.findall(r"(?m)^m=(?:audio|video) (\d+)", text))
        self._run(self._play, ("127.0.0.1", video))
        self._run(self._watch)
        self._run(self._sound_bursts, ("127.0.0.1", sound))
        self._run(self._listen)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self._stop.set()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._caller.request("BYE")
        await self._caller.response()
        await self._caller.__aexit__()
        self._video.close()
        self._sound.close()

    def _run(self, function: object, *arguments: object) -> None:
        assert callable(function)
        thread = threading.Thread(target=function, args=arguments)
        thread.start()
        self._threads.append(thread)

    def _offer(self) -> str:
        sound, video = self._sound.getsockname()[1], self._video.getsockname()[1]
        return sdp(
            f"m=audio {sound} RTP/AVP {SOUND_TYPE}\na=rtpmap:{SOUND_TYPE} PCMU/8000\n",
            f"m=video {video} RTP/AVP {VIDEO_TYPE}\na=rtpmap:{VIDEO_TYPE} H264/90000\n"
            f"a=fmtp:{VIDEO_TYPE} profile-level-id=42e01f;packetization-mode=1\n",
        )

    def _play(self, video: tuple[str, int]) -> None:
        """The film at its pace."""
        began = time.monotonic()
        sequence = 0
        for number, packets in enumerate(self._packets):
            if self._stop.wait(max(0.0, began + number / self._fps - time.monotonic())):
                return
            for index, payload in enumerate(packets):
                last = index == len(packets) - 1
                head = rtp.header(VIDEO_TYPE, sequence, number * _CLOCK // self._fps, 2, marker=last)
                self._video.sendto(head + payload, video)
                sequence += 1
            self.sent_ms[number] = now_ms()

    def _sound_bursts(self, target: tuple[str, int]) -> None:
        """A packet each 20 ms, in step with the full seconds."""
        tick = int(now_ms() * _PACKETS_A_SECOND / 1000)
        for sequence in itertools.count():
            tick += 1
            if self._stop.wait(max(0.0, tick / _PACKETS_A_SECOND - now_ms() / 1000)):
                return
            place = tick % _PACKETS_A_SECOND
            payload = self._burst[place] if place < len(self._burst) else pcmu.SILENCE
            head = rtp.header(SOUND_TYPE, sequence, sequence * pcmu.PACKET, 1, marker=False)
            self._sound.sendto(head + payload, target)

    def _listen(self) -> None:
        loud_ms = 0.0
        while not self._stop.is_set():
            try:
                data, ancillary, _, _ = self._sound.recvmsg(_LARGEST, socket.CMSG_SPACE(16))
            except TimeoutError:
                continue
            at_ms = _arrival_ms(ancillary)
            if pcmu.level(rtp.parse(data).payload, self._listen_hz) < _HEARD:
                continue
            if at_ms - loud_ms > _QUIET_MS:
                self.received.bursts_ms.append(at_ms)
            loud_ms = at_ms

    def _watch(self) -> None:
        assembler = rtp.Assembler()
        decoder = av.CodecContext.create("h264", "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.thread_count = 1
        last_counter = -1
        while not self._stop.is_set():
            try:
                data, ancillary, _, _ = self._video.recvmsg(_LARGEST, socket.CMSG_SPACE(16))
            except TimeoutError:
                continue
            unit = assembler.add(rtp.parse(data))
            for frame in decoder.decode(CodedPacket(unit)) if unit else ():
                plane = frame.planes[0]
                found = stamp.read_luma(memoryview(plane), frame.width, frame.height, stride=plane.line_size)
                last_counter = self._note(found, _arrival_ms(ancillary), last_counter)

    def _note(self, found: stamp.Stamp | None, at_ms: float, last_counter: int) -> int:
        self.received.frames += 1
        if found is None:
            self.received.unreadable += 1
            return last_counter
        if found.counter != last_counter:
            self.received.latencies_ms.append(found.age_ms(at_ms))
            self.received.arrivals_ms.append(at_ms)
        return found.counter
