"""Kamailio before two slots: calls spread, the next one on busy or dead, floods kept out, nobody relayed elsewhere."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.sip.conftest import until
from tests.peer.authority import Authority
from tests.peer.measured import MeasuredPeer
from tests.peer.pcmu import PcmuSocket
from tests.peer.raw import AUDIO, RawCaller, sdp
from tests.proxy import RunningProxy, RunningSlot
from tests.unit.sip.test_guard import PASSWORD, answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRANGER = "127.0.0.66"
OTHER = "127.0.0.7"
HASTY = 16


@pytest.fixture(scope="module")
def logs() -> Path:
    """Where logs go; kept, for those who ask why a test failed."""
    directory = Path("build", "proxy").absolute()
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.log"):
        old.unlink()
    return directory


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def slots(logs: Path) -> AsyncIterator[list[RunningSlot]]:
    """Two slots that live as long as the module."""
    left, right = RunningSlot(logs / "left.log"), RunningSlot(logs / "right.log")
    async with AsyncExitStack() as stack:
        yield list(await asyncio.gather(*map(stack.enter_async_context, (left, right))))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the peers trust."""
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def proxy(slots: list[RunningSlot], logs: Path, authority: Authority) -> AsyncIterator[RunningProxy]:
    """A proxy for them, with TLS, that trusts loopback's first address alone."""
    certificate = authority.certificate("127.0.0.1")
    config = (
        f'[sip.tls]\ncertificate_file = "{certificate.file}"\nkey_file = "{certificate.key}"\n'
        '[sip.access]\ntrusted_proxies = ["127.0.0.1"]\nrequests_per_minute = 30\n'
    )
    async with RunningProxy([slot.target for slot in slots], logs / "kamailio.log", config) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def peers(authority: Authority) -> AsyncIterator[list[MeasuredPeer]]:
    """Three peers; the first speaks TLS too."""
    certificate = authority.certificate("127.0.0.1")
    async with AsyncExitStack() as stack:
        made = [
            MeasuredPeer(width=320, height=180, fps=5, tls=certificate if first else None, authorities=authority.file)
            for first in (True, False, False)
        ]
        yield list(await asyncio.gather(*map(stack.enter_async_context, made)))


async def arrival(slots: list[RunningSlot]) -> RunningSlot:
    """The slot where a call comes in and is taken; those that said they are busy are passed over."""
    waiting = {asyncio.create_task(_taken(slot)): slot for slot in slots}
    done, pending = await asyncio.wait(waiting, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return waiting[done.pop()]


async def _taken(slot: RunningSlot) -> None:
    while (await slot.next("incoming"))["busy"]:
        pass


async def sees(peer: MeasuredPeer) -> None:
    """Wait until pictures come in now."""
    await peer.report()
    for _ in range(50):
        await asyncio.sleep(0.2)
        if (await peer.report()).video.intact > 0:
            return
    raise AssertionError("no picture within ten seconds")


async def over(peer: MeasuredPeer) -> None:
    """Hang up, and wait until it is over."""
    await peer.hangup()
    await peer.wait_over()


async def test_two_calls_and_a_third(proxy: RunningProxy, slots: list[RunningSlot], peers: list[MeasuredPeer]) -> None:
    """Each call has a slot of its own, the third is told that all are busy, and is served when one is free again."""
    first, second, third = peers
    await first.call(f"sip:demo@127.0.0.1:{proxy.port}")
    left = await arrival(slots)
    await first.wait_up()
    await second.call(f"sip:demo@127.0.0.1:{proxy.port};transport=tcp")
    right = await arrival([slot for slot in slots if slot is not left])
    await second.wait_up()
    await third.call(f"sip:demo@127.0.0.1:{proxy.port}")
    assert (await third.wait_over())["code"] == 486
    async with RawCaller(proxy.port, host=OTHER) as caller:
        caller.request("INVITE", sdp(AUDIO))
        code, text = await caller.response()
        caller.request("ACK")
        assert code == 486
        assert "Retry-After:" in text
    await sees(first)
    await over(first)
    await left.next("ended")
    await third.call(f"sip:demo@127.0.0.1:{proxy.port}")
    assert await arrival(slots) is left
    await third.wait_up()
    await over(third)
    await left.next("ended")
    await right.tell("hangup")
    assert (await second.wait_over())["code"] == 200
    await right.next("ended")


class HastyCaller(RawCaller):
    """One that takes its call back in the instant in which it is told to wait."""

    cancel = ""

    def datagram_received(self, data: bytes, address: object) -> None:
        """Before anything else, for the proxy is quick."""
        if data.startswith(b"SIP/2.0 182"):
            self.send(self.cancel)
        super().datagram_received(data, address)


async def assert_may_give_up_at_once(proxy: RunningProxy) -> None:
    """Whoever does hears 487, and not what the busy instances have said before (RFC 3261 section 9.2)."""
    async with HastyCaller(proxy.port, host=OTHER) as caller:
        invite = caller.request("INVITE", sdp(AUDIO))
        head = invite.partition("\r\nContent-Type:")[0]
        caller.cancel = head.replace("INVITE", "CANCEL") + "\r\nContent-Length: 0\r\n\r\n"
        codes = {(await caller.response())[0] for _ in range(2)}
        assert codes == {200, 487}


async def test_the_third_waits(logs: Path, peers: list[MeasuredPeer]) -> None:
    """By policy: it hears 182, is served as soon as one is free, may give up, and is told 486 when its time is over."""
    first, second, third = peers
    async with (
        RunningSlot(logs / "waiting-left.log") as left,
        RunningSlot(logs / "waiting-right.log") as right,
        RunningProxy([left.target, right.target], logs / "kamailio-waiting.log", "wait_s = 12\n") as proxy,
    ):
        to = f"sip:demo@127.0.0.1:{proxy.port}"
        await first.call(to)
        taken = await arrival([left, right])
        await first.wait_up()
        await second.call(to)
        await arrival([right if taken is left else left])
        await second.wait_up()
        # Nobody goes: 486 after the time, and not before.
        began = asyncio.get_running_loop().time()
        await third.call(to)
        assert (await third.wait_over(30))["code"] == 486
        assert 11 <= asyncio.get_running_loop().time() - began <= 25
        # One goes.
        await third.call(to)
        await asyncio.sleep(3)
        await over(first)
        assert await arrival([taken]) is taken
        await third.wait_up()
        await sees(third)
        await sees(second)
        for _ in range(HASTY):
            await assert_may_give_up_at_once(proxy)
        # One that waits gives up; nothing of it is left behind.
        async with RawCaller(proxy.port, host=OTHER) as caller:
            caller.request("INVITE", sdp(AUDIO))
            assert (await caller.response(final=False))[0] == 100
            assert (await caller.response(final=False))[0] == 182
            await asyncio.sleep(1)
            caller.request("CANCEL")
            codes = {(await caller.response())[0] for _ in range(2)}
            assert codes == {200, 487}
            caller.request("ACK")
        await over(third)
        await taken.next("ended")
        await asyncio.sleep(4)
        assert taken.events.empty()
        await over(second)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_requests_within_a_call(
    proxy: RunningProxy, slots: list[RunningSlot], peers: list[MeasuredPeer], transport: str
) -> None:
    """Hold, resume and the end find the slot; its own end finds the peer."""
    peer = peers[1]
    await peer.call(f"sip:demo@127.0.0.1:{proxy.port};transport={transport}")
    slot = await arrival(slots)
    await peer.wait_up()
    await sees(peer)
    peer.forget_events()
    await peer.hold()
    await peer.wait_for("media", timeout_s=20)
    await peer.resume()
    await peer.wait_for("media", timeout_s=20)
    await sees(peer)
    await over(peer)
    assert (await slot.next("ended"))["code"] == 200


async def test_tls(proxy: RunningProxy, slots: list[RunningSlot], peers: list[MeasuredPeer]) -> None:
    """A call by TLS is taken, and ended by either side."""
    peer = peers[0]
    for ending in ("peer", "slot"):
        await peer.call(f"sip:demo@127.0.0.1:{proxy.tls_port};transport=tls")
        slot = await arrival(slots)
        await peer.wait_up()
        if ending == "peer":
            await peer.hangup()
        else:
            await slot.tell("hangup")
        await peer.wait_over()
        await slot.next("ended")


@pytest.mark.parametrize(("transport", "size"), [("udp", 12_000), ("udp", 40_000), ("tcp", 48_000)])
async def test_large_messages(
    proxy: RunningProxy, slots: list[RunningSlot], peers: list[MeasuredPeer], transport: str, size: int
) -> None:
    """An INVITE of tens of kilobytes arrives whole, and is answered."""
    peer = peers[1]
    padding = {f"X-Padding-{number}": "x" * 1000 for number in range(size // 1000)}
    await peer.call(f"sip:demo@127.0.0.1:{proxy.port};transport={transport}", headers=padding)
    async with asyncio.timeout(20):
        incoming = {asyncio.create_task(slot.next("incoming")): slot for slot in slots}
        (arrived,), _ = await asyncio.wait(incoming, return_when=asyncio.FIRST_COMPLETED)
    for task in incoming:
        task.cancel()
    headers = arrived.result()["headers"]
    assert sum(len(value[0]) for name, value in headers.items() if name.startswith("x-padding")) >= size
    await peer.wait_up()
    await over(peer)
    # Else it is asked by the next call, too, and tells of it.
    await incoming[arrived].next("ended")


async def test_a_killed_slot(logs: Path, peers: list[MeasuredPeer]) -> None:
    """The call in the other slot does not notice; calls go where there is life, and back to the dead when it lives."""
    staying, leaving, late = peers
    async with (
        RunningSlot(logs / "killed-left.log") as left,
        RunningSlot(logs / "killed-right.log") as right,
        RunningProxy([left.target, right.target], logs / "kamailio-killed.log") as proxy,
    ):
        await staying.call(f"sip:demo@127.0.0.1:{proxy.port}")
        other = left if await arrival([left, right]) is right else right
        kept = right if other is left else left
        await staying.wait_up()
        await leaving.call(f"sip:demo@127.0.0.1:{proxy.port}")
        await arrival([other])
        await leaving.wait_up()
        await other.kill()
        # Nobody is left but a busy one, and the dead one costs no time.
        await late.call(f"sip:demo@127.0.0.1:{proxy.port}")
        assert (await late.wait_over(10))["code"] == 486
        await sees(staying)
        await proxy.sees(1)
        # As systemd would.
        await other.__aenter__()
        await proxy.sees(2)
        await late.call(f"sip:demo@127.0.0.1:{proxy.port}")
        assert await arrival([left, right]) is other
        await late.wait_up()
        for peer in (late, staying):
            await over(peer)
        await kept.next("ended")
        with contextlib.suppress(TimeoutError):
            await leaving.hangup()
            await leaving.wait_over()


async def test_no_instance(logs: Path) -> None:
    """With nobody there callers hear 503, and when to come again."""
    async with RunningProxy([], logs / "kamailio-none.log") as proxy, RawCaller(proxy.port, host=OTHER) as caller:
        caller.request("INVITE", sdp(AUDIO))
        code, text = await caller.response()
        assert code == 503
        assert "Retry-After:" in text


async def test_the_instance_looks_through_the_proxy(logs: Path, tmp_path: Path) -> None:
    """Callers log in at the instance; one that fails too often is kept out, and nobody takes the instance for dead."""
    users = tmp_path / "users"
    users.write_text(f"room7:{PASSWORD}\n")
    users.chmod(0o600)
    async with (
        RunningSlot(logs / "login.log", users_file=str(users), failures=2, trusted_proxies=[]) as slot,
        RunningProxy([slot.target], logs / "kamailio-login.log") as proxy,
        RawCaller(proxy.port, host=STRANGER) as stranger,
        RawCaller(proxy.port, host=OTHER) as caller,
    ):
        for code in (401, 401, 403, 403):
            stranger.remote_tag = ""
            wrong = {"Authorization": answer('nonce="x",realm="jibri-sip",algorithm=MD5')} if code != 401 else {}
            stranger.request("INVITE", sdp(AUDIO), wrong)
            assert (await stranger.response())[0] in {401, code}
            stranger.request("ACK")
        caller.request("INVITE", sdp(AUDIO))
        code, text = await caller.response()
        caller.request("ACK")
        assert code == 401
        challenge = next(line for line in re.findall(r"WWW-Authenticate: ([^\r]*)", text) if "SHA-256" in line)
        caller.remote_tag = ""
        caller.request("INVITE", sdp(AUDIO), {"Authorization": answer(challenge)})
        assert (await caller.response())[0] == 200
        assert await proxy.alive() == 1


async def test_nobody_is_relayed_elsewhere(proxy: RunningProxy) -> None:
    """Neither a Route of the caller's own nor a forged dialog gets a request to anybody but an instance."""
    # It hears all, of whatever dialog.
    async with PcmuSocket(OTHER) as victim, RawCaller(proxy.port, host=OTHER) as caller:
        own = f"<sip:127.0.0.1:{proxy.port};lr>"
        caller.uri = f"sip:victim@{OTHER}:{victim.port}"
        caller.remote_tag = "forged"
        caller.request("INFO", headers={"Route": own})
        code, _ = await caller.response()
        assert code == 403
        caller.uri = f"sip:x@127.0.0.1:{proxy.port};slot={OTHER}~{victim.port}"
        caller.request("INFO")
        code, _ = await caller.response()
        assert code == 403
        caller.uri = f"sip:x@127.0.0.1:{proxy.port};alias={OTHER}~{victim.port}~1"
        caller.request("INFO")
        code, _ = await caller.response()
        assert code in {403, 481}
        caller.uri = f"sip:demo@127.0.0.1:{proxy.port}"
        caller.remote_tag = ""
        caller.request("OPTIONS", headers={"Route": f"<sip:{OTHER}:{victim.port};lr>"})
        code, _ = await caller.response()
        assert code == 200
        assert victim.heard == []


def bans(proxy: RunningProxy, address: str) -> int:
    """How often the proxy told that it bans this address."""
    return len(re.findall(f"address_banned address={re.escape(address)} ", proxy.log_file.read_text(errors="replace")))


async def test_flood(proxy: RunningProxy) -> None:
    """Who sends more than the settings allow hears nothing any more; somebody else does."""
    async with RawCaller(proxy.port, host=STRANGER) as flood, RawCaller(proxy.port, host=OTHER) as other:
        for _ in range(60):
            flood.request("OPTIONS")
            flood.remote_tag = ""
            await asyncio.sleep(0.01)
        await until(lambda: flood.received.qsize() >= 20)
        await asyncio.sleep(0.5)
        answers = [flood.received.get_nowait() for _ in range(flood.received.qsize())]
        assert 20 <= sum(text.startswith("SIP/2.0 200") for text in answers) <= 30
        other.request("OPTIONS")
        assert (await other.response())[0] == 200
    # Each of Kamailio's two workers may come upon it at once.
    assert 1 <= bans(proxy, STRANGER) <= 2


async def test_scanner(proxy: RunningProxy) -> None:
    """Who says that it is a scanner, or takes us for a registrar, hears nothing."""
    async with RawCaller(proxy.port, host="127.0.0.67") as scanner, RawCaller(proxy.port, host="127.0.0.68") as lost:
        scanner.request("OPTIONS", headers={"User-Agent": "friendly-scanner"})
        for method in ("REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE", "NOTIFY"):
            lost.request(method)
        # Kamailio has two workers: the bans, set once they are told, are to be there before the next packets.
        await until(lambda: bans(proxy, "127.0.0.67") > 0 and bans(proxy, "127.0.0.68") > 0)
        await asyncio.sleep(0.2)
        scanner.request("OPTIONS")
        lost.request("OPTIONS")
        await asyncio.sleep(0.3)
        assert scanner.received.empty()
        assert lost.received.empty()
