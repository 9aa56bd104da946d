"""Figures for monitoring: Jibri's own under `jitsi_jibri_`, ours under `jibri_sip_`.

Labels come from sets that the program knows (error keys, stages, directions): whatever a caller or a meeting says is
never one. Jibri's counters go to StatsD, too, where that is wanted.
"""

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

import jibri_sip
from jibri_sip.errors import Busy, GatewayError, NotReady, Scope, all_errors
from jibri_sip.session.facts import SessionFacts
from jibri_sip.session.news import Availability, Happening, InstanceNews, SessionNews
from jibri_sip.session.timeline import Stage
from jibri_sip.statsd import Statsd

_JIBRI_NAMESPACE = "jitsi_jibri"
_JIBRI_FLAGS = frozenset({"healthy", "recording"})
_XMPP_HELP = {
    "xmpp_connected": "Number of times an XMPP connection connected.",
    "xmpp_reconnecting": "Number of times an XMPP connection started re-connecting.",
    "xmpp_reconnection_failed": "Number of times an XMPP re-connection failed.",
    "xmpp_ping_failed": "Number of times an XMPP ping timed out.",
    "xmpp_closed": "Number of times an XMPP connection was closed.",
    "xmpp_closed_on_error": "Number of times an XMPP connection was closed on error.",
    "stopped_on_xmpp_closed": "Number of times a session was stopped because XMPP disconnected.",
}
_SETUP_STAGES = frozenset(Stage) - {Stage.REQUESTED, Stage.ENDING, Stage.ENDED}
_SETUP_S = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0, 60.0, 300.0, 600.0)
_TALK_S = (10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0)
_LOST_RATIO = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_JITTER_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
_ROUND_TRIP_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
_TAG = "sip_gateway"
_DIRECTIONS = {"to_sip": "sent", "to_meet": "received"}
WEBHOOK_OUTCOMES = ("delivered", "refused", "expired", "dropped")


class Metrics:
    """An observer who counts; the instance is being made ready until it is told otherwise.

    Args:
        statsd: Where Jibri's counters go besides; None for nowhere.

    Attributes:
        registry: What there is to be read; of this gateway alone.
    """

    def __init__(self, statsd: Statsd | None = None) -> None:
        self.registry = CollectorRegistry()
        self._statsd = statsd
        self._jibri = _JibriFigures(self.registry)
        self._own = _OwnFigures(self.registry)
        self.instance_changed(InstanceNews(Availability.BUSY))

    def instance_changed(self, news: InstanceNews) -> None:
        """The instance stands otherwise than before."""
        self._jibri.healthy.set(news.healthy)
        self._jibri.recording.set(news.availability is Availability.BUSY)
        for availability in Availability:
            self._own.availability.labels(availability.value).set(news.availability is availability)
        self._own.problem.clear()
        if news.problem is not None:
            self._own.problem.labels(news.problem.key).set(1)

    def session_changed(self, news: SessionNews) -> None:
        """Something happened to a session."""
        if news.happening is Happening.REQUESTED:
            self._jibri.started.inc()
            self._send("start", _TAG)
            self._own.began(news.session)
        elif news.happening is Happening.ENDED:
            self._jibri.stopped.inc()
            self._send("stop", _TAG)
            if news.reason is not None and news.reason.scope is Scope.BOX:
                self._jibri.errors.inc()
                self._send("error", _TAG)
            self._own.ended(news.session)

    def order_refused(self, error: GatewayError) -> None:
        """A session that was ordered over Jibri's protocols was not begun."""
        if isinstance(error, Busy | NotReady):
            self._jibri.busy.inc()
            self._send("busy", _TAG)
        self._own.refused.labels(error.key).inc()

    def xmpp(self, name: str, host: str) -> None:
        """Something happened to the control connection to this server; told by Jibri's name of the counter.

        Raises:
            KeyError: Jibri has no such counter.
        """
        self._jibri.xmpp[name].inc()
        self._send(name.replace("_", "-"), f"xmpp_server_host:{host}")

    def webhook(self, outcome: str) -> None:
        """What became of a webhook (one of `WEBHOOK_OUTCOMES`), or `failed`: of an attempt to deliver it."""
        if outcome == "failed":
            self._own.webhook_attempts_failed.inc()
        else:
            self._own.webhooks.labels(outcome).inc()

    def jibri_figures(self) -> dict[str, bool | int]:
        """Jibri's figures by its names without the prefix, as its MetricsContainer has them in JSON."""
        prefix = f"{_JIBRI_NAMESPACE}_"
        values = {
            sample.name.removeprefix(prefix): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name.startswith(prefix) and not sample.name.endswith("_created")
        }
        return {name: bool(value) if name in _JIBRI_FLAGS else int(value) for name, value in values.items()}

    def _send(self, name: str, tag: str) -> None:
        if self._statsd is not None:
            self._statsd.count(name, tag)


class _JibriFigures:
    """What Jibri has, under the names that it has (jitsi/jibri, JibriMetrics)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, namespace=_JIBRI_NAMESPACE, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, namespace=_JIBRI_NAMESPACE, registry=registry)

        self.started = counter("sessions_started", "Number of times a session was started.")
        self.stopped = counter("sessions_stopped", "Number of times a session was stopped.")
        self.errors = counter("errors", "Number of errors.")
        self.busy = counter("busy", "Number of times a request was received while the instance was busy.")
        self.xmpp = {name: counter(name, text) for name, text in _XMPP_HELP.items()}
        self.healthy = gauge("healthy", "Whether the jibri instance is currently healthy.")
        self.recording = gauge("recording", "Whether the jibri instance is currently in use.")


class _OwnFigures:
    """What Jibri has not."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, namespace="jibri_sip", registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, namespace="jibri_sip", registry=registry)

        def histogram(name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(name, text, labels, namespace="jibri_sip", registry=registry, buckets=tuple(buckets))

        gauge("build_info", "Version of the gateway.", "version").labels(jibri_sip.__version__).set(1)
        self.availability = gauge("availability", "1 for how the instance stands.", "state")
        self.problem = gauge("problem", "1 for what keeps the box from working; nothing when it works.", "key")
        self.active = gauge("sessions_active", "Sessions now.", "direction")
        self.begun = counter("sessions", "Sessions, by who dialled.", "direction")
        self.finished = counter("sessions_ended", "Ended sessions by the reason's key.", "direction", "reason")
        self.refused = counter("orders_refused", "Sessions ordered over Jibri's protocols and not begun.", "reason")
        self.setup = histogram(
            "setup_seconds", "From the request until this stage of a session.", _SETUP_S, "direction", "stage"
        )
        self.talk = histogram("talk_seconds", "How long both sides were connected.", _TALK_S, "direction")
        media = ("direction", "media")
        self.packets = counter("rtp_packets", "RTP packets, lost ones not among them.", *media)
        self.lost = counter("rtp_lost_packets", "RTP packets lost.", *media)
        self.repaired = counter("rtp_repaired_packets", "RTP packets sent again, asked for by NACK.", *media)
        self.lost_ratio = histogram(
            "rtp_lost_ratio", "Part of a session's RTP packets that was lost.", _LOST_RATIO, *media
        )
        self.jitter = histogram("rtp_jitter_seconds", "Mean jitter of what came from the peer.", _JITTER_S, "media")
        self.round_trip = histogram("rtp_round_trip_seconds", "Last round trip to the peer.", _ROUND_TRIP_S, "media")
        self.webhooks = counter("webhooks", "Webhooks by what became of them.", "outcome")
        self.webhook_attempts_failed = counter("webhook_attempts_failed", "Failed attempts to deliver a webhook.")
        for outcome in WEBHOOK_OUTCOMES:
            self.webhooks.labels(outcome)
        self._reasons = {error.key for error in all_errors()}

    def began(self, session: SessionFacts) -> None:
        self.begun.labels(session.direction).inc()
        self.active.labels(session.direction).inc()

    def ended(self, session: SessionFacts) -> None:
        direction = session.direction
        self.active.labels(direction).dec()
        reason = session.end.key if session.end is not None else ""
        self.finished.labels(direction, reason if reason in self._reasons else "other").inc()
        for stage, after_ms in session.stages_ms.items():
            if stage in _SETUP_STAGES:
                self.setup.labels(direction, stage).observe(after_ms / 1000)
        if Stage.BRIDGED in session.stages_ms:
            self.talk.labels(direction).observe(session.talk_s)
        for media in ("audio", "video"):
            stream = (session.quality or {}).get(media)
            if stream is not None:
                self._stream(media, stream)

    def _stream(self, media: str, stream: dict[str, Any]) -> None:
        for direction, way in _DIRECTIONS.items():
            packets, lost = stream[f"{way}_packets"], max(0, stream[f"{way}_lost"])
            # What was sent is counted by us, what was lost of it by the peer.
            arrived = max(0, packets - lost) if way == "sent" else packets
            self.packets.labels(direction, media).inc(arrived)
            self.lost.labels(direction, media).inc(lost)
            self.repaired.labels(direction, media).inc(stream[f"{way}_repaired"])
            if arrived + lost:
                self.lost_ratio.labels(direction, media).observe(lost / (arrived + lost))
        self.jitter.labels(media).observe(stream["received_jitter_ms"] / 1000)
        if stream["rtt_ms"] is not None:
            self.round_trip.labels(media).observe(stream["rtt_ms"] / 1000)
