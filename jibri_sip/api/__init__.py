"""The gateway's own HTTP API: on loopback, or behind a token."""

from jibri_sip.api.app import create_app
from jibri_sip.api.port import Gateway
from jibri_sip.api.server import serve

__all__ = ["Gateway", "create_app", "serve"]
