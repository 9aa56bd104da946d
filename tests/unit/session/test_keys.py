"""Which keys mean something, and when; the clock is the test's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jibri_sip.session.keys import WITHIN_S, Keypad

KEYS = "0123456789*#ABCD"


def switched(*presses: tuple[str, float]) -> list[str]:
    """What these keys, pressed at these times, switch."""
    keypad = Keypad()
    done: list[str] = []
    for key, at in presses:
        keypad, media = keypad.press(key, at)
        if media is not None:
            done.append(media)
    return done


def in_a_row(keys: str, gap_s: float = 0.3) -> list[str]:
    """The same for keys pressed one after the other."""
    return switched(*((key, index * gap_s) for index, key in enumerate(keys)))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("*6", ["audio"]),
        ("*7", ["video"]),
        ("*6*7*6", ["audio", "video", "audio"]),
        ("**6", ["audio"]),
        ("6", []),
        ("7*", []),
        ("*5", []),
        ("*56", []),
        ("*#6", []),
        ("*66", ["audio"]),
        ("1234#*6", ["audio"]),
    ],
)
def test_sequences(keys: str, expected: list[str]) -> None:
    """Only a digit right after the star counts, once; a star begins anew, any other key forgets it."""
    assert in_a_row(keys) == expected


def test_the_digit_comes_in_time_or_not_at_all() -> None:
    """Three seconds after the star are in time, longer is too late; the last star counts."""
    assert switched(("*", 100.0), ("6", 100.0 + WITHIN_S)) == ["audio"]
    assert switched(("*", 100.0), ("6", 100.1 + WITHIN_S)) == []
    assert switched(("*", 100.0), ("*", 102.0), ("7", 104.0)) == ["video"]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.floats(0, 10)), max_size=30))
def test_never_more_than_one_for_a_star(presses: list[tuple[str, float]]) -> None:
    """Whatever is pressed, nothing is switched without a star of its own."""
    timed, now = [], 0.0
    for key, gap in presses:
        now += gap
        timed.append((key, now))
    assert len(switched(*timed)) <= sum(key == "*" for key, _ in presses)
