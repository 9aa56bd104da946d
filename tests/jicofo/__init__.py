"""A stand-in for jicofo's half of the SIP gateway: an XMPP server with a brewery, and somebody who orders there."""

from tests.jicofo.jicofo import Instance, Jicofo, SipSession
from tests.jicofo.proxy import Wire
from tests.jicofo.server import BreweryServer

__all__ = ["BreweryServer", "Instance", "Jicofo", "SipSession", "Wire"]
