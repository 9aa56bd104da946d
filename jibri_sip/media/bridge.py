"""Wires the devices of the slot to the call, and decides which picture each side gets.

    to_sip  ─────────────────────────────────────────────────────────────────────►
     Xvfb ─► ScreenSource (xcb-shm, I420) ─► PJMEDIA ─► OpenH264 ─► RTP ─► peer
     AudioServer "meeting".monitor ─► SoundDevice ─► PJMEDIA ─► Opus ─► RTP ─► peer
     browser ◄─ Camera (PipeWire or v4l2loopback, I420) ◄─ PJMEDIA ◄─ OpenH264 ◄─ RTP ◄─ peer
     browser ◄─ AudioServer "sip" ◄─ SoundDevice ◄─ PJMEDIA ◄─ Opus ◄─ RTP ◄─ peer
    ◄───────────────────────────────────────────────────────────────────── to_meet

Frames and samples stay in C. What is decided here is only whether a side sees the live picture or one of
our own cards: nobody is ever shown an empty desktop, or what is left of another call.
"""

from dataclasses import dataclass

from virtual_devices import cards
from virtual_devices.camera import Camera
from virtual_devices.canvas import Canvas
from virtual_devices.native.binding import CameraStats, ScreenStats
from virtual_devices.screen import ScreenSource


@dataclass(frozen=True)
class BridgeStats:
    """Frames that passed the devices since the bridge was opened."""

    to_sip: ScreenStats
    to_meet: CameraStats


class Bridge:
    """The two pictures of one call.

    Args:
        canvas: size of both, I420 width x height.
        screen: what the SIP peer gets.
        camera: what the meeting gets.
    """

    def __init__(self, canvas: Canvas, screen: ScreenSource, camera: Camera) -> None:
        self._canvas = canvas
        self._screen = screen
        self._camera = camera

    def cover(self) -> None:
        """Show our own cards to both sides: before, between and after calls."""
        welcome = cards.welcome(self._canvas)
        self._screen.show(welcome)
        self._camera.show(welcome)

    def connecting(self, room: str, peer: str) -> None:
        """Tell the peer that its meeting is being joined, and the meeting that the peer is being connected."""
        self._screen.show(cards.connecting(self._canvas, room))
        self._camera.show(cards.connecting(self._canvas, peer))

    def waiting_in_lobby(self, room: str) -> None:
        """Tell the peer that a moderator has to let it in."""
        self._screen.show(cards.waiting(self._canvas, room))

    def test_card(self) -> None:
        """Show the peer the test card."""
        self._screen.show(cards.test_card(self._canvas, "jibri_sip: your own sound now, your own picture soon"))

    def show_meeting(self) -> None:
        """Show the peer the meeting."""
        self._screen.show(None)

    def show_peer(self, name: str, *, video: bool) -> None:
        """Show the meeting the peer's picture, or a card with its name when it sends none."""
        self._camera.show(None if video else cards.audio_only(self._canvas, name))

    def hold(self) -> None:
        """Tell the meeting that the peer holds the call."""
        self._camera.show(cards.held(self._canvas))

    def stats(self) -> BridgeStats:
        """What passed so far."""
        return BridgeStats(to_sip=self._screen.stats(), to_meet=self._camera.stats())
