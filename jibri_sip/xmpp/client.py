"""One connection to one XMPP server: kept up, present in its breweries, and asked for sessions there."""

import asyncio
import contextlib
import copy
import hashlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element, SubElement

from slixmpp import JID, ClientXMPP
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from jibri_sip import log
from jibri_sip.config.control import MucSettings, XmppSettings, server_address
from jibri_sip.errors import ConfigInvalid, FileUnreadable
from jibri_sip.xmpp.stanzas import JIBRI_TAG, MUC, MUC_USER, room_configuration

_log = log.logger("xmpp")
# It logs what goes over the wire, passwords included.
logging.getLogger("slixmpp").setLevel(logging.ERROR)

CLOSE_S = 2.0
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_CONFLICT = "conflict"
_MACHINE_ID = Path("/etc/machine-id")
_RESOURCE_DIGITS = 16

# slixmpp gives stanzas their interfaces while it runs.
_Stanza: TypeAlias = Any


@dataclass(frozen=True)
class Pace:
    """How a connection is kept up; seconds, Jibri's where Jibri has them.

    Attributes:
        first_retry_s: until the next attempt, as long as there has been no connection.
        retry_s: the same, once there has been one.
        session_within_s: longest time from an attempt until there is a session: a server may take a connection and then
            say nothing.
        ping_every_s: between pings (XEP-0199).
        answer_within_s: longest time for the answer to a ping, or to another IQ of ours.
        resume_within_s: a stream that is not resumed (XEP-0198) by then is lost. jicofo does not see us leave before
            the server gives up.
        enter_retry_s: until the next attempt to enter a brewery that did not let us in.
    """

    first_retry_s: float = 5.0
    retry_s: float = 1.0
    session_within_s: float = 30.0
    ping_every_s: float = 30.0
    answer_within_s: float = 15.0
    resume_within_s: float = 10.0
    enter_retry_s: float = 10.0


USUAL = Pace()


class Client(ClientXMPP):
    """A client of one environment at one of its hosts.

    Args:
        settings: the environment.
        host: `host` or `host:port`.
        extension: what the presence in the breweries carries now.
        on_request: called with the sender and each `<jibri>` that one of a brewery sends, and the IQ to answer it with.
        on_lost: called when the connection is gone for good: not resumed, though perhaps made anew.
        count: told of what happens to the connection, by Jibri's name of the counter.
        pace: how it is kept up.
        number: of this connection among those of the gateway.

    Attributes:
        name: of environment and host, for logs and the health API.
        host: as it was given.
        address: host and TCP port that it connects to.

    Raises:
        FileUnreadable, ConfigInvalid: `ca_file` cannot be used.
    """

    def __init__(
        self,
        settings: XmppSettings,
        host: str,
        *,
        extension: Callable[[], Element],
        on_request: Callable[["Client", _Stanza, Element], None],
        on_lost: Callable[["Client"], None],
        count: Callable[[str, str], None],
        pace: Pace,
        number: int = 0,
    ) -> None:
        login = settings.control_login
        name = f"{settings.name}-{host}"
        address, port = server_address(host, login.port)
        super().__init__(
            f"{login.username}@{login.domain}/{_resource(number, name, settings.mucs)}",
            login.secret.get_secret_value(),
            plugin_config={"feature_mechanisms": _unencrypted(_security(settings, address))},
        )
        self.host = host
        self.name = name
        self.address = (address, port)
        self._mucs = settings.mucs
        self._extension = extension
        self._on_request = on_request
        self._on_lost = on_lost
        self._count = count
        self._pace = pace
        self._closing = False
        self._was_connected = False
        self._online = False
        self._explained = False
        self._inside: set[str] = set()
        self._grace: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._next: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._encrypt(settings, address)
        self._listen()

    def _encrypt(self, settings: XmppSettings, host: str) -> None:
        security = _security(settings, host)
        self.enable_direct_tls = False
        self.enable_starttls = security != "disabled"
        self.enable_plaintext = security != "required"
        context = _context(settings.ca_file)
        if settings.trust_any_certificate:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.ssl_context = context

    def _listen(self) -> None:
        for plugin in ("xep_0030", "xep_0198", "xep_0199"):
            self.register_plugin(plugin)
        for event, handler in (
            ("session_start", self._started),
            ("session_resumed", self._resumed),
            ("disconnected", self._disconnected),
            ("connection_failed", self._failed),
            ("failed_all_auth", self._refused),
            ("stream_error", self._broken_off),
            ("ssl_invalid_chain", self._untrusted),
        ):
            self.add_event_handler(event, handler)
        self.register_handler(Callback("jibri", MatchXPath(f"{{jabber:client}}iq/{JIBRI_TAG}"), self._asked))
        self.register_handler(Callback("brewery", MatchXPath("{jabber:client}presence"), self._presence))

    @property
    def online(self) -> bool:
        """Whether what is sent now arrives."""
        return self._online

    def open(self) -> None:
        """Begin to connect; goes on until `close`."""
        self._spawn(self._ping())
        self._try()

    async def close(self) -> None:
        """Leave the breweries and end the stream, within seconds."""
        self._closing = True
        self._stop_grace()
        self._stop_attempts()
        if self._online:
            for muc in self._mucs:
                self.send_presence(pto=f"{muc.jid}/{muc.nickname}", ptype="unavailable")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.disconnect(CLOSE_S), 2 * CLOSE_S)
        self.cancel_connection_attempt()
        self.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def publish(self) -> None:
        """Send the present extension to all breweries."""
        if self._online:
            for muc in self._mucs:
                self._send_presence(muc)

    def tell(self, to: str, element: Element) -> None:
        """Send a `<jibri>` of our own accord, as a set IQ."""
        self._spawn(self._tell(to, element))

    async def _tell(self, to: str, element: Element) -> None:
        iq: _Stanza = self.make_iq_set(sub=element, ito=to)
        try:
            await iq.send(timeout=self._pace.answer_within_s)
        except (IqError, IqTimeout) as error:
            _log.warning("brewery_told_nobody", client=self.name, to=to, error=type(error).__name__)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # The connection ------------------------------------------------------------------------------

    def _try(self) -> None:
        self._next = None
        self._explained = False
        self.connect(*self.address)
        self._deadline = asyncio.get_running_loop().call_later(self._pace.session_within_s, self._too_late)

    def _too_late(self) -> None:
        """Neither a session nor a refusal: begin anew."""
        self._note_failure(f"no session in {self._pace.session_within_s:.0f} s")
        self.cancel_connection_attempt()
        self.abort()
        # Of a connection that is given up in the middle of its TLS handshake, `disconnected` never tells.
        self._reconnect()

    def _started(self, _event: object) -> None:
        """A new stream: nobody in the breweries knows us."""
        self._stop_attempts()
        if self._grace is not None:
            self._lost()
        self._online = self._was_connected = True
        self._inside.clear()
        _log.info("xmpp_connected", client=self.name)
        self._count("xmpp_connected", self.host)
        for muc in self._mucs:
            self._enter(muc)

    def _resumed(self, _event: object) -> None:
        """The same stream goes on: all is as it was, but for what changed meanwhile."""
        self._stop_attempts()
        self._stop_grace()
        self._online = True
        _log.info("xmpp_resumed", client=self.name)
        self._count("xmpp_connected", self.host)
        self.publish()

    def _disconnected(self, reason: object) -> None:
        was_online, self._online = self._online, False
        if self._closing:
            return
        if was_online:
            self._count("xmpp_closed_on_error" if isinstance(reason, Exception) else "xmpp_closed", self.host)
            _log.warning("xmpp_closed", client=self.name, reason=str(reason or "the server closed the stream"))
            self._grace = asyncio.get_running_loop().call_later(self._pace.resume_within_s, self._lost)
        elif self._next is None:
            # Of a certificate `_untrusted` tells.
            self._explained |= isinstance(reason, ssl.SSLCertVerificationError)
            self._note_failure(str(reason or "the connection was closed"))
        self._reconnect()

    def _reconnect(self) -> None:
        """Try again after a pause: once, however often one failure is told (a reset in a TLS handshake is twice)."""
        if self._closing or self._next is not None:
            return
        self._stop_attempts()
        self._count("xmpp_reconnecting", self.host)
        pause = self._pace.retry_s if self._was_connected else self._pace.first_retry_s
        self._next = asyncio.get_running_loop().call_later(pause, self._try)

    def _failed(self, reason: object) -> None:
        self._note_failure(str(reason))
        # slixmpp tries again by itself, at longer and longer intervals; the contract's pace is a steady one.
        self.cancel_connection_attempt()
        self._reconnect()

    def _note_failure(self, reason: str) -> None:
        self._count("xmpp_reconnection_failed", self.host)
        if not self._explained:
            _log.warning("xmpp_unreachable", client=self.name, reason=reason)

    def _refused(self, _event: object) -> None:
        remedy = "See control_login of this environment."
        if self.enable_starttls and "starttls" not in self.features:
            remedy += " The server offers no STARTTLS: have it do so, or see security."
        self._explained = True
        _log.error("xmpp_login_refused", client=self.name, remedy=remedy)

    def _broken_off(self, error: _Stanza) -> None:
        if error["condition"] == _CONFLICT:
            _log.error("xmpp_replaced", client=self.name, remedy="Give each instance its own nickname.")

    def _untrusted(self, error: object) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            _log.error(
                "xmpp_certificate_refused",
                client=self.name,
                error=str(error),
                remedy="Give its authority in ca_file, or see whether its name is control_login.domain.",
            )
        self.abort()

    def _lost(self) -> None:
        self._stop_grace()
        self._on_lost(self)

    def _stop_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _stop_attempts(self) -> None:
        """Await neither the end of an attempt nor the next one."""
        for handle in (self._deadline, self._next):
            if handle is not None:
                handle.cancel()
        self._deadline = self._next = None

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._pace.ping_every_s)
            if not self._online:
                continue
            # Another connection than this one is not to blame for an answer that does not come.
            asked = self.transport
            try:
                await self.plugin["xep_0199"].ping(JID(self.boundjid.host), timeout=self._pace.answer_within_s)
            except IqError:
                pass  # an answer all the same
            except IqTimeout:
                if self.transport is not asked:
                    continue
                self._count("xmpp_ping_failed", self.host)
                _log.warning("xmpp_silent", client=self.name)
                self.disconnect_reason = "no answer to a ping"
                self.abort()

    # The breweries -------------------------------------------------------------------------------

    def _enter(self, muc: MucSettings) -> None:
        join = Element(f"{{{MUC}}}x")
        SubElement(join, f"{{{MUC}}}history", {"maxstanzas": "0"})
        self._send_presence(muc, join)

    def _send_presence(self, muc: MucSettings, *more: Element) -> None:
        presence = self.make_presence(pto=f"{muc.jid}/{muc.nickname}")
        for element in (*more, self._extension()):
            presence.append(element)
        presence.send()

    def _brewery(self, sender: JID) -> MucSettings | None:
        return next((muc for muc in self._mucs if muc.jid.casefold() == str(sender.bare).casefold()), None)

    def _presence(self, presence: _Stanza) -> None:
        muc = self._brewery(presence["from"])
        if muc is None or presence["from"].resource != muc.nickname:
            return
        if presence["type"] == "error":
            self._not_let_in(muc, presence)
            return
        codes = {status.get("code") for status in presence.xml.iter(f"{{{MUC_USER}}}status")}
        if "201" in codes:
            self._spawn(self._configure(muc))
        if "110" in codes:
            self._note_place(muc, inside=presence["type"] != "unavailable")

    def _note_place(self, muc: MucSettings, *, inside: bool) -> None:
        """Our own presence came back (XEP-0045 section 7.2.2): the first says that we are in, the last that we left."""
        if inside and muc.jid not in self._inside:
            self._inside.add(muc.jid)
            _log.info("brewery_entered", client=self.name, brewery=muc.jid, nickname=muc.nickname)
        elif not inside and self._online and not self._closing:
            self._inside.discard(muc.jid)
            _log.warning("brewery_left", client=self.name, brewery=muc.jid)
            self._spawn(self._enter_again(muc))

    def _not_let_in(self, muc: MucSettings, presence: _Stanza) -> None:
        self._inside.discard(muc.jid)
        condition = presence["error"]["condition"]
        remedy = "Give each instance its own nickname." if condition == _CONFLICT else "See the server's log."
        _log.error("brewery_not_entered", client=self.name, brewery=muc.jid, condition=condition, remedy=remedy)
        self._spawn(self._enter_again(muc))

    async def _enter_again(self, muc: MucSettings) -> None:
        await asyncio.sleep(self._pace.enter_retry_s)
        if self._online and not self._closing:
            self._enter(muc)

    async def _configure(self, muc: MucSettings) -> None:
        iq: _Stanza = self.make_iq_set(sub=room_configuration(), ito=muc.jid)
        try:
            await iq.send(timeout=self._pace.answer_within_s)
        except (IqError, IqTimeout) as error:
            _log.warning("brewery_not_configured", client=self.name, brewery=muc.jid, error=type(error).__name__)

    def _asked(self, iq: _Stanza) -> None:
        if iq["type"] not in {"get", "set"}:
            return
        if self._brewery(iq["from"]) is None:
            _log.warning("brewery_stranger", client=self.name, sender=str(iq["from"]))
            refuse(iq, "forbidden", "auth")
            return
        element = iq.xml.find(JIBRI_TAG)
        self._on_request(self, iq, copy.deepcopy(element))


def refuse(iq: _Stanza, condition: str, kind: str) -> None:
    """Answer an IQ with an error (RFC 6120 section 8.3)."""
    reply = iq.reply(clear=True)
    reply["error"]["condition"] = condition
    reply["error"]["type"] = kind
    reply.send()


def answer(iq: _Stanza, element: Element) -> None:
    """Answer an IQ with this."""
    reply = iq.reply(clear=True)
    reply.set_payload(element)
    reply.send()


def _resource(number: int, name: str, mucs: Sequence[MucSettings]) -> str:
    """That of the address that we ask for: the same after a restart, and nobody else's.

    Of a gateway that was killed the server keeps the stream for minutes, to be resumed, and takes one of the same
    account and nickname for its second device: what jicofo orders would go to the dead one. An address that is asked
    for again ends that stream at once (RFC 6120 section 7.7.2.2).
    """
    try:
        machine = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        machine = socket.gethostname()
    parts = (machine, str(number), name, *(f"{muc.jid}/{muc.nickname}" for muc in mucs))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_RESOURCE_DIGITS]


def _security(settings: XmppSettings, host: str) -> str:
    return settings.security or ("if-possible" if host in _LOCAL else "required")


def _unencrypted(security: str) -> dict[str, bool]:
    """How to log in to a server that offers no encryption: SCRAM (RFC 5802) does not show the password, PLAIN does."""
    return {"unencrypted_scram": security != "required", "unencrypted_plain": security == "disabled"}


def _context(authorities: Path | None) -> ssl.SSLContext:
    """TLS that trusts these authorities, or the system's.

    Raises:
        FileUnreadable, ConfigInvalid: the file is not there or not readable, or holds no certificates.
    """
    try:
        return ssl.create_default_context(cafile=authorities)
    except ssl.SSLError:
        raise ConfigInvalid(f"xmpp.ca_file {authorities} is no PEM file of certificates") from None
    except OSError as error:
        raise FileUnreadable(f"xmpp.ca_file {authorities}: {error.strerror}") from None
