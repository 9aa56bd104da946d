"""SIP video gateway for Jitsi Meet: policy and life cycle."""

__version__ = "0.1.0"
