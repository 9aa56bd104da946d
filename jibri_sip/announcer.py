"""Tells everyone who wants to know how the instance and its session stand: each change once, in order."""

from collections.abc import Callable
from functools import partial

from jibri_sip import log
from jibri_sip.session.news import InstanceNews, Observer, SessionNews

_log = log.logger("announcer")


class Announcer:
    """The observers of a gateway.

    Args:
        instance: How the instance stands at first.

    Attributes:
        instance: How the instance stands.
    """

    def __init__(self, instance: InstanceNews) -> None:
        self.instance = instance
        self._observers: list[Observer] = []

    def observe(self, observer: Observer) -> None:
        """Tell this observer from now on."""
        self._observers.append(observer)

    def tell_instance(self, news: InstanceNews) -> None:
        """The instance stands so now; nothing is told when that is no change."""
        if news == self.instance:
            return
        self.instance = news
        _log.debug("instance_changed", availability=news.availability.value, healthy=news.healthy)
        for observer in self._observers:
            _told(partial(observer.instance_changed, news))

    def tell_session(self, news: SessionNews) -> None:
        """Something happened to a session."""
        for observer in self._observers:
            _told(partial(observer.session_changed, news))


def _told(tell: Callable[[], None]) -> None:
    """A mistake of one who is told must not cost the others, nor the call."""
    try:
        tell()
    except Exception:
        _log.exception("observer_failed")
