"""Each press of a key counts once."""

import pytest

from jibri_sip.sip.keys import Presses

EVENT, INFO = 0, 1


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ([("5", EVENT, 0.0), ("5", INFO, 0.1)], "5"),
        ([("5", INFO, 0.0), ("5", EVENT, 0.1)], "5"),
        ([("5", EVENT, 0.0), ("5", INFO, 0.1), ("5", EVENT, 0.2), ("5", INFO, 0.3)], "55"),
        ([("5", EVENT, 0.0), ("5", EVENT, 0.1)], "55"),
        ([("5", INFO, 0.0), ("5", INFO, 0.1)], "55"),
        ([("5", EVENT, 0.0), ("6", INFO, 0.1)], "56"),
        ([("5", EVENT, 0.0), ("5", INFO, 1.5)], "55"),
        ([("5", EVENT, 0.0), ("5", INFO, 0.1), ("5", INFO, 0.2)], "55"),
        ([("5", INFO, 0.0), ("5", INFO, 0.2), ("5", EVENT, 0.3), ("5", EVENT, 0.4)], "55"),
        ([("5", EVENT, 0.0), ("6", EVENT, 0.2), ("5", INFO, 0.3), ("6", INFO, 0.4)], "56"),
        ([("5", EVENT, 0.0), ("5", EVENT, 0.9), ("5", INFO, 1.5), ("5", INFO, 1.6)], "555"),
    ],
)
def test_presses(told: list[tuple[str, int, float]], counted: str) -> None:
    """The same key by the other way within a second is the same press; anything else is another one."""
    presses = Presses()
    assert "".join(key for key, method, now in told if presses.is_new(key, method, now)) == counted
