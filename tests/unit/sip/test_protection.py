"""How much loss the sound's encoder is told to expect."""

from jibri_sip.sip.steering import Protection, SentSound


def told(losses_per_50: list[int]) -> list[int]:
    """What it is told over seconds in which so many of fifty packets are lost."""
    protection, lost, told = Protection(), 0, []
    protection.observe(SentSound(0, 0), 0.0)
    for second, more in enumerate(losses_per_50, 1):
        lost += more
        percent = protection.observe(SentSound(50 * second, lost), float(second))
        if percent is not None:
            told.append(percent)
    return told


def test_nothing_lost_nothing_told() -> None:
    """A clean line costs no quality."""
    assert told([0] * 60) == []


def test_loss_is_told_in_steps() -> None:
    """Four percent are five, and it stays at that while they last."""
    assert told([2] * 60) == [5]


def test_loss_passes() -> None:
    """Ten seconds after the last loss the sound is sent plain again."""
    steps = told([5] * 20 + [0] * 15)
    assert steps[0] == 10
    assert steps[-1] == 0


def test_there_is_a_most() -> None:
    """Half of everything lost is more than can be mended."""
    assert told([25] * 20) == [30]


def test_a_new_stream_counts_from_nothing() -> None:
    """After a re-INVITE the counters begin again, and that is no loss."""
    protection = Protection()
    protection.observe(SentSound(1000, 30), 0.0)
    assert protection.observe(SentSound(10, 0), 1.0) is None
    assert protection.observe(SentSound(60, 0), 2.0) is None
