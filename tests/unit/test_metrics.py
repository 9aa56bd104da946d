"""What is counted, under which names."""

import re
from typing import Any

import pytest
from prometheus_client import generate_latest

from jibri_sip import errors
from jibri_sip.metrics import Metrics
from jibri_sip.session.facts import EndFacts, SessionFacts
from jibri_sip.session.news import Availability, Happening, InstanceNews, SessionNews
from jibri_sip.session.reasons import EndReason
from jibri_sip.session.state import State

STAGES = {"requested": 0.0, "page_loaded": 900.0, "joined": 1500.0, "bridged": 1700.0, "ending": 60_000.0}
AUDIO = {
    "codec": "opus/48000",
    "rtt_ms": 12.0,
    "sent_packets": 1000,
    "sent_lost": 10,
    "sent_repaired": 5,
    "received_packets": 900,
    "received_lost": 100,
    "received_repaired": 7,
    "received_jitter_ms": 4.0,
}


def ended(error: errors.GatewayError, key: str = "", **facts: Any) -> SessionNews:
    """A session that ended so."""
    reason = EndReason.of(error)
    end = EndFacts.model_validate({**reason.as_json(), "key": key or reason.key})
    session = SessionFacts(
        id="s", direction="dial-in", state=State.ENDED, room="r", peer="sip:a@b", started="now", end=end, **facts
    )
    return SessionNews(Happening.ENDED, session, None, reason)


def began() -> SessionNews:
    """A session that was asked for."""
    session = SessionFacts(id="s", direction="dial-in", state=State.REQUESTED, room="r", peer="sip:a@b", started="now")
    return SessionNews(Happening.REQUESTED, session)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """What stands under this name."""
    return metrics.registry.get_sample_value(name, labels)


def test_names() -> None:
    """Jibri's names are all there from the beginning; ours have their units in them."""
    metrics = Metrics()
    text = generate_latest(metrics.registry).decode()
    jibri = {
        name.removesuffix("_total") for name in re.findall(r"^# TYPE jitsi_jibri_(\w+) counter$", text, re.MULTILINE)
    }
    assert jibri == {
        "sessions_started",
        "sessions_stopped",
        "errors",
        "busy",
        "xmpp_connected",
        "xmpp_reconnecting",
        "xmpp_reconnection_failed",
        "xmpp_ping_failed",
        "xmpp_closed",
        "xmpp_closed_on_error",
        "stopped_on_xmpp_closed",
    }
    assert {"jitsi_jibri_healthy", "jitsi_jibri_recording"} <= set(re.findall(r"^(\w+) 1\.0$", text, re.MULTILINE))
    units = ("_seconds", "_ratio", "_bytes", "_total", "_info", "_active", "_availability", "_problem", "_created")
    assert all(name.endswith(units) for name in re.findall(r"^# TYPE (jibri_sip_\w+) ", text, re.MULTILINE))


def test_sessions() -> None:
    """Beginnings, ends and what is between them."""
    metrics = Metrics()
    metrics.session_changed(began())
    assert value(metrics, "jibri_sip_sessions_active", direction="dial-in") == 1
    metrics.session_changed(
        ended(errors.PeerHungUp(), stages_ms=STAGES, talk_s=58.3, quality={"audio": AUDIO, "video": None})
    )
    assert value(metrics, "jibri_sip_sessions_active", direction="dial-in") == 0
    assert value(metrics, "jitsi_jibri_sessions_started_total") == 1
    assert value(metrics, "jitsi_jibri_sessions_stopped_total") == 1
    assert value(metrics, "jitsi_jibri_errors_total") == 0
    assert value(metrics, "jibri_sip_sessions_ended_total", direction="dial-in", reason="peer-hung-up") == 1
    assert value(metrics, "jibri_sip_setup_seconds_sum", direction="dial-in", stage="joined") == 1.5
    assert value(metrics, "jibri_sip_setup_seconds_count", direction="dial-in", stage="ending") is None
    assert value(metrics, "jibri_sip_talk_seconds_sum", direction="dial-in") == 58.3


def test_quality() -> None:
    """What was lost of what we sent did not arrive; what was lost of the peer's we did not count as received."""
    metrics = Metrics()
    metrics.session_changed(began())
    metrics.session_changed(ended(errors.PeerHungUp(), quality={"audio": AUDIO, "video": None}))
    sent, received = {"direction": "to_sip", "media": "audio"}, {"direction": "to_meet", "media": "audio"}
    assert value(metrics, "jibri_sip_rtp_packets_total", **sent) == 990
    assert value(metrics, "jibri_sip_rtp_lost_packets_total", **sent) == 10
    assert value(metrics, "jibri_sip_rtp_repaired_packets_total", **sent) == 5
    assert value(metrics, "jibri_sip_rtp_repaired_packets_total", **received) == 7
    assert value(metrics, "jibri_sip_rtp_lost_ratio_sum", **sent) == 0.01
    assert value(metrics, "jibri_sip_rtp_packets_total", **received) == 900
    assert value(metrics, "jibri_sip_rtp_lost_ratio_sum", **received) == 0.1
    assert value(metrics, "jibri_sip_rtp_jitter_seconds_sum", media="audio") == 0.004
    assert value(metrics, "jibri_sip_rtp_round_trip_seconds_sum", media="audio") == 0.012
    assert value(metrics, "jibri_sip_rtp_packets_total", direction="to_sip", media="video") is None


def test_no_quality() -> None:
    """A session without a call has no figures of one, and no lost ratio is made of nothing."""
    metrics = Metrics()
    metrics.session_changed(began())
    nothing = {**AUDIO, "rtt_ms": None, "sent_packets": 0, "sent_lost": 0, "received_packets": 0, "received_lost": 0}
    metrics.session_changed(ended(errors.Cancelled(), quality={"audio": nothing, "video": None}))
    assert value(metrics, "jibri_sip_talk_seconds_count", direction="dial-in") is None
    assert value(metrics, "jibri_sip_rtp_lost_ratio_count", direction="to_sip", media="audio") is None
    assert value(metrics, "jibri_sip_rtp_round_trip_seconds_count", media="audio") is None


def test_errors_are_those_of_the_box() -> None:
    """Jibri's `errors` counts what concerns the box, not what concerns one call."""
    metrics = Metrics()
    for error in (errors.PeerBusy(), errors.BrowserLost()):
        metrics.session_changed(began())
        metrics.session_changed(ended(error))
    assert value(metrics, "jitsi_jibri_errors_total") == 1


def test_labels_are_bounded() -> None:
    """A reason that the program does not know is no label of its own."""
    metrics = Metrics()
    metrics.session_changed(began())
    metrics.session_changed(ended(errors.PeerHungUp(), key="sip:somebody@example.com"))
    assert value(metrics, "jibri_sip_sessions_ended_total", direction="dial-in", reason="other") == 1
    assert "somebody" not in generate_latest(metrics.registry).decode()


@pytest.mark.parametrize("availability", list(Availability))
def test_instance(availability: Availability) -> None:
    """How the instance stands, in Jibri's way and in ours; a problem goes when it is solved."""
    metrics = Metrics()
    metrics.instance_changed(InstanceNews(availability, errors.DiskFull()))
    assert value(metrics, "jitsi_jibri_healthy") == 0
    assert value(metrics, "jibri_sip_problem", key="disk-full") == 1
    metrics.instance_changed(InstanceNews(availability))
    assert value(metrics, "jitsi_jibri_healthy") == 1
    assert value(metrics, "jibri_sip_problem", key="disk-full") is None
    assert value(metrics, "jitsi_jibri_recording") == (availability is Availability.BUSY)
    states = {state: value(metrics, "jibri_sip_availability", state=state.value) for state in Availability}
    assert [state for state, found in states.items() if found] == [availability]


def test_xmpp_and_webhooks() -> None:
    """Counted by name."""
    metrics = Metrics()
    metrics.xmpp("xmpp_ping_failed", "xmpp1")
    metrics.xmpp("stopped_on_xmpp_closed", "xmpp1")
    for outcome in ("delivered", "failed", "failed"):
        metrics.webhook(outcome)
    assert value(metrics, "jitsi_jibri_xmpp_ping_failed_total") == 1
    assert value(metrics, "jitsi_jibri_stopped_on_xmpp_closed_total") == 1
    assert value(metrics, "jibri_sip_webhooks_total", outcome="delivered") == 1
    assert value(metrics, "jibri_sip_webhook_attempts_failed_total") == 2
