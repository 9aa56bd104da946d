"""What the endpoint needs to know, and the devices that it takes pictures and sound from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jibri_sip.config.access import AccessSettings
from jibri_sip.config.model import DialOutSettings, Settings
from jibri_sip.config.network import NetworkSettings

Srtp = Literal["off", "optional", "required"]


@dataclass(frozen=True)
class Device:
    """A PJMEDIA device by its names; numbers change whenever a factory is registered."""

    driver: str
    name: str


@dataclass(frozen=True)
class DeviceNames:
    """The devices of a gateway.

    Attributes:
        screen: capture; what the peer sees.
        camera: render; where the peer's picture goes.
        void: render; where PJSIP's own preview of `screen` goes, so that it never reaches `camera`.
        sound: capture and playback; None for no sound device at all (a clock without samples).
    """

    screen: Device
    camera: Device
    void: Device
    sound: Device | None


@dataclass(frozen=True)
class Tls:
    """SIP over TLS (RFC 3261 section 26.2.1); without a certificate nobody gets through to us, but we to others."""

    port: int
    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    """None for the system's."""
    verify_peer: bool = True
    self_signed: Path | None = None
    """Directory for a self-signed certificate, which is shown to callers where there is no other; None for none."""


@dataclass(frozen=True)
class Picture:
    """The picture that is sent: size in pixels, frames per second, bits per second, bytes of an IP packet at most."""

    width: int = 1280
    height: int = 720
    fps: int = 30
    bitrate: int = 1_500_000
    mtu: int = 1280


@dataclass(frozen=True)
class SipSettings:
    """Where and how SIP and RTP are spoken.

    Attributes:
        host: address to bind signalling and media to.
        signalling_host: address to bind signalling to where it is another; None for `host`.
        port: UDP and TCP port; 0 takes any free one.
        tcp: whether to listen on TCP too.
        tls: speak TLS too; None for no TLS.
        public_address: address to tell peers where a router translates (1:1 NAT); not told of signalling that has
            an address of its own, for a proxy is there.
        rtp_port_first: first UDP port for media, even; 0 takes any free ones.
        rtp_port_last: last UDP port for media.
        srtp: encryption of the media (RFC 4568, RFC 5764): never, when the peer can, or no call without.
        dscp_signalling: DSCP mark of SIP packets (RFC 4594: CS3 is 24).
        dscp_audio: DSCP mark of audio packets (EF is 46).
        dscp_video: DSCP mark of video packets (AF41 is 34).
        session_expires_s: interval of session timers (RFC 4028).
        picture: what is sent at most; a peer may ask for less.
        audio_codecs: names of RFC 3551 and RFC 7587, the best first.
        options_when_busy: answer to OPTIONS while no call would be taken: 503, 486 or 200.
        transfer: whom peers may hand their calls on to; None for no transfers.
        access: who may call in.
        network: routers on the way.
        trace: PJSIP's own log level, 1 to 5; from 4 on whole SIP messages are logged, without their secrets.
    """

    host: str = "127.0.0.1"
    signalling_host: str | None = None
    port: int = 5060
    tcp: bool = True
    tls: Tls | None = None
    public_address: str | None = None
    rtp_port_first: int = 0
    rtp_port_last: int = 0
    srtp: Srtp = "optional"
    dscp_signalling: int = 24
    dscp_audio: int = 46
    dscp_video: int = 34
    session_expires_s: int = 1800
    picture: Picture = Picture()
    audio_codecs: tuple[str, ...] = ("opus", "G722", "PCMA", "PCMU")
    options_when_busy: int = 503
    transfer: DialOutSettings | None = None
    access: AccessSettings = field(default_factory=AccessSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    trace: int = 3

    @classmethod
    def from_config(cls, config: Settings) -> "SipSettings":
        """The same, out of the gateway's configuration."""
        sip, video = config.sip, config.video
        tls = None
        if sip.tls.enabled or sip.tls.outgoing:
            tls = Tls(
                port=sip.tls_port,
                self_signed=config.instance.state_dir / "tls" if sip.tls.enabled else None,
                certificate=sip.tls.certificate_file,
                key=sip.tls.key_file,
                authorities=sip.tls.ca_file,
                verify_peer=sip.tls.verify_peer,
            )
        return cls(
            host=sip.host,
            signalling_host=sip.signalling_host,
            port=sip.port,
            tcp=sip.tcp,
            tls=tls,
            public_address=sip.public_address,
            rtp_port_first=sip.rtp_port_first,
            rtp_port_last=sip.rtp_port_last,
            srtp=sip.srtp,
            dscp_signalling=sip.dscp_signalling,
            dscp_audio=sip.dscp_audio,
            dscp_video=sip.dscp_video,
            picture=Picture(video.width, video.height, video.fps, video.bitrate_kbps * 1000, video.mtu),
            audio_codecs=config.audio.codecs,
            options_when_busy=sip.options_when_busy,
            transfer=config.dial_out if sip.transfer else None,
            access=sip.access,
            network=sip.network,
        )
