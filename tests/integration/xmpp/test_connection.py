"""A connection to a real Prosody is kept up: through silence, cuts, and a nickname that somebody else has."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from jibri_sip.config.control import XmppSettings
from jibri_sip.errors import ConfigInvalid, FileUnreadable, GatewayError
from jibri_sip.xmpp.client import Client, Pace
from jibri_sip.xmpp.stanzas import status_extension
from tests.integration.xmpp.conftest import ACCOUNTS, HIBERNATION_S, xmpp_settings
from tests.jicofo import BreweryServer, Jicofo, Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUICK = Pace(
    first_retry_s=0.2,
    retry_s=0.2,
    session_within_s=8.0,
    ping_every_s=0.2,
    answer_within_s=5.0,  # a server that is well may be slow
    resume_within_s=30.0,
    enter_retry_s=0.3,
)
STRICT = Pace(retry_s=0.2, session_within_s=4.0, resume_within_s=0.5)
SOON_S = 30.0
FEATURES = (
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='1'>"
    "<stream:features>{}</stream:features>"
)
STARTTLS = "xmlns='urn:ietf:params:xml:ns:xmpp-tls'"
SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"


@dataclass
class Seen:
    """What a connection has told."""

    counted: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, what: Callable[["Seen"], bool]) -> None:
        """Wait until it has told this.

        Raises:
            TimeoutError: it has not, within half a minute.
        """
        async with asyncio.timeout(SOON_S):
            while not what(self):
                self.changed.clear()
                await self.changed.wait()

    def count(self, name: str, _host: str) -> None:
        """Note a counter."""
        self.counted[name] += 1
        self.changed.set()

    def lose(self, _client: Client) -> None:
        """Note that it is gone for good."""
        self.lost += 1
        self.changed.set()


@asynccontextmanager
async def connected(settings: XmppSettings, pace: Pace) -> AsyncIterator[tuple[Client, Seen]]:
    """A connection that is being made, and what it tells."""
    seen = Seen()
    client = Client(
        settings,
        settings.hosts[0],
        extension=lambda: status_extension(idle=True, healthy=True),
        on_request=lambda *_: None,
        on_lost=seen.lose,
        count=seen.count,
        pace=pace,
    )
    client.open()
    try:
        yield client, seen
    finally:
        await client.close()


async def test_no_answer_to_pings(server: BreweryServer, jicofo: Jicofo) -> None:
    """A wire that passes nothing on is given up, and the stream is resumed on the next: nobody sees us leave."""
    async with (
        Wire(server.port) as wire,
        connected(xmpp_settings(server, "silent", port=wire.port), QUICK) as (client, seen),
    ):
        await jicofo.wait_for(lambda: "silent" in jicofo.instances)
        before = jicofo.instances["silent"]
        await asyncio.sleep(2 * QUICK.ping_every_s)
        wire.silence()
        await seen.until(lambda seen: seen.counted["xmpp_reconnection_failed"] == 1)
        assert seen.counted["xmpp_ping_failed"] == 1
        assert not client.online
        wire.mend()
        await seen.until(lambda seen: seen.counted["xmpp_connected"] == 2)
        assert jicofo.instances["silent"] is before
        assert seen.lost == 0
        assert seen.counted["xmpp_reconnecting"] >= 1
    await jicofo.wait_for(lambda: "silent" not in jicofo.instances)


async def test_answers_to_pings(server: BreweryServer, jicofo: Jicofo) -> None:
    """A server that answers is not left."""
    async with connected(xmpp_settings(server, "answered"), QUICK) as (client, seen):
        await jicofo.wait_for(lambda: "answered" in jicofo.instances)
        await asyncio.sleep(5 * QUICK.ping_every_s + QUICK.answer_within_s)
        assert client.online
        assert seen.counted == {"xmpp_connected": 1}


async def test_entered(jicofo: Jicofo, server: BreweryServer) -> None:
    """The log says once that we are in the brewery, and as whom; a change of how we stand is no news of that."""
    with capture_logs() as log:
        async with connected(xmpp_settings(server, "entered"), QUICK) as (client, _seen):
            await jicofo.wait_for(lambda: "entered" in jicofo.instances)
            client.publish()
            await jicofo.wait_for(lambda: jicofo.instances["entered"].presences == 2)
            await asyncio.sleep(0.1)
    (entry,) = [entry for entry in log if entry["event"].startswith("brewery")]
    assert (entry["event"], entry["nickname"]) == ("brewery_entered", "entered")
    assert entry["brewery"].casefold() == jicofo.brewery


async def test_not_resumed_in_time(server: BreweryServer, jicofo: Jicofo) -> None:
    """It is told once that the connection is lost; when there is one again, we are back in the brewery."""
    async with (
        Wire(server.port) as wire,
        connected(xmpp_settings(server, "late", port=wire.port), STRICT) as (client, seen),
    ):
        await jicofo.wait_for(lambda: "late" in jicofo.instances)
        await asyncio.sleep(QUICK.ping_every_s)
        wire.silence()
        wire.cut()
        await seen.until(lambda seen: seen.lost == 1)
        assert not client.online
        wire.mend()
        await seen.until(lambda seen: seen.counted["xmpp_connected"] == 2)
        await jicofo.wait_for(lambda: "late" in jicofo.instances, HIBERNATION_S + SOON_S)
        assert seen.lost == 1


async def test_certificate_of_nobody(server: BreweryServer, jicofo: Jicofo) -> None:
    """A server that no authority of ours vouches for is talked to only where any certificate is trusted."""
    with capture_logs() as log:
        async with connected(xmpp_settings(server, "wary", ca_file=None), QUICK) as (_client, seen):
            await seen.until(lambda seen: seen.counted["xmpp_reconnecting"] >= 2)
            assert seen.counted["xmpp_connected"] == 0
    assert {entry["event"] for entry in log} == {"xmpp_certificate_refused"}
    trusting = xmpp_settings(server, "trusting", ca_file=None, trust_any_certificate=True)
    async with connected(trusting, QUICK) as (_client, seen):
        await jicofo.wait_for(lambda: "trusting" in jicofo.instances)
        assert "wary" not in jicofo.instances


@pytest.mark.parametrize(("content", "error"), [(None, FileUnreadable), ("no certificate", ConfigInvalid)])
async def test_authorities_that_are_none(
    server: BreweryServer, tmp_path: Path, content: str | None, error: type[GatewayError]
) -> None:
    """A file of authorities that is not there, or holds none, is named when the gateway starts."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(error, match=r"xmpp\.ca_file .*ca\.pem"):
        async with connected(xmpp_settings(server, "lost", ca_file=file), QUICK):
            pass


@pytest.mark.parametrize(
    ("host", "port", "found"),
    [
        ("xmpp.example.com", None, ("xmpp.example.com", 5222)),
        ("xmpp.example.com", 6222, ("xmpp.example.com", 6222)),
        ("xmpp.example.com:7222", 6222, ("xmpp.example.com", 7222)),
        ("[2001:db8::1]:7222", None, ("2001:db8::1", 7222)),
        ("2001:db8::1", None, ("2001:db8::1", 5222)),
        ("[2001:db8::1]", 6222, ("2001:db8::1", 6222)),
    ],
)
async def test_where_it_connects(server: BreweryServer, host: str, port: int | None, found: tuple[str, int]) -> None:
    """The host's own port goes before the login's, which goes before XMPP's; its name is the environment's and it."""
    settings = xmpp_settings(server, "here", hosts=[host])
    login = settings.control_login.model_copy(update={"port": port})
    client = Client(
        settings.model_copy(update={"control_login": login}),
        host,
        extension=lambda: status_extension(idle=True, healthy=True),
        on_request=lambda *_: None,
        on_lost=lambda _: None,
        count=lambda *_: None,
        pace=QUICK,
    )
    assert (client.address, client.name) == (found, f"here-{host}")


async def test_server_that_says_nothing(server: BreweryServer) -> None:
    """One that takes connections and no more is tried again, from the first attempt on."""
    made = 0

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        await asyncio.sleep(SOON_S)
        writer.close()

    mute = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with mute:
        port = mute.sockets[0].getsockname()[1]
        pace = Pace(first_retry_s=0.1, session_within_s=0.3)
        async with connected(xmpp_settings(server, "unheard", port=port), pace) as (_client, seen):
            # An attempt may be given up before it has come to the server.
            await seen.until(lambda seen: seen.counted["xmpp_reconnection_failed"] >= 2 and made >= 2)
            assert seen.lost == 0


@pytest.mark.parametrize("silent", [True, False])
async def test_server_that_breaks_off_in_the_handshake(server: BreweryServer, *, silent: bool) -> None:
    """One that agrees to TLS and then says nothing, or resets, is tried again: by one attempt after the other."""
    made = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        await reader.readuntil(b">")
        writer.write(FEATURES.format(f"<starttls {STARTTLS}/>").encode())
        await reader.readuntil(b"/>")
        writer.write(f"<proceed {STARTTLS}/>".encode())
        with suppress(ConnectionError):
            await reader.read(1)
            if silent:
                await reader.read()
        writer.transport.abort()

    broken = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with broken:
        port = broken.sockets[0].getsockname()[1]
        # Who is reset needs no deadline.
        pace = Pace(first_retry_s=0.1, session_within_s=1.0 if silent else SOON_S)
        async with connected(xmpp_settings(server, "unheard", port=port), pace) as (_client, seen):
            await seen.until(lambda seen: seen.counted["xmpp_reconnecting"] >= 6)
            assert seen.counted["xmpp_reconnecting"] == seen.counted["xmpp_reconnection_failed"]
            assert abs(seen.counted["xmpp_reconnecting"] - made) <= 1


@pytest.mark.parametrize(
    ("security", "mechanism", "logs_in"),
    [
        ("disabled", "SCRAM-SHA-1", True),
        ("disabled", "PLAIN", True),
        ("if-possible", "SCRAM-SHA-1", True),
        ("if-possible", "PLAIN", False),
        ("required", "SCRAM-SHA-1", False),
        ("required", "PLAIN", False),
    ],
)
async def test_server_without_encryption(
    server: BreweryServer, security: str, mechanism: str, *, logs_in: bool
) -> None:
    """Who does not insist on TLS logs in without; the password itself is shown only where there is to be none."""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b">")
        writer.write(FEATURES.format(f"<mechanisms {SASL}><mechanism>{mechanism}</mechanism></mechanisms>").encode())
        if not heard.done():
            heard.set_result(await reader.readuntil(b">"))
        writer.transport.abort()

    plain = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with plain:
        port = plain.sockets[0].getsockname()[1]
        settings = xmpp_settings(server, "unsafe", port=port, security=security)
        with capture_logs() as log:
            async with connected(settings, QUICK) as (_client, seen):
                stanza = await asyncio.wait_for(asyncio.shield(heard), SOON_S)
                await seen.until(lambda seen: seen.counted["xmpp_reconnection_failed"] >= 1)
    assert stanza.startswith(b"<auth " if logs_in else b"</stream:stream")
    assert {entry["event"] for entry in log} == {"xmpp_unreachable" if logs_in else "xmpp_login_refused"}
    assert logs_in or "STARTTLS" in log[0]["remedy"]


async def test_ping_of_the_connection_before(tmp_path: Path) -> None:
    """What a connection that is gone has not answered is not held against the one after it."""
    async with BreweryServer(tmp_path, ACCOUNTS) as own, Wire(own.port) as wire:
        pace = Pace(retry_s=0.2, ping_every_s=0.2, answer_within_s=4.0)
        async with connected(xmpp_settings(own, "anew", port=wire.port), pace) as (client, seen):
            await seen.until(lambda seen: seen.counted["xmpp_connected"] == 1)
            wire.silence()
            await asyncio.sleep(2 * pace.ping_every_s)
            await own.kill()
            wire.mend()
            await own.start()
            await seen.until(lambda seen: seen.counted["xmpp_connected"] == 2)
            await asyncio.sleep(pace.answer_within_s)
            assert client.online
            assert (seen.counted["xmpp_ping_failed"], seen.counted["xmpp_connected"]) == (0, 2)


async def test_nickname_of_somebody_else(server: BreweryServer, jicofo: Jicofo) -> None:
    """Who comes second waits outside until it is free."""
    async with connected(xmpp_settings(server, "wanted", user="other"), QUICK) as (_second, second_seen):
        await jicofo.wait_for(lambda: "wanted" in jicofo.instances)
        holder = jicofo.instances["wanted"].real_jid
        async with connected(xmpp_settings(server, "wanted"), QUICK) as (_first, seen):
            await seen.until(lambda seen: seen.counted["xmpp_connected"] == 1)
            await asyncio.sleep(3 * QUICK.enter_retry_s)
            assert jicofo.instances["wanted"].real_jid == holder
            await _second.close()
            await jicofo.wait_for(
                lambda: "wanted" in jicofo.instances and jicofo.instances["wanted"].real_jid != holder
            )
        assert second_seen.lost == 0
