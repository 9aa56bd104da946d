"""Chrome and the meeting page in it: start, confine, join, watch, leave.

The only package that speaks selenium, and the only place that knows what Jitsi Meet's page looks
like. It knows nothing of SIP, and nothing of the devices that Chrome is given.
"""

from browser.chrome import Chrome
from browser.errors import BrowserError, ChromeGone, ChromeNotStarted, JoinFailed, PageHung, PageLoadFailed
from browser.page import MeetingPage
from browser.secret import Secret
from browser.state import Bitrates, PageState
from browser.visit import Visit, XmppLogin

__all__ = [
    "Bitrates",
    "BrowserError",
    "Chrome",
    "ChromeGone",
    "ChromeNotStarted",
    "JoinFailed",
    "MeetingPage",
    "PageHung",
    "PageLoadFailed",
    "PageState",
    "Secret",
    "Visit",
    "XmppLogin",
]
