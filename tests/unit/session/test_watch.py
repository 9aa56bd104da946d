"""When the watch ends a session and, as important, when it does not; the clock is the test's."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jibri_sip.config import LimitSettings
from jibri_sip.session.watch import Look, Seen, decide, observe

LIMITS = LimitSettings(
    max_duration_s=3600.0,
    alone_timeout_s=120.0,
    no_media_timeout_s=60.0,
    ice_timeout_s=30.0,
    join_timeout_s=40.0,
    browser_timeout_s=10.0,
    frozen_timeout_s=20.0,
)
WELL = Look(
    peer_packets=1,
    page_phase="joined",
    page_answered=True,
    others=2,
    ice="connected",
    meeting_bps=800_000.0,
    somebody_unmuted=True,
    video_moving=True,
    screen_changes=1,
)


def ends_after(look: Look, limits: LimitSettings = LIMITS, seconds: int = 4000) -> tuple[str | None, int]:
    """Why and after how many seconds a session ends that looks like this, one look a second, counters going on growing.

    A counter that is 0 stands still.
    """
    seen = Seen(started_at=0.0)
    for now in range(1, seconds + 1):
        grown = replace(
            look,
            peer_packets=look.peer_packets and look.peer_packets + now,
            screen_changes=look.screen_changes and look.screen_changes + now,
        )
        seen = observe(seen, grown, float(now))
        reason = decide(seen, limits, float(now))
        if reason is not None:
            return reason.key, now
    return None, seconds


def test_a_good_call_goes_on_until_its_maximum_duration() -> None:
    """A call in which all is well ends only by the maximum duration."""
    assert ends_after(WELL) == ("max-duration", 3600)


@pytest.mark.parametrize(
    ("trouble", "key", "after"),
    [
        pytest.param({"peer_hung_up": True}, "peer-hung-up", 1, id="peer hung up"),
        pytest.param({"page_phase": "kicked"}, "kicked", 1, id="kicked"),
        pytest.param({"page_phase": "ended"}, "meeting-ended", 1, id="ended"),
        pytest.param({"page_phase": "left"}, "meeting-lost", 1, id="left"),
        pytest.param({"page_phase": "failed"}, "meeting-lost", 1, id="failed"),
        pytest.param({"page_phase": "reconnecting"}, "meeting-lost", 41, id="reconnecting"),
        pytest.param({"page_answered": False}, "browser-hung", 11, id="hung"),
        pytest.param({"ice": "failed"}, "ice-failed", 31, id="ice"),
        pytest.param({"ice": "interrupted"}, "ice-failed", 31, id="ice interrupted"),
        pytest.param({"peer_packets": 0}, "no-media", 61, id="peer silent"),
        pytest.param({"meeting_bps": 0.0}, "no-media", 61, id="meeting silent"),
        pytest.param({"screen_changes": 0}, "picture-frozen", 22, id="frozen"),
        pytest.param({"others": 0}, "alone-too-long", 121, id="alone"),
    ],
)
def test_troubles_end_the_call_in_their_time(trouble: dict[str, object], key: str, after: int) -> None:
    """Each trouble ends the call once it has lasted for its limit, with its own reason."""
    assert ends_after(replace(WELL, **trouble)) == (key, after)  # type: ignore[arg-type]  # a table of fields


@pytest.mark.parametrize(
    "harmless",
    [
        pytest.param({"somebody_unmuted": False, "meeting_bps": 0.0, "video_moving": False}, id="everyone muted"),
        pytest.param({"on_hold": True, "peer_packets": 0}, id="on hold"),
        pytest.param({"video_moving": False, "screen_changes": 0}, id="nothing moves"),
        pytest.param({"ice": None}, id="ice not known"),
    ],
)
def test_harmless_things_do_not_end_the_call(harmless: dict[str, object]) -> None:
    """Everyone muted, a call on hold, a still picture of a still meeting: no reason to end."""
    assert ends_after(replace(WELL, **harmless)) == ("max-duration", 3600)  # type: ignore[arg-type]  # a table of fields


def test_everyone_muted_ends_the_call_if_a_limit_says_so() -> None:
    """With a limit, everybody else's silence ends the call, but not being alone; somebody who speaks counts anew."""
    limits = LIMITS.model_copy(update={"all_muted_timeout_s": 100.0})
    muted = replace(WELL, somebody_unmuted=False, meeting_bps=0.0, video_moving=False)
    assert ends_after(muted, limits) == ("all-muted", 101)
    assert ends_after(replace(muted, others=0), limits) == ("alone-too-long", 121)
    assert ends_after(WELL, limits) == ("max-duration", 3600)
    seen = Seen(started_at=0.0)
    for now in range(1, 170):
        seen = observe(seen, replace(muted, peer_packets=now, somebody_unmuted=now == 70), float(now))
        assert decide(seen, limits, float(now)) is None, now


def test_alone_has_no_media_connection() -> None:
    """Alone in the room there is neither a connection nor media, and that is no fault of theirs."""
    alone = replace(WELL, others=0, ice="new", meeting_bps=0.0, video_moving=False, screen_changes=0)
    assert ends_after(alone) == ("alone-too-long", 121)


def test_an_echo_call_has_no_page() -> None:
    """A call without a page is watched by its packets and its duration alone."""
    assert ends_after(Look(peer_packets=1)) == ("max-duration", 3600)
    assert ends_after(Look(peer_packets=0)) == ("no-media", 61)


def test_limits_that_are_off() -> None:
    """A limit of 0 means for ever."""
    limits = LIMITS.model_copy(update={"max_duration_s": 0.0, "alone_timeout_s": 0.0, "no_media_timeout_s": 0.0})
    assert ends_after(replace(WELL, others=0, peer_packets=0), limits) == (None, 4000)


def test_a_trouble_that_passes_starts_anew() -> None:
    """Two short silences are not a long one: the limit counts from the last packet."""
    seen = Seen(started_at=0.0)
    ended = []
    for now in range(1, 200):
        packets = 1 if now <= 50 else 2
        seen = observe(seen, replace(WELL, peer_packets=packets, screen_changes=now), float(now))
        if decide(seen, LIMITS, float(now)) is not None:
            ended.append(now)
    assert ended[0] == 52 + 60


LOOKS = st.builds(
    Look,
    peer_hung_up=st.just(False),
    on_hold=st.booleans(),
    peer_packets=st.none() | st.integers(0, 1000),
    page_phase=st.sampled_from([None, "joined", "reconnecting"]),
    page_answered=st.none() | st.booleans(),
    others=st.none() | st.integers(0, 3),
    ice=st.none() | st.sampled_from(["new", "connected", "interrupted", "failed"]),
    meeting_bps=st.none() | st.floats(0, 1e7),
    somebody_unmuted=st.none() | st.booleans(),
    video_moving=st.none() | st.booleans(),
    screen_changes=st.none() | st.integers(0, 1000),
)


@given(st.lists(LOOKS, max_size=9))
def test_nothing_ends_before_the_shortest_limit(looks: list[Look]) -> None:
    """Whatever is seen, but for an explicit end, a call is left alone within the shortest of its limits."""
    seen = Seen(started_at=0.0)
    for now, look in enumerate(looks, start=1):
        seen = observe(seen, look, float(now))
        assert decide(seen, LIMITS, float(now)) is None


@given(st.lists(LOOKS, min_size=1), st.floats(3600, 1e5))
def test_every_call_ends_by_the_maximum_duration(looks: list[Look], now: float) -> None:
    """Whatever was seen, the maximum duration ends a call."""
    seen = Seen(started_at=0.0)
    for look in looks:
        seen = observe(seen, look, 1.0)
    assert decide(seen, LIMITS, now) is not None
