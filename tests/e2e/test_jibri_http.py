"""Jibri's HTTP drive against the whole gateway: ordered by HTTP, told by webhooks, ended by exit codes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.e2e.conftest import ALICE_HZ, PEER_HZ
from tests.e2e.waiting import ended, in_room, in_state, until
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, MeetingOptions, Participant
from tests.meeting.options import ACCOUNT_DOMAIN
from tests.peer.measured import MeasuredPeer
from tests.peer.provider import SipProvider, field
from tests.running_gateway import PLAIN, RunningGateway
from tests.subscriber import Heard, SigningKey, Subscriber

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXTERNAL = "/jibri/api/v1.0"
INTERNAL = "/jibri/api/internal/v1.0"
FRAMES = 20
LOUD = 0.1
UP_S = 40.0
GONE_S = 60.0
EXIT_CODES = {"gracefulShutdown": 255, "notifyConfigChanged": 0, "shutdown": 255}


LOGIN = {"domain": ACCOUNT_DOMAIN, "username": "gateway", "password": "canary-7f1d"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def meeting(logs: Path) -> AsyncIterator[EmbeddedMeeting]:
    """A deployment with an account for the gateway."""
    options = MeetingOptions(accounts={LOGIN["username"]: LOGIN["password"]})
    async with EmbeddedMeeting(logs, library_directory(), options) as running:
        yield running


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """What webhooks are signed with."""
    return SigningKey(tmp_path_factory.mktemp("keys") / "key.pem")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def listening() -> AsyncIterator[Subscriber]:
    """The component sidecar's side of the webhooks."""
    async with Subscriber() as subscriber:
        yield subscriber


@pytest_asyncio.fixture(loop_scope="module")
async def sidecar(listening: Subscriber, gateway: RunningGateway) -> Subscriber:
    """The subscriber, which has heard nothing yet but that the gateway is idle."""
    await listening.until(lambda heard: bool(heard) and word(heard[-1]) == "IDLE")
    assert gateway.pid
    listening.heard.clear()
    return listening


def drive(listening: Subscriber, key: SigningKey, **jibri: Any) -> dict[str, dict[str, Any]]:
    """Settings of an instance that is driven by HTTP."""
    return {
        "jibri": {"id": "jibri-7", "outbound_prefix": "out_", **jibri},
        "dial_out": {"allow": ["*@127.0.0.1"]},
        "sip": {"tcp": False},
        "webhooks": {"subscribers": [listening.url]},
        "webhooks.token": {"signing_key_file": str(key.file), "kid": "jibri/key-1"},
    }


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_gateway(
    meeting: EmbeddedMeeting, logs: Path, listening: Subscriber, key: SigningKey
) -> AsyncIterator[RunningGateway]:
    """A gateway that is driven by HTTP."""
    async with RunningGateway(meeting.base_url, drive(listening, key), log_file=logs / "gateway.log") as running:
        yield running


@asynccontextmanager
async def another(
    meeting: EmbeddedMeeting, listening: Subscriber, key: SigningKey, log: Path, **jibri: Any
) -> AsyncIterator[RunningGateway]:
    """A gateway of a test's own, for tests that it does not outlive."""
    async with RunningGateway(meeting.base_url, drive(listening, key, **jibri), log_file=log) as running:
        yield running


def word(heard: Heard) -> str:
    """ON or OFF of a session, IDLE, BUSY or EXPIRED of the instance."""
    told = heard.body.get("session") or heard.body["status"]
    return str(told.get("status") or told["busyStatus"])


def words(sidecar: Subscriber) -> list[str]:
    """What was heard of an instance that was idle, without the repetitions of each minute."""
    found = []
    status = "IDLE"
    for heard in sidecar.heard:
        told = word(heard)
        if "session" in heard.body or told != status:
            found.append(told)
        if "status" in heard.body:
            status = told
    return found


def order(base_url: str, room: str, sip: dict[str, Any], **call: Any) -> dict[str, Any]:
    """The body of `startService`."""
    call_params = {"callUrlInfo": {"baseUrl": base_url, "callName": room}, **call}
    return {"sessionId": f"session-{room}", "sinkType": "gateway", "callParams": call_params, "sipClientParams": sip}


async def ask(gateway: RunningGateway, method: str, path: str, body: Any = None, *, port: int = 0) -> httpx2.Response:
    """Ask one of Jibri's APIs."""
    url = f"http://127.0.0.1:{port or gateway.api_port}{path}"
    async with httpx2.AsyncClient(timeout=30, trust_env=False, verify=PLAIN) as client:
        return await client.request(method, url, json=body)


async def start(gateway: RunningGateway, body: dict[str, Any]) -> None:
    """Begin a session."""
    answer = await ask(gateway, "POST", f"{EXTERNAL}/startService", body)
    assert (answer.status_code, answer.text) == (200, "")


async def busy_status(gateway: RunningGateway) -> str:
    """What `health` says."""
    answer = await ask(gateway, "GET", f"{EXTERNAL}/health")
    assert answer.status_code == 200
    health = answer.json()
    assert health["status"]["health"] == {"healthStatus": "HEALTHY", "details": {}}
    return str(health["status"]["busyStatus"])


def out(peer: MeasuredPeer, **more: Any) -> dict[str, Any]:
    """`sipClientParams` of a call to the peer."""
    return {"sipAddress": peer.uri, "displayName": "Example Ltd", "autoAnswer": False, **more}


async def test_dial_out(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, sidecar: Subscriber, meeting: EmbeddedMeeting
) -> None:
    """`autoAnswer` false: picture and sound both ways, the name given in the meeting, and every word told in order."""
    assert await busy_status(gateway) == "IDLE"
    body = order(meeting.base_url, "demo", out(peer), displayName="Board room", email="outbound-sip-jibri@jitsi.net")
    await start(gateway, body)
    assert await busy_status(gateway) == "BUSY"
    invited = await peer.wait_for("incoming", timeout_s=UP_S)
    assert "Example Ltd" in str(invited)
    await peer.wait_up(UP_S)
    await alice.wait_for(
        lambda now: (
            "Board room" in now.video
            and now.video["Board room"].intact >= FRAMES
            and now.audio["Board room"][PEER_HZ] > LOUD
        ),
        "picture and sound of the called party",
    )

    async def tone() -> float:
        return (await peer.report(ALICE_HZ)).tones[ALICE_HZ]

    await until(tone, lambda level: level > LOUD, "tone of alice at the peer")
    stopped = await ask(gateway, "POST", f"{EXTERNAL}/stopService", {})
    assert (stopped.status_code, stopped.text) == (200, "")
    await peer.wait_over()
    await in_room(meeting, "demo", "alice")
    await sidecar.until(lambda _heard: words(sidecar)[-1:] == ["IDLE"])
    assert words(sidecar) == ["BUSY", "ON", "OFF", "IDLE"]
    session = {"sessionId": "session-demo", "sipAddress": peer.uri, "failure": None, "shouldRetry": None}
    assert sidecar.sessions() == [{**session, "status": "ON"}, {**session, "status": "OFF"}]


async def test_tokens(gateway: RunningGateway, sidecar: Subscriber, key: SigningKey, peer: MeasuredPeer) -> None:
    """Each webhook is signed, by whom and for whom the settings say."""
    await peer.answer_with(486)
    await start(gateway, order("", "signed", out(peer)))
    await sidecar.until(lambda _heard: words(sidecar)[-1:] == ["IDLE"])
    assert len(sidecar.heard) >= 4
    for heard in sidecar.heard:
        claims = key.verified(heard.token)
        assert (claims["iss"], claims["header"]["kid"], heard.body["jibriId"]) == ("jibri", "jibri/key-1", "jibri-7")


async def test_dial_in(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, sidecar: Subscriber, meeting: EmbeddedMeeting
) -> None:
    """`autoAnswer` true: the meeting is joined, and the call that then comes in is answered, whatever it dialled."""
    sip = {"sipAddress": "sip:guest@example.com", "autoAnswer": True, "autoAnswerTimer": 30}
    await start(gateway, order(meeting.base_url, "demo", sip, displayName="Guest"))
    await sidecar.until(lambda _heard: "ON" in words(sidecar))
    await in_room(meeting, "demo", "Guest", "alice")
    await peer.call(f"sip:whoever@127.0.0.1:{gateway.sip_port}")
    await peer.wait_up()
    await alice.wait_for(
        lambda now: "Guest" in now.video and now.video["Guest"].intact >= FRAMES and now.audio["Guest"][PEER_HZ] > LOUD,
        "picture and sound of the guest",
    )
    await peer.hangup()
    await sidecar.until(lambda _heard: words(sidecar)[-1:] == ["IDLE"])
    assert words(sidecar) == ["BUSY", "ON", "OFF", "IDLE"]
    assert sidecar.sessions()[-1]["failure"] is None


async def test_login_and_passcode(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting
) -> None:
    """`callLoginParams` and `passcode`: a locked room is entered with the account, and neither secret is told on."""
    await meeting.lock("demo", "canary-91ab")
    try:
        body = order(meeting.base_url, "demo", out(peer), displayName="Board room", passcode="canary-91ab")
        await start(gateway, {**body, "callLoginParams": {**LOGIN, "port": None, "randomizeUsername": False}})
        await peer.wait_up(UP_S)
        await in_room(meeting, "demo", "Board room", "alice")
        assert any(f'jid="gateway@{ACCOUNT_DOMAIN}/' in presence for presence in await meeting.presences("demo"))
        await ask(gateway, "POST", f"{EXTERNAL}/stopService")
    finally:
        await meeting.lock("demo", "")
    assert "canary" not in gateway.log_file.read_text()
    assert alice


async def test_no_call_comes(gateway: RunningGateway, sidecar: Subscriber, meeting: EmbeddedMeeting) -> None:
    """When nobody calls within the timer, the session has failed and may be tried again."""
    await start(gateway, order(meeting.base_url, "nobody", {"autoAnswer": True, "autoAnswerTimer": 3}))
    await sidecar.until(lambda _heard: words(sidecar)[-1:] == ["IDLE"])
    last = sidecar.sessions()[-1]
    assert last["failure"]["error"]["detail"].startswith("call-not-come: ")
    assert (last["status"], last["failure"]["reason"], last["shouldRetry"]) == ("OFF", "ERROR", True)


@pytest.mark.parametrize(("code", "key_of_it"), [(486, "peer-busy"), (404, "peer-not-found"), (603, "peer-declined")])
async def test_refused(
    gateway: RunningGateway, peer: MeasuredPeer, sidecar: Subscriber, code: int, key_of_it: str
) -> None:
    """A refusal is told as what it was, and is no reason to let another instance ring."""
    await peer.answer_with(code)
    await start(gateway, order("", "refused", out(peer)))
    await sidecar.until(lambda _heard: words(sidecar)[-1:] == ["IDLE"])
    last = sidecar.sessions()[-1]
    assert last["failure"]["error"]["scope"] == "SESSION"
    assert last["failure"]["error"]["detail"].startswith(f"{key_of_it}: ")
    assert last["shouldRetry"] is False


async def test_provider(gateway: RunningGateway, sidecar: Subscriber, peer: MeasuredPeer) -> None:
    """An account of the session's own: the call goes through its domain, with the prefix, and shows who it is."""
    async with SipProvider("room7", "pa$$word", answers=480) as provider:
        sip = out(peer, userName=provider.account, password="pa$$word", sipAddress="sip:board@127.0.0.1")  # noqa: S106
        await start(gateway, order("", "provided", sip))
        await sidecar.until(lambda _heard: words(sidecar)[-1:] == ["IDLE"])
        invite = provider.of("INVITE")[-1]
        assert invite.startswith("INVITE sip:out_board@127.0.0.1 SIP/2.0")
        assert field(invite, "From").startswith('"Example Ltd" <sip:room7@127.0.0.1')
        assert 'username="room7"' in field(invite, "Proxy-Authorization")
        assert provider.of("REGISTER")
        await provider.registered(now=False)
    assert "pa$$word" not in gateway.log_file.read_text()


async def test_called_at_the_account(gateway: RunningGateway, sidecar: Subscriber, peer: MeasuredPeer) -> None:
    """For a call that is awaited the account is registered; a call to where it is comes through."""
    async with SipProvider("room7", "secret") as provider:
        sip = {"autoAnswer": True, "userName": provider.account, "password": "secret"}
        await start(gateway, order("", "registered", sip))
        await provider.registered(now=True, timeout_s=UP_S)
        await sidecar.until(lambda _heard: "ON" in words(sidecar))
        await peer.call(provider.contact)
        await peer.wait_up()
        await in_state(gateway, "bridged")
        await ask(gateway, "POST", f"{EXTERNAL}/stopService")
        await provider.registered(now=False)


async def test_busy_and_counted(gateway: RunningGateway, peer: MeasuredPeer, sidecar: Subscriber) -> None:
    """A second order is refused in Jibri's words, and counted; what else was asked for wrongly is told apart."""
    await start(gateway, order("", "first", out(peer)))
    refused = await ask(gateway, "POST", f"{EXTERNAL}/startService", order("", "second", out(peer)))
    assert (refused.status_code, refused.text) == (412, "Jibri is currently busy")
    await peer.wait_up(UP_S)
    await in_state(gateway, "bridged")
    await peer.hangup()
    await sidecar.until(lambda _heard: words(sidecar)[-1:] == ["IDLE"])
    missing = await ask(gateway, "POST", f"{EXTERNAL}/startService", {**order("", "x", {}), "sipClientParams": None})
    assert (missing.status_code, missing.text) == (412, "SIP client params missing")
    unknown = await ask(gateway, "POST", f"{EXTERNAL}/startService", {**order("", "x", out(peer)), "surprise": 1})
    assert unknown.status_code == 500
    abroad = await ask(gateway, "POST", f"{EXTERNAL}/startService", order("", "x", {"sipAddress": "a@192.0.2.1"}))
    assert (abroad.status_code, abroad.text.split(":")[0]) == (412, "destination-not-allowed")
    figures = (await ask(gateway, "GET", "/metrics")).text
    for line in (
        "jitsi_jibri_busy_total 1.0",
        "jitsi_jibri_healthy 1.0",
        "jitsi_jibri_recording 0.0",
        'jibri_sip_sessions_ended_total{direction="dial-out",reason="peer-hung-up"}',
        'jibri_sip_setup_seconds_count{direction="dial-out",stage="joined"}',
        'jibri_sip_rtp_packets_total{direction="to_sip",media="audio"}',
        'jibri_sip_rtp_packets_total{direction="to_meet",media="video"}',
        'jibri_sip_webhooks_total{outcome="delivered"}',
    ):
        assert line in figures, figures


async def test_mute_and_keys(
    alice: Participant, gateway: RunningGateway, peer: MeasuredPeer, meeting: EmbeddedMeeting
) -> None:
    """Our own API mutes the room system in the meeting, and presses keys towards it."""
    await start(gateway, order(meeting.base_url, "demo", out(peer), displayName="Board"))
    await peer.wait_up(UP_S)
    session = (await in_state(gateway, "bridged"))["id"]

    async def tone() -> float:
        return (await alice.report()).audio.get("Board", {}).get(PEER_HZ, 0.0)

    await until(tone, lambda level: level > LOUD, "tone of the peer")
    await gateway.api("POST", f"/api/v1/sessions/{session}/mute", json={"audio": True})
    await until(tone, lambda level: level < LOUD / 10, "silence")
    await gateway.api("POST", f"/api/v1/sessions/{session}/mute", json={"audio": False})
    await until(tone, lambda level: level > LOUD, "tone of the peer again")
    await gateway.api("POST", f"/api/v1/sessions/{session}/dtmf", json={"digits": "4#"})
    for digit in "4#":
        await peer.wait_for("dtmf", digit=digit)
    await gateway.api("DELETE", f"/api/v1/sessions/{session}")


@pytest.mark.parametrize("path", EXIT_CODES)
async def test_going_when_idle(
    meeting: EmbeddedMeeting, listening: Subscriber, key: SigningKey, logs: Path, path: str
) -> None:
    """Idle, the process answers and goes at once, with Jibri's exit code."""
    async with another(meeting, listening, key, logs / f"{path}.log") as gateway:
        answer = await ask(gateway, "POST", f"{INTERNAL}/{path}", port=gateway.internal_port)
        assert (answer.status_code, answer.text) == (200, "")
        assert await gateway.exit_status() == EXIT_CODES[path]


@pytest.mark.parametrize("path", EXIT_CODES)
async def test_going_during_a_call(
    meeting: EmbeddedMeeting, key: SigningKey, logs: Path, peer: MeasuredPeer, path: str
) -> None:
    """With a call, the process goes when the call is over; `shutdown` ends it. Nothing new is taken, all is told."""
    async with AsyncExitStack() as stack:
        heard = await stack.enter_async_context(Subscriber())
        gateway = await stack.enter_async_context(another(meeting, heard, key, logs / f"{path}-call.log"))
        await start(gateway, order("", "going", out(peer)))
        await peer.wait_up(UP_S)
        await in_state(gateway, "bridged")
        assert (await ask(gateway, "POST", f"{INTERNAL}/{path}", port=gateway.internal_port)).status_code == 200
        if path != "shutdown":
            await asyncio.sleep(2)
            assert (await gateway.last_session())["state"] == "bridged"
            assert await busy_status(gateway) == "BUSY"
            refused = await ask(gateway, "POST", f"{EXTERNAL}/startService", order("", "late", out(peer)))
            assert (refused.status_code, refused.text) == (412, "Jibri is currently busy")
            await peer.hangup()
        await peer.wait_over()
        assert await gateway.exit_status() == EXIT_CODES[path]
        assert [session["status"] for session in heard.sessions()] == ["ON", "OFF"]


async def test_single_use(meeting: EmbeddedMeeting, key: SigningKey, logs: Path, peer: MeasuredPeer) -> None:
    """With single use, there is one session and then none: EXPIRED, and callers are sent elsewhere."""
    async with AsyncExitStack() as stack:
        heard = await stack.enter_async_context(Subscriber())
        gateway = await stack.enter_async_context(another(meeting, heard, key, logs / "single.log", single_use=True))
        await start(gateway, order("", "once", out(peer)))
        await peer.wait_up(UP_S)
        await in_state(gateway, "bridged")
        await peer.hangup()
        await ended(gateway, "peer-hung-up")
        await heard.until(lambda _heard: words(heard)[-1:] == ["EXPIRED"])
        assert words(heard)[-4:] == ["BUSY", "ON", "OFF", "EXPIRED"]
        assert await busy_status(gateway) == "EXPIRED"
        refused = await ask(gateway, "POST", f"{EXTERNAL}/startService", order("", "twice", out(peer)))
        assert (refused.status_code, refused.text.split(":")[0]) == (412, "expired")
        peer.forget_events()
        await peer.call(f"sip:anything@127.0.0.1:{gateway.sip_port}")
        assert (await peer.wait_over())["code"] == 503
        answer = await ask(gateway, "POST", f"{INTERNAL}/gracefulShutdown", port=gateway.internal_port)
        assert answer.status_code == 200
        assert await gateway.exit_status() == 255


async def test_scripts(meeting: EmbeddedMeeting, listening: Subscriber, key: SigningKey, logs: Path) -> None:
    """The autoscaler's script ends a real gateway, and finds its port in the gateway's own configuration."""
    script = Path(__file__).parents[2] / "scripts" / "jibri" / "wait_graceful_shutdown.sh"
    async with another(meeting, listening, key, logs / "scripts.log") as gateway:
        process = await asyncio.create_subprocess_exec(
            script, "-s", env={"PATH": "/usr/bin:/bin", "JIBRI_SIP_CONFIG": str(gateway.config_file)}
        )
        assert await asyncio.wait_for(process.wait(), GONE_S) == 0
        assert await gateway.exit_status() == 255
