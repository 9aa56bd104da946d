"""The Jingle stanzas between a focus and lib-jitsi-meet (XEP-0166, 0167, 0176, 0293, 0294, 0320, 0338, 0339).

Pure: elements in, elements out. The sources of a participant (its `<source>` and `<ssrc-group>` elements) are
passed on as they came, marked with their owner.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, SubElement

from aiortc import RTCDtlsFingerprint, RTCIceCandidate, RTCIceParameters

JINGLE = "urn:xmpp:jingle:1"
RTP = "urn:xmpp:jingle:apps:rtp:1"
ICE = "urn:xmpp:jingle:transports:ice-udp:1"
DTLS = "urn:xmpp:jingle:apps:dtls:0"
SOURCES = "urn:xmpp:jingle:apps:rtp:ssma:0"
FEEDBACK = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0"
EXTENSIONS = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0"
GROUPING = "urn:xmpp:jingle:apps:grouping:0"
JITSI_MEET = "http://jitsi.org/jitmeet"
FOCUS = "http://jitsi.org/protocol/focus"
COLIBRI = "http://jitsi.org/protocol/colibri"

MEDIA = ("audio", "video")

# SSRCs that a Jitsi Videobridge would send its own reports from; nothing is ever sent from these.
_BRIDGE_SSRC = {"audio": 0x6A766261, "video": 0x6A766276}

_VIDEO_FEEDBACK = (("ccm", "fir"), ("nack", None), ("nack", "pli"))


@dataclass(frozen=True)
class Codec:
    """A payload type of the offer; a video codec has a companion for retransmissions (RFC 4588)."""

    payload_type: int
    name: str
    clock_rate: int
    parameters: Mapping[str, str] = field(default_factory=dict)
    channels: int | None = None
    rtx_payload_type: int | None = None


OPUS = Codec(111, "opus", 48000, {"minptime": "10", "useinbandfec": "1"}, channels=2)
VIDEO_CODECS = {
    "H264": Codec(
        107,
        "H264",
        90000,
        {"profile-level-id": "42e01f", "level-asymmetry-allowed": "1", "packetization-mode": "1"},
        rtx_payload_type=99,
    ),
    "VP8": Codec(100, "VP8", 90000, rtx_payload_type=96),
}


@dataclass(frozen=True)
class Bitrates:
    """Where Chromium's bandwidth estimation starts and what it stays between, kbit/s."""

    start: int
    minimum: int
    maximum: int

    def parameters(self) -> dict[str, str]:
        """As Chromium's own format parameters."""
        return {
            "x-google-start-bitrate": str(self.start),
            "x-google-min-bitrate": str(self.minimum),
            "x-google-max-bitrate": str(self.maximum),
        }


@dataclass(frozen=True)
class LocalTransport:
    """Our end of one participant's transport, for the offer."""

    parameters: RTCIceParameters
    candidates: Sequence[RTCIceCandidate]
    fingerprint: RTCDtlsFingerprint
    bridge_url: str


@dataclass(frozen=True)
class RemoteTransport:
    """What a participant said of its end; without a fingerprint it only adds candidates (trickle ICE)."""

    parameters: RTCIceParameters
    candidates: list[RTCIceCandidate]
    fingerprint: RTCDtlsFingerprint | None


class Sources:
    """The `<source>` and `<ssrc-group>` elements of one participant, by medium."""

    def __init__(self) -> None:
        self._elements: dict[str, dict[tuple[str, ...], Element]] = {media: {} for media in MEDIA}

    @staticmethod
    def _key(element: Element) -> tuple[str, ...]:
        members = [child.get("ssrc", "") for child in element if child.tag == f"{{{SOURCES}}}source"]
        return (element.tag, element.get("ssrc", ""), element.get("semantics", ""), *members)

    def __bool__(self) -> bool:
        return any(self._elements.values())

    def of(self, media: str) -> list[Element]:
        """The elements of `audio` or `video`."""
        return list(self._elements[media].values())

    def add(self, media: str, element: Element) -> None:
        """Add one element, in place of the one that describes the same SSRCs."""
        self._elements[media][self._key(element)] = element

    def update(self, other: "Sources") -> None:
        """Add all of `other`."""
        for media in MEDIA:
            self._elements[media].update(other._elements[media])

    def remove(self, other: "Sources") -> None:
        """Remove all that `other` names."""
        for media in MEDIA:
            for key in other._elements[media]:
                self._elements[media].pop(key, None)

    def without(self, other: "Sources") -> "Sources":
        """Those that `other` does not name."""
        rest = Sources()
        rest.update(self)
        rest.remove(other)
        return rest


def _add(parent: Element, namespace: str, tag: str, **attributes: object) -> Element:
    return SubElement(parent, f"{{{namespace}}}{tag}", {name: str(value) for name, value in attributes.items()})


def new_jingle(action: str, session: str, initiator: str) -> Element:
    """An empty `<jingle>` of `action`."""
    return Element(f"{{{JINGLE}}}jingle", {"action": action, "sid": session, "initiator": initiator})


def _add_content(jingle: Element, media: str) -> tuple[Element, Element]:
    content = _add(jingle, JINGLE, "content", creator="initiator", name=media, senders="both")
    return content, _add(content, RTP, "description", media=media)


def _add_codec(description: Element, codec: Codec, more: Mapping[str, str]) -> None:
    payload = _add(description, RTP, "payload-type", id=codec.payload_type, name=codec.name, clockrate=codec.clock_rate)
    if codec.channels:
        payload.set("channels", str(codec.channels))
    for name, value in {**codec.parameters, **more}.items():
        _add(payload, RTP, "parameter", name=name, value=value)
    if codec.rtx_payload_type is None:
        return
    for kind, subtype in _VIDEO_FEEDBACK:
        feedback = _add(payload, FEEDBACK, "rtcp-fb", type=kind)
        if subtype:
            feedback.set("subtype", subtype)
    rtx = _add(description, RTP, "payload-type", id=codec.rtx_payload_type, name="rtx", clockrate=codec.clock_rate)
    _add(rtx, RTP, "parameter", name="apt", value=codec.payload_type)


def _add_bridge_source(description: Element, media: str) -> None:
    """Name the bridge's own source, as Jicofo does in every offer.

    lib-jitsi-meet adds its tracks without a stream, and names others' streams by `a=ssrc` lines alone; Chromium answers
    in the offer's way. Had the first offer no `a=ssrc`, the first answer tells by `a=msid` that there is no stream. In
    later ones it is called "-", which Chromium takes for another one: it asks to negotiate again, after every answer.
    """
    source = _add(description, SOURCES, "source", ssrc=_BRIDGE_SSRC[media], name=f"jvb-{media[0]}0")
    _add(source, SOURCES, "parameter", name="msid", value=f"mixedmslabel mixedlabel{media}0")
    _add(source, JITSI_MEET, "ssrc-info", owner="jvb")


def _add_transport(content: Element, local: LocalTransport) -> None:
    ice = local.parameters
    transport = _add(content, ICE, "transport", ufrag=ice.usernameFragment, pwd=ice.password)
    _add(transport, ICE, "rtcp-mux")
    _add(transport, COLIBRI, "web-socket", url=local.bridge_url)
    fingerprint = _add(
        transport, DTLS, "fingerprint", hash=local.fingerprint.algorithm, setup="actpass", required="false"
    )
    fingerprint.text = local.fingerprint.value
    for number, candidate in enumerate(c for c in local.candidates if _is_ipv4(c.ip)):
        _add(
            transport,
            ICE,
            "candidate",
            id=f"c{number}",
            component=1,
            foundation=candidate.foundation,
            generation=0,
            ip=candidate.ip,
            network=0,
            port=candidate.port,
            priority=candidate.priority,
            protocol="udp",
            type=candidate.type,
        )


def session_initiate(
    jingle: Element,
    local: LocalTransport,
    codecs: Sequence[Codec],
    bitrates: Bitrates,
    sources: Iterable[Sources],
    *,
    names_bridge: bool,
) -> Element:
    """Fill `jingle` with the offer of a session: audio and video on one transport.

    `names_bridge`: the bridge's own source is in it, for Jitsi Meet's own page. With ours Chromium then overlooks the
    start bitrate: it begins with 250 kbit/s and 640x360, and sends 1280x720 after 12 to 15 s.

    No congestion control feedback (REMB, transport-cc) is offered: everybody is on this machine, and senders
    would start low and climb for many seconds.
    """
    known = list(sources)
    for media in MEDIA:
        content, description = _add_content(jingle, media)
        if media == "audio":
            _add_codec(description, OPUS, {})
            _add(description, EXTENSIONS, "rtp-hdrext", uri="urn:ietf:params:rtp-hdrext:ssrc-audio-level", id=1)
        else:
            for codec in codecs:
                _add_codec(description, codec, bitrates.parameters())
        _add(description, RTP, "rtcp-mux")
        if names_bridge:
            _add_bridge_source(description, media)
        for participant in known:
            description.extend(participant.of(media))
        _add_transport(content, local)
    group = _add(jingle, GROUPING, "group", semantics="BUNDLE")
    for media in MEDIA:
        _add(group, GROUPING, "content", name=media)
    _add(jingle, FOCUS, "bridge-session", id="embedded", region="local")
    return jingle


def fill_sources(jingle: Element, sources: Sources) -> Element:
    """Fill a `source-add` or `source-remove` with `sources`."""
    for media in MEDIA:
        _, description = _add_content(jingle, media)
        description.extend(sources.of(media))
    return jingle


def read_sources(jingle: Element, owner: str) -> Sources:
    """The sources in `jingle`, each marked as belonging to the occupant `owner` (ROOM@MUC/NICK)."""
    found = Sources()
    for content in jingle.iter(f"{{{JINGLE}}}content"):
        description = content.find(f"{{{RTP}}}description")
        if description is None:
            continue
        media = description.get("media", "")
        for element in description:
            if element.tag == f"{{{SOURCES}}}source":
                for stale in element.findall(f"{{{JITSI_MEET}}}ssrc-info"):
                    element.remove(stale)
                _add(element, JITSI_MEET, "ssrc-info", owner=owner)
            elif element.tag != f"{{{SOURCES}}}ssrc-group":
                continue
            found.add(media, element)
    return found


def _is_ipv4(address: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(address), ipaddress.IPv4Address)
    except ValueError:  # an mDNS name, by which browsers hide addresses
        return False


def read_transport(jingle: Element) -> RemoteTransport | None:
    """The participant's end of the transport, if `jingle` speaks of it; only UDP over IPv4 candidates count."""
    transport = jingle.find(f".//{{{ICE}}}transport")
    if transport is None:
        return None
    candidates = [
        RTCIceCandidate(
            component=1,
            foundation=element.get("foundation", ""),
            ip=element.get("ip", ""),
            port=int(element.get("port", "0")),
            priority=int(element.get("priority", "0")),
            protocol="udp",
            type=element.get("type", "host"),
        )
        for element in transport.findall(f"{{{ICE}}}candidate")
        if element.get("protocol", "").lower() == "udp"
        and element.get("component") == "1"
        and _is_ipv4(element.get("ip", ""))
    ]
    mark = transport.find(f"{{{DTLS}}}fingerprint")
    return RemoteTransport(
        parameters=RTCIceParameters(transport.get("ufrag", ""), transport.get("pwd", "")),
        candidates=candidates,
        fingerprint=None if mark is None else RTCDtlsFingerprint(mark.get("hash", ""), (mark.text or "").strip()),
    )
