"""The selective forwarding unit: one ICE/DTLS transport for each participant, RTP handed on as it came.

Every participant is offered the same payload types and header extensions, therefore a packet of one can go to all
others as it is, SSRC included. Nothing is stored: what is lost is asked for again from its sender (NACK, PLI pass
through). One encoding for each source, so simulcast has to be off.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from xml.etree.ElementTree import Element

from aiortc import RTCCertificate, RTCDtlsParameters, RTCIceGatherer, RTCIceTransport
from aiortc.rtcdtlstransport import RTCDtlsTransport

from tests.meeting import jingle
from tests.meeting.focus import Focus
from tests.meeting.levels import BurstWatch
from tests.meeting.options import MeetingOptions
from tests.meeting.rooms import Room

_log = logging.getLogger(__name__)


class _Transport(RTCDtlsTransport):
    """DTLS-SRTP whose decrypted packets go to `forward` and not to aiortc's own receivers."""

    def __init__(self, ice: RTCIceTransport, certificate: RTCCertificate, forward: Callable[[bytes], object]) -> None:
        super().__init__(ice, [certificate])
        self._forward = forward
        self._set_role("server")

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:  # noqa: ARG002
        await self._forward(data)  # type: ignore[misc]

    async def _handle_rtcp_data(self, data: bytes) -> None:
        await self._forward(data)  # type: ignore[misc]


class Endpoint:
    """One participant's session: its transport and its sources.

    Attributes:
        session: Jingle session id.
        sources: what it sends.
        offered: what it has been told of the others.
        is_accepted: whether it answered the offer.
        is_connected: whether media can flow.
        packets_in: RTP and RTCP packets that came from it.
        bursts: when its sound began.
    """

    def __init__(self, nick: str, certificate: RTCCertificate, forward: Callable[["Endpoint", bytes], object]) -> None:
        self.nick = nick
        self.session = secrets.token_hex(6)
        self.sources = jingle.Sources()
        self.offered = jingle.Sources()
        self.is_accepted = False
        self.is_connected = False
        self.packets_in = 0
        self.bursts = BurstWatch()
        self._certificate = certificate
        self._gatherer = RTCIceGatherer(iceServers=[])
        self._ice = RTCIceTransport(self._gatherer)
        self._ice._connection.ice_controlling = True
        self._dtls = _Transport(self._ice, certificate, lambda data: forward(self, data))

    async def local_transport(self, bridge_url: str) -> jingle.LocalTransport:
        """Our end of the transport, with all its candidates."""
        await self._gatherer.gather()
        prints = self._certificate.getFingerprints()
        return jingle.LocalTransport(
            parameters=self._gatherer.getLocalParameters(),
            candidates=self._gatherer.getLocalCandidates(),
            fingerprint=next(f for f in prints if f.algorithm == "sha-256"),
            bridge_url=bridge_url,
        )

    async def connect(self, remote: jingle.RemoteTransport) -> None:
        """Take in the participant's end; the first time that it has a fingerprint, connect."""
        for candidate in remote.candidates:
            await self._ice.addRemoteCandidate(candidate)
        if remote.fingerprint is None or self._ice.state != "new":
            return
        await self._ice.start(remote.parameters)
        await self._dtls.start(RTCDtlsParameters(fingerprints=[remote.fingerprint]))
        self.is_connected = self._dtls.state == "connected"
        _log.info("%s: ICE %s, DTLS %s", self.nick, self._ice.state, self._dtls.state)

    async def send(self, data: bytes) -> None:
        """Send a plain RTP or RTCP packet, encrypted."""
        try:
            await self._dtls._send_rtp(data)
        except ConnectionError:
            self.is_connected = False

    async def close(self) -> None:
        """Close the transport."""
        self.is_connected = False
        await self._dtls.stop()
        await self._ice.stop()


class Conference:
    """The sessions of one room, and who has been told of whose sources."""

    def __init__(self, focus: Focus, room: Room, options: MeetingOptions, bridge_url: Callable[[str], str]) -> None:
        self._focus = focus
        self._room = room
        self._options = options
        self._bridge_url = bridge_url
        self.endpoints: dict[str, Endpoint] = {}

    def _others(self, endpoint: Endpoint) -> Iterable[Endpoint]:
        return (other for other in self.endpoints.values() if other is not endpoint)

    async def _forward(self, sender: Endpoint, data: bytes) -> None:
        sender.packets_in += 1
        sender.bursts.packet(data)
        for other in self._others(sender):
            if other.is_connected:
                await other.send(data)

    def invite(self, nick: str, certificate: RTCCertificate) -> None:
        """Offer a session to an occupant."""
        endpoint = self.endpoints[nick] = Endpoint(nick, certificate, self._forward)
        self._focus.spawn(self._offer(endpoint))

    async def _offer(self, endpoint: Endpoint) -> None:
        local = await endpoint.local_transport(self._bridge_url(endpoint.nick))
        for other in self._others(endpoint):
            endpoint.offered.update(other.sources)
        options = self._options
        offer = jingle.session_initiate(
            self._focus.new_jingle("session-initiate", endpoint.session),
            local,
            [jingle.VIDEO_CODECS[name] for name in options.video_codecs],
            jingle.Bitrates(options.start_bitrate, options.min_bitrate, options.max_bitrate),
            [endpoint.offered],
            names_bridge=bool(options.web_app),
        )
        await self._focus.send_jingle(self._room, endpoint.nick, offer)

    async def _tell(self, endpoint: Endpoint, action: str, sources: jingle.Sources) -> None:
        if not sources or not endpoint.is_accepted:
            return
        element = jingle.fill_sources(self._focus.new_jingle(action, endpoint.session), sources)
        await self._focus.send_jingle(self._room, endpoint.nick, element)

    async def _tell_all(self) -> None:
        """Tell each participant of sources that came or went since it was told last."""
        for endpoint in list(self.endpoints.values()):
            if not endpoint.is_accepted:
                continue
            now = jingle.Sources()
            for other in self._others(endpoint):
                now.update(other.sources)
            gone, new = endpoint.offered.without(now), now.without(endpoint.offered)
            endpoint.offered = now
            await self._tell(endpoint, "source-remove", gone)
            await self._tell(endpoint, "source-add", new)

    async def handle(self, nick: str, element: Element) -> None:
        """Take in a `<jingle>` from an occupant."""
        endpoint = self.endpoints.get(nick)
        action = element.get("action")
        if endpoint is None or element.get("sid") != endpoint.session:
            _log.info("%s: %s for a session that is not ours", nick, action)
            return
        if action in {"session-accept", "source-add", "source-remove"}:
            sources = jingle.read_sources(element, f"{self._room.jid}/{nick}")
            if action == "source-remove":
                endpoint.sources.remove(sources)
            else:
                endpoint.sources.update(sources)
            endpoint.is_accepted = endpoint.is_accepted or action == "session-accept"
            self._focus.spawn(self._tell_all())
        transport = jingle.read_transport(element)
        if transport:
            await endpoint.connect(transport)

    async def drop(self, nick: str) -> None:
        """Forget an occupant who has gone."""
        await self.endpoints.pop(nick).close()
        await self._tell_all()

    async def close(self) -> None:
        """Close all transports."""
        await asyncio.gather(*(endpoint.close() for endpoint in self.endpoints.values()))
        self.endpoints.clear()


class Bridge:
    """Gives everybody in every room a session; the focus' `RoomWatcher`."""

    def __init__(self, focus: Focus, options: MeetingOptions, bridge_url: Callable[[str, str], str]) -> None:
        self._focus = focus
        self._options = options
        self._bridge_url = bridge_url
        self._certificate = RTCCertificate.generateCertificate()
        # With fewer than this the participants are left alone (or talk peer to peer).
        self._min_participants = 2 if options.require_sfu else 3
        self.conferences: dict[str, Conference] = {}

    def occupants_changed(self, room: Room) -> None:
        """Invite those who came, forget those who went."""
        conference = self.conferences.get(room.jid)
        if conference is None:
            name = room.jid.split("@")[0]
            conference = Conference(self._focus, room, self._options, lambda nick: self._bridge_url(name, nick))
            self.conferences[room.jid] = conference
        for nick in set(conference.endpoints) - set(room.occupants):
            self._focus.spawn(conference.drop(nick))
        if len(room.occupants) < self._min_participants and not conference.endpoints:
            return
        for nick in set(room.occupants) - set(conference.endpoints):
            conference.invite(nick, self._certificate)

    def jingle_received(self, room: Room, nick: str, element: Element) -> None:
        """Pass a `<jingle>` to the room's conference."""
        self._focus.spawn(self.conferences[room.jid].handle(nick, element))

    def room_closed(self, room: Room) -> None:
        """Close the room's sessions."""
        conference = self.conferences.pop(room.jid, None)
        if conference:
            self._focus.spawn(conference.close())

    async def close(self) -> None:
        """Close all sessions."""
        await asyncio.gather(*(conference.close() for conference in self.conferences.values()))
        self.conferences.clear()
