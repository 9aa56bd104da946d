"""Many calls in a row, ended in every way: nothing grows."""

import pytest

from tests.e2e.traces import Holdings, holdings
from tests.e2e.waiting import in_state, until
from tests.peer.measured import MeasuredPeer
from tests.running_gateway import RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = ("hung up by the peer", "cancelled while ringing", "hung up at once", "hung up by the operator")
READY_S = 30.0
SETTLED_S = 20.0
TERMINATED = 487


async def one_call(gateway: RunningGateway, peer: MeasuredPeer, kind: str) -> None:
    """A call that ends in this way; returns when the slot is ready again."""
    peer.forget_events()
    await peer.call(f"sip:endurance@127.0.0.1:{gateway.sip_port}")
    if kind == "cancelled while ringing":
        await peer.wait_for("state", state="EARLY")
    else:
        await peer.wait_up()
    if kind in {"hung up by the peer", "hung up by the operator"}:
        await in_state(gateway, "bridged")
    if kind == "hung up by the operator":
        await gateway.api("DELETE", "/api/v1/sessions/current")
    else:
        await peer.hangup()
    over = await peer.wait_over()
    assert (over["code"] == TERMINATED) == (kind == "cancelled while ringing")
    await in_state(gateway, "ended")
    await gateway.ready(READY_S)


def more(name: str, before: int, now: int, change: int) -> list[str]:
    """What to say of it if it has grown by more than this change."""
    return [f"{name}: {before} -> {now}"] if now > before + change else []


def growth(before: Holdings, now: Holdings) -> list[str]:
    """What there is more of than small change; Chrome keeps a spare process or two at its own discretion."""
    found = []
    for name in sorted(before.processes | now.processes):
        found += more(f"processes {name}", before.processes[name], now.processes[name], 3 if name == "chromium" else 0)
    allowed = {"threads": 1, "descriptors": 3, "connections": 15, "segments": 0, "files": 1, "profiles": 0}
    for name, change in allowed.items():
        found += more(name, getattr(before, name), getattr(now, name), change)
    return found + [f"zombie {pid}" for pid in now.zombies]


@pytest.mark.parametrize(
    ("calls", "memory_mib"),
    [
        pytest.param(8, 30, marks=pytest.mark.timeout(600)),
        pytest.param(50, 40, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
async def test_nothing_grows(gateway: RunningGateway, peer: MeasuredPeer, calls: int, memory_mib: int) -> None:
    """Processes, threads, file descriptors, sockets, shared memory, files and memory are as after the first calls."""
    for kind in KINDS:
        await one_call(gateway, peer, kind)

    async def held() -> Holdings:
        return holdings(gateway)

    # PJSIP closes the sound device a while after the call.
    at_rest = await until(held, lambda now: not now.zombies and now.descriptors > 0, "rest", SETTLED_S)
    for number in range(calls):
        await one_call(gateway, peer, KINDS[number % len(KINDS)])
    now = await until(held, lambda now: not growth(at_rest, now), f"return to {at_rest}", SETTLED_S)
    assert now.rss_mib < at_rest.rss_mib + memory_mib
    sessions = await gateway.api("GET", "/api/v1/sessions")
    assert all(session["end"]["normal"] for session in sessions), [session["end"] for session in sessions]
