"""The demo says what is missing: each direction of picture and of sound, really not there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.demo import __main__ as demo
from tests.meeting import Participant
from tests.peer.baresip import Baresip

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A short call that writes to a directory of its own."""
    monkeypatch.setattr(demo, "OUT", tmp_path / "demo")
    monkeypatch.setattr(demo, "CALL_S", 10)


def instead(monkeypatch: pytest.MonkeyPatch, name: str, made: Callable[..., Any], **changed: object) -> None:
    """Let the demo make one of its sides with other arguments."""
    monkeypatch.setattr(demo, name, lambda *given, **named: made(*given, **{**named, **changed}))


async def test_broken_to_the_sip_peer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A participant whose picture stands still and who sounds another tone."""
    instead(monkeypatch, "Participant", Participant, fps=1, tone_hz=1000)
    assert await demo.main() == 1
    missing = [line for line in capsys.readouterr().err.splitlines() if line.startswith("MISSING")]
    assert len(missing) == 2
    assert "moving picture to the SIP peer: " in missing[0]
    assert "pictures a second were seen" in missing[0]
    assert "sound to the SIP peer: opus" in missing[1]
    assert "was agreed on, and the tone was heard 0% of the time" in missing[1]


async def test_broken_to_the_meeting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A SIP peer without video, who sounds another tone."""
    instead(monkeypatch, "Baresip", Baresip, video=False, tone_hz=1000)
    assert await demo.main() == 1
    missing = [line for line in capsys.readouterr().err.splitlines() if line.startswith("MISSING")]
    assert [line.split("; ")[0] for line in missing[::2]] == [
        "MISSING: moving picture to the meeting: no video was agreed on",
        "MISSING: moving picture to the SIP peer: no video was agreed on",
    ]
    assert "sound to the meeting: opus" in missing[1]
    assert "the tone was heard 0% of the time" in missing[1]
