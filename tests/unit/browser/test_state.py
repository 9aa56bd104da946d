"""What the agent reports, as a state, and what a state means for joining."""

from typing import Any, get_args

import pytest

from browser import Bitrates, PageState
from browser.errors import JOIN_KINDS
from browser.state import Phase, join_failure, read_state

REPORT: dict[str, Any] = {
    "visit": "v",
    "phase": "joined",
    "kind": None,
    "error": None,
    "loadError": None,
    "ice": "connected",
    "participants": 2,
    "audioMuted": False,
    "videoMuted": True,
    "mutedByMeeting": True,
    "handRaised": True,
    "remoteVideo": True,
    "remoteFrames": 31,
    "playedAnew": 2,
    "openedAnew": 1,
    "somebodyUnmuted": True,
    "bitrates": [32, 33.4, None, 1067.6],
    "ageMs": 12.7,
    "serverSilentMs": 4321,
}


def test_report_becomes_a_state() -> None:
    """Each figure of the report is in the state, rates rounded to kbit/s."""
    assert read_state(REPORT, "v", has_been_in=False) == PageState(
        phase="joined",
        participants=2,
        ice="connected",
        audio_muted=False,
        video_muted=True,
        muted_by_meeting=True,
        hand_raised=True,
        remote_video=True,
        remote_frames=31,
        played_anew=2,
        opened_anew=1,
        somebody_unmuted=True,
        bitrates=Bitrates(32, 33, None, 1068),
        age_ms=12,
        server_silent_ms=4321,
    )


@pytest.mark.parametrize(
    ("report", "visit", "has_been_in", "phase"),
    [
        (None, None, False, "loading"),
        ({**REPORT, "visit": None, "phase": "blank"}, None, False, "blank"),
        (None, "v", False, "loading"),
        (None, "v", True, "reconnecting"),
        ({**REPORT, "visit": None, "phase": "blank"}, "v", False, "loading"),
        ({**REPORT, "visit": "the one before"}, "v", False, "loading"),
        ({**REPORT, "phase": "prejoin"}, "v", True, "reconnecting"),
        ({**REPORT, "phase": "joining"}, "v", True, "reconnecting"),
        ({**REPORT, "phase": "joining"}, "v", False, "joining"),
        ({**REPORT, "phase": "kicked"}, "v", True, "kicked"),
        ({**REPORT, "phase": "lobby"}, "v", True, "lobby"),
    ],
)
def test_phase_depends_on_whose_document_it_is(
    report: dict[str, Any] | None, visit: str | None, has_been_in: bool, phase: str
) -> None:
    """A document of another visit, or none, is still loading; one that had joined before is reconnecting."""
    assert read_state(report, visit, has_been_in=has_been_in).phase == phase


@pytest.mark.parametrize("change", [{"phase": "dancing"}, {"ice": "warm"}])
def test_foreign_reports_are_refused(change: dict[str, str]) -> None:
    """What our agent cannot have said is an error, not a guess."""
    with pytest.raises(ValueError, match="unknown"):
        read_state({**REPORT, **change}, "v", has_been_in=False)


@pytest.mark.parametrize("phase", get_args(Phase))
def test_every_phase_has_a_meaning_for_joining(phase: Phase) -> None:
    """Phases from which one may still come in are no failure, all others are one."""
    failure = join_failure(PageState(phase=phase))
    hopeful = {"blank", "loading", "prejoin", "joining", "lobby", "joined", "reconnecting"}
    assert (failure is None) == (phase in hopeful)
    assert failure is None or failure.kind in JOIN_KINDS


@pytest.mark.parametrize(
    ("kind", "expected"), [("password-wrong", "password-wrong"), ("room-full", "room-full"), ("odd", "connection")]
)
def test_failure_takes_the_pages_kind(kind: str, expected: str) -> None:
    """The agent's kind is the error's; one that we do not know is a failed connection. The page's words are kept."""
    failure = join_failure(PageState(phase="failed", kind=kind, error="conference.x"))
    assert failure is not None
    assert failure.kind == expected
    assert "conference.x" in str(failure)
