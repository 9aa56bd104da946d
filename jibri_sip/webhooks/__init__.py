"""Webhooks: whoever subscribed is told by HTTP how the instance and its sessions stand, in Jibri's words."""

from jibri_sip.webhooks.webhooks import Webhooks

__all__ = ["Webhooks"]
