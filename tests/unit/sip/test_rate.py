"""The picture's bitrate over a simulated link: a bottleneck with a queue, and losses that know nothing of it."""

from dataclasses import dataclass, field

from jibri_sip.sip.rate import FLOOR_BPS, RateControl, RateState, Report

LIMIT = 1_500_000
QUEUE_S = 0.3
WAY_MS = 40.0


@dataclass
class Link:
    """`capacity_bps` wide, with a queue of `QUEUE_S`, and `loss` besides."""

    capacity_bps: float = 10e6
    loss: float = 0.0
    queued: float = 0.0
    now: float = 0.0
    history: list[RateState] = field(default_factory=list)

    def second(self, control: RateControl, **report: int) -> RateState:
        """Send for a second what the control allows, and report."""
        sent = float(control.state.target_bps)
        self.queued += sent - self.capacity_bps
        room = self.capacity_bps * QUEUE_S
        dropped = max(self.queued - room, 0.0)
        self.queued = min(max(self.queued, 0.0), room)
        self.now += 1
        loss = 1 - (1 - (dropped / sent if sent else 0.0)) * (1 - self.loss)
        rtt = WAY_MS + self.queued / self.capacity_bps * 1000
        state = control.observe(Report(self.now, loss, rtt, sent / 8 / 1000, **report))
        self.history.append(state)
        return state

    def run(self, control: RateControl, seconds: int) -> RateState:
        """The same, again and again."""
        for _ in range(seconds):
            self.second(control)
        return self.history[-1]


def test_a_wide_link_is_left_alone() -> None:
    """Nothing lost, nothing late: all that is allowed, from the start on."""
    state = Link().run(RateControl(LIMIT, LIMIT), 60)
    assert state == RateState(LIMIT, LIMIT, "nothing")


def test_random_loss_is_borne() -> None:
    """Three percent that no lower rate would help against: no lower rate."""
    assert Link(loss=0.03).run(RateControl(LIMIT, LIMIT), 60).target_bps == LIMIT


def test_it_falls_fast_and_rises_slowly() -> None:
    """A third of the width: there within four seconds, hardly any loss after; back again within half a minute."""
    control, link = RateControl(LIMIT, LIMIT), Link()
    link.run(control, 20)
    link.capacity_bps = LIMIT / 3
    fallen = link.run(control, 4)
    assert fallen.target_bps < LIMIT / 3 * 1.1
    assert fallen.held_by in {"loss", "delay"}
    link.run(control, 60)
    steady = [state.target_bps for state in link.history[-50:]]
    assert sum(steady) / len(steady) > LIMIT / 3 * 0.7
    assert max(steady) < LIMIT / 3 * 1.4
    link.capacity_bps = 10e6
    seconds = next(n for n in range(60) if link.second(control).target_bps == LIMIT)
    assert 5 < seconds < 30


def test_a_queue_is_seen_before_it_overflows() -> None:
    """A link slightly too narrow: the round trip grows, and the rate gives way before anything is lost."""
    control, link = RateControl(LIMIT, LIMIT), Link()
    link.run(control, 10)
    link.capacity_bps = LIMIT * 0.9
    link.run(control, 3)
    assert link.history[-1].held_by == "delay"
    assert link.history[-1].target_bps < LIMIT * 0.9


def test_it_has_a_floor() -> None:
    """However bad it is, a picture of some kind is tried, and it comes back."""
    control, link = RateControl(LIMIT, LIMIT), Link(loss=0.9)
    assert link.run(control, 60).target_bps == FLOOR_BPS
    link.loss = 0.0
    assert link.run(control, 60).target_bps == LIMIT


def test_the_peer_may_take_less_than_the_floor() -> None:
    """What the peer allows is the most, whatever we think of it."""
    control, link = RateControl(96_000, 96_000), Link()
    assert link.run(control, 5).target_bps == 96_000
    state = link.second(control, tmmbr_bps=64_000, tmmbr_overhead=0)
    assert (state.target_bps, state.held_by) == (64_000, "tmmbr")


def test_tmmbr_counts_headers() -> None:
    """A limit holds at once, less the headers it counts, and no longer than the peer says."""
    control, link = RateControl(LIMIT, LIMIT), Link()
    link.run(control, 5)
    limited = link.second(control, tmmbr_bps=700_000, tmmbr_overhead=40)
    assert limited.held_by == "tmmbr"
    # 187 packets a second of 1000 bytes at the old rate, each with 40 bytes of headers.
    assert 630_000 < limited.target_bps < 700_000 - 50_000
    assert link.second(control, tmmbr_bps=2_000_000, tmmbr_overhead=40).target_bps == LIMIT


def test_the_start_is_within_the_limit() -> None:
    """Never above what the peer said, not even at first."""
    assert RateControl(500_000, LIMIT).state == RateState(500_000, 500_000, "nothing")


def test_a_report_without_a_round_trip() -> None:
    """The first reports know of no round trip; they count for what they know."""
    control = RateControl(LIMIT, LIMIT)
    assert control.observe(Report(1.0, 0.0)).target_bps == LIMIT
    assert control.observe(Report(2.0, 0.5)).target_bps == LIMIT / 2
