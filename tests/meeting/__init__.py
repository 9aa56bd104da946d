"""A Jitsi conference on one machine, for tests, the demo and development.

Real XMPP (Debian's Prosody), real Jingle (a focus on slixmpp), real WebRTC (an SFU on aiortc), a page with the
`window.APP.conference` surface of Jitsi Meet on lib-jitsi-meet, and headless Chromium as other participants.
"""

from tests.meeting.meeting import EmbeddedMeeting, MeetingError, Occupant
from tests.meeting.options import MeetingOptions
from tests.meeting.participant import (
    BurstsHeard,
    Participant,
    ParticipantError,
    ParticipantReport,
    Standing,
    VideoSeen,
    VideoStream,
)

__all__ = [
    "BurstsHeard",
    "EmbeddedMeeting",
    "MeetingError",
    "MeetingOptions",
    "Occupant",
    "Participant",
    "ParticipantError",
    "ParticipantReport",
    "Standing",
    "VideoSeen",
    "VideoStream",
]
