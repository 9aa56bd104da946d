"""The SIP endpoint: PJSIP set up, its sockets, and the calls that come and go."""

import asyncio
import contextlib
import dataclasses
import gc
import threading
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Literal

import pjsua2 as pj
import structlog

from jibri_sip.dial_plan import SipAccount
from jibri_sip.errors import DestinationInvalid, RegistrationFailed
from jibri_sip.sip import codecs, library, message, native, sources, steering, trace, transport
from jibri_sip.sip.account import Account, account_config, provider_config
from jibri_sip.sip.call import Call, Facts
from jibri_sip.sip.capabilities import tell_capabilities
from jibri_sip.sip.certificates import Stack
from jibri_sip.sip.door import hear_stun, move_to, name_udp, open_door
from jibri_sip.sip.events import CallEvent, Ended
from jibri_sip.sip.guard import RETRY_AFTER_S, Guard
from jibri_sip.sip.leg import Leg, Wiring
from jibri_sip.sip.names import Names
from jibri_sip.sip.outgoing import SILENT_S, Invite, is_of_server
from jibri_sip.sip.provider import Provider
from jibri_sip.sip.reception import Reception
from jibri_sip.sip.resolver import Resolver, resolver_for
from jibri_sip.sip.sending import speak_briefly
from jibri_sip.sip.settings import DeviceNames, SipSettings, Srtp
from jibri_sip.sip.stun import Seen
from jibri_sip.sip.thread import PjsipThread, SipError
from jibri_sip.sip.transfer import Transfers
from jibri_sip.sip.transport import Ports
from jibri_sip.sip.whereabouts import Whereabouts

log = structlog.get_logger(__name__)

_HANG_UP_S = 1.0
_CLOSE_S = 5.0
_REFUSALS: dict[Srtp, str] = {
    "required": "Calls are taken with encrypted media (SRTP) only",
    "off": "Calls are taken without encryption of media (SRTP) only",
    "optional": "Nothing in the offer can be had here",
}
"""Why an offer is refused, where PJSIP does not say so more exactly."""
_UNAVAILABLE = 503
_NEW_CALL = -1
"""PJSUA_INVALID_ID."""

_ALONE = threading.Lock()


class Endpoint:
    """A SIP user agent. There can be one in a process at a time.

    Args:
        settings: where and how to speak SIP.
        devices: registers the devices with PJMEDIA and says their names; called on the PJSIP thread once PJMEDIA
            runs, at each start.
        on_incoming: called in the event loop with each call that comes in. PJSIP has answered 100; it is for
            this function to see that the call is answered or rejected.

    Attributes:
        ports: where it listens.
        home: the account to call with where a call has none of its own; None for none.
    """

    def __init__(
        self, settings: SipSettings, devices: Callable[[], DeviceNames], on_incoming: Callable[[Call], None]
    ) -> None:
        self.ports = Ports(0, None, None, "")
        self.home: Provider | None = None
        # Both versions of IP: IPv4 is as if it were alone, and IPv6 is for peers that have it.
        both = settings.host == "::"
        self._six = settings if both and settings.signalling_host is None else None
        self._settings = dataclasses.replace(settings, host="0.0.0.0") if both else settings  # noqa: S104
        self._devices = devices
        self._on_incoming = on_incoming
        self._reception = Reception(Guard(settings.access).judge, settings.options_when_busy)
        self._thread = PjsipThread()
        self._whereabouts = Whereabouts(
            self._settings,
            self._thread,
            lambda: self.ports,
            moved=self._move,
            seen=self._move_public,
            back=self._register_anew,
        )
        self._loop: asyncio.AbstractEventLoop
        # Lives on the PJSIP thread, as do all that follow.
        self._pj: Stack | None = None
        self._account: Account | None = None
        self._secure_account: Account | None = None
        self._account6: Account | None = None
        self._providers: list[Provider] = []
        self._resolver: Resolver
        self._names: Names | None = None
        self._provider_config: Callable[[SipAccount], pj.AccountConfig]
        self._wiring: Wiring | None = None
        self._closing = False
        self._legs: dict[str, Leg] = {}
        self._silent: set[Leg] = set()
        self._relays: frozenset[sources.Network] = frozenset()
        self._all_over = asyncio.Event()
        self._steering: asyncio.Task[None] | None = None

    def say_free(self, *, free: bool) -> None:
        """Tell those who ask by OPTIONS from now on whether a call would be taken; they hear yes at first."""
        self._reception.free = free

    async def start(self) -> None:
        """Open the sockets and get ready for calls.

        Raises:
            PortInUse: another program has one of the ports.
            AddressUnavailable: this machine does not have the address.
            FileUnreadable: a file of the TLS settings.
            SipError: PJSIP cannot start, or lacks one of the devices.
        """
        self._loop = asyncio.get_running_loop()
        self._resolver = resolver_for(self._settings)
        self._relays = await self._find_relays()
        self._thread.start()
        try:
            self.ports = await self._thread.run(self._set_up)
        except BaseException:
            await self.close()
            raise
        self._whereabouts.start(self._resolver.addresses)
        self._steering = asyncio.create_task(steering.rounds(self._thread, self._legs))
        log.info("sip_listening", host=self._settings.host, udp=self.ports.udp, tcp=self.ports.tcp, tls=self.ports.tls)

    async def answers(self) -> None:
        """Return when PJSIP's thread has come to us: soon, unless it hangs.

        Raises:
            SipError: the endpoint is closed.
        """
        await self._thread.run(lambda: None)

    async def close(self) -> None:
        """Hang up what is left and close the sockets, within seconds. Can be called again."""
        self._whereabouts.close()
        if self._steering is not None:
            self._steering.cancel()
        try:
            await asyncio.wait_for(self._thread.run(self._hang_up_all), _CLOSE_S)
            await self._wait_for_legs()
            await asyncio.wait_for(self._thread.run(self._tear_down), _CLOSE_S)
        except SipError as error:
            log.debug("sip_closed_already", reason=str(error))
        except TimeoutError:
            log.exception("sip_close_timed_out")
        self._thread.stop()
        await self._thread.joined(_CLOSE_S)

    async def dial(
        self,
        uri: str,
        *,
        caller_name: str = "",
        video: bool = True,
        timeout_s: float = 60.0,
        headers: Mapping[str, str] | None = None,
        provider: Provider | None = None,
    ) -> Call:
        """Call a peer; what becomes of it is told by the call's events.

        Args:
            uri: `sip:user@host`, perhaps with `:port` and `;transport=tcp`.
            caller_name: display name in From.
            video: whether to offer video.
            timeout_s: how long the peer may ring, in seconds; then the call is cancelled and ends with 408.
            headers: more header fields of the INVITE.
            provider: the account to call with; None for `home`.

        Raises:
            DestinationInvalid: `uri` is no SIP address that PJSIP can read.
            ValueError: a header field is malformed.
            PortInUse: all ports for media are taken.
            SipError: PJSIP cannot call: no such transport, no network.
        """
        try:
            target = message.SipUri.parse(uri)
        except ValueError:
            raise DestinationInvalid(message.readable(uri)) from None
        for name, value in (headers or {}).items():
            message.check_header(name, value)
        invite = Invite(uri, target, caller_name, video, dict(headers or {}), provider or self.home)
        call: Call = await self._thread.run(partial(self._dial, invite))
        call.cancel_after(timeout_s)
        return call

    async def sign_on(self, login: SipAccount) -> Provider:
        """Have an account for one session, and register it if it has a password: calls to it come in as all others do.

        Returns:
            At once; whether the registrar said yes is to be asked of the account.

        Raises:
            RegistrationFailed: the account's addresses are no SIP addresses, or of a transport that we do not have.
        """
        return await self._thread.run(partial(self._sign_on, login))

    async def _find_relays(self) -> frozenset[sources.Network]:
        network = self._settings.network
        servers = filter(None, (network.stun_server, network.turn.server))
        found = [await self._resolver.addresses(server) for server in servers]
        return sources.networks((address for some in found for address in some), "peer") or frozenset()

    def _look_for_answer(self, call: Call, invite: Invite) -> None:
        if call.ended is None and not call.is_heard and self._resolver.give_up(invite.next_hop):
            self._thread.post(partial(self._try_next, call, invite))

    def _take_refusal(self, call: Call, invite: Invite, refusal: Ended) -> None:
        if call.ended is None and self._resolver.give_up(invite.next_hop):
            self._thread.post(partial(self._try_next, call, invite))
        else:
            call.emit(refusal)
            self._thread.post(partial(self._forget, call))

    # On the PJSIP thread -------------------------------------------------------------------------

    def _set_up(self) -> Ports:
        # A second one would abort the process: PJSIP's C++ throws what nobody catches.
        if not _ALONE.acquire(blocking=False):
            raise SipError("there is a SIP endpoint in this process already")
        trace.hush()
        endpoint = self._pj = Stack()
        endpoint.libCreate()
        endpoint.libInit(library.config(self._settings))
        open_door(
            self._reception.judge,
            refusal_text=_REFUSALS[self._settings.srtp],
            retry_after_s=RETRY_AFTER_S,
            keep_alive_s=self._settings.network.keep_alive_s,
        )
        hear_stun(lambda answer: self._loop.call_soon_threadsafe(self._whereabouts.hear, answer))
        native.install()
        self._names = Names(self._resolver, self._thread, self._loop)
        self._names.start()
        speak_briefly(transfers=self._settings.transfer is not None)
        tell_capabilities(self._settings)
        names = self._devices()
        ports = transport.listen(endpoint, self._settings)
        endpoint.libStart()
        self._thread.poll = endpoint.libHandleEvents
        codecs.choose(endpoint, self._settings.audio_codecs, self._settings.picture)
        screen = library.open_devices(endpoint, names)
        camera = library.video_device(endpoint, names.camera)
        own = ports.uri
        self._account = self._add_account(own, screen, camera, self._settings)
        if ports.tls is not None:
            # Only an account of that scheme says `sips` in Contact, which a call by it must (RFC 5630 section 5.1.1.1).
            self._secure_account = self._add_account(ports.secure_uri, screen, camera, self._settings)
            endpoint.secure_account = self._secure_account.getId()
        if self._six is not None:
            six = transport.listen(endpoint, self._six, port=ports.udp)
            self._account6 = self._add_account(six.uri, screen, camera, self._six)
            endpoint.ipv6_account = self._account6.getId()
        self._account.setDefault()
        self._provider_config = partial(provider_config, self._settings, own, screen=screen, camera=camera)
        self._wiring = Wiring(
            endpoint,
            self._thread,
            screen,
            sound=names.sound is not None,
            dscp_video=self._settings.dscp_video,
            bitrate=self._settings.picture.bitrate,
            media_from=self._settings.network.media_from,
            rtp_ports=(self._settings.rtp_port_first, self._settings.rtp_port_last),
            relays=self._relays,
            dispatchers=tuple(ip_network(text) for text in self._settings.access.dispatchers),
            encrypted_only=self._settings.srtp == "required",
            transfers=Transfers(allowed, self._begin_after) if (allowed := self._settings.transfer) else None,
        )
        return ports

    def _add_account(self, uri: str, screen: int, camera: int, settings: SipSettings) -> Account:
        config = account_config(settings, uri, screen, camera)
        account = Account(uri, self._take, config)
        account.create(config)
        return account

    def _sign_on(self, login: SipAccount) -> Provider:
        if self._wiring is None:
            raise SipError("the SIP endpoint is closed")
        try:
            config = self._provider_config(login)
        except ValueError as error:
            raise RegistrationFailed(str(error)) from None
        account = Account(f"sip:{login.user}" if login.user else config.idUri, self._take, config)
        proxy = message.SipUri.parse(login.proxy).host if login.proxy else ""
        registrar = config.regConfig.registrarUri
        server = proxy or (message.SipUri.parse(registrar).host if registrar else "")
        provider = Provider(
            account,
            self._loop,
            self._sign_off,
            self._thread.post,
            registers=login.password is not None,
            proxy_host=proxy,
            give_up=partial(self._resolver.give_up, server),
        )
        try:
            account.create(config)
        except pj.Error as error:
            raise RegistrationFailed(error.reason) from None
        self._providers.append(provider)
        return provider

    async def _sign_off(self, provider: Provider) -> None:
        await self._thread.run(partial(self._drop, provider))

    def _drop(self, provider: Provider) -> None:
        account, provider.account = provider.account, None
        if account is not None:
            self._providers.remove(provider)
            account.shutdown()

    def _move(self, address: str) -> None:
        if self._settings.signalling_host is None:
            self._tell(self.ports.at(address, self.ports.udp))
        for account in (self._account, self._secure_account, *(provider.account for provider in self._providers)):
            if account is not None:
                account.move(address)
        move_to("" if self._settings.signalling_host else address)
        self._register_anew()

    def _move_public(self, seen: Seen) -> None:
        if self._settings.signalling_host is None:
            name_udp(*seen)
            self._tell(self.ports.at(*seen))
        # Each call's media is asked about by PJSIP itself.
        move_to("")
        self._register_anew()

    def _tell(self, ports: Ports) -> None:
        self.ports = ports
        if self._account is not None:
            self._account.uri = ports.uri
        if self._secure_account is not None:
            self._secure_account.uri = ports.secure_uri

    def _register_anew(self) -> None:
        for provider in self._providers:
            provider.register()

    def _take(self, account: Account, call_id: int, invite: pj.SipRxData) -> None:
        if self._wiring is None:
            raise SipError("not set up yet")
        uri, headers = message.parse_request(invite.wholeMsg)
        leg = Leg(account, call_id, self._wiring)
        info = leg.getInfo()
        asserted = message.asserted_identity(headers) if self._trusts(invite.srcAddress) else None
        name, remote = asserted or message.split_address(info.remoteUri)
        video = not info.remOfferer or info.remVideoCount > 0
        call = Call(self._thread, self._loop, "incoming", Facts(info.callIdString, remote, name, uri, headers, video))
        self._adopt(call, leg, video=video)
        if "100rel" in ",".join(headers.get("require", ())).lower():
            leg.expect_prack()
        self._loop.call_soon_threadsafe(self._on_incoming, call)

    def _trusts(self, address: str) -> bool:
        source = ip_address(address.rpartition(":")[0].strip("[]"))
        return any(source in ip_network(text) for text in self._settings.access.trusted_proxies)

    def _dial(self, invite: Invite) -> Call:
        if self._pj is not None and self._pj.utilVerifySipUri(invite.uri) != 0:
            raise DestinationInvalid(message.readable(invite.uri))
        call = Call(self._thread, self._loop, "outgoing", Facts("", invite.uri, "", invite.target, {}, invite.video))
        self._attempt(call, invite)
        return call

    def _attempt(self, call: Call, invite: Invite) -> None:
        account = self._own_account(invite.target) if invite.provider is None else invite.provider.account
        if self._pj is None or account is None or self._wiring is None:
            raise SipError("the SIP endpoint is closed")
        leg = Leg(account, _NEW_CALL, self._wiring)
        self._adopt(call, leg, invite=invite, video=invite.video)
        try:
            invite.send(leg, account.uri)
        except pj.Error as error:
            self._forget(call)
            transport.explain_media(error, self._settings)
            raise
        call.facts = dataclasses.replace(call.facts, sip_call_id=leg.getInfo().callIdString)
        self._loop.call_soon_threadsafe(self._loop.call_later, SILENT_S, self._look_for_answer, call, invite)

    def _begin_after(self, before: Leg, direction: Literal["incoming", "outgoing"], facts: Facts) -> tuple[Leg, Call]:
        if self._wiring is None:
            raise SipError("the SIP endpoint is closed")
        call = Call(self._thread, self._loop, direction, facts)
        leg = Leg(before.account, _NEW_CALL, self._wiring)
        self._adopt(call, leg, video=True)
        return leg, call

    def _try_next(self, call: Call, invite: Invite) -> None:
        self._drop_attempt(call)
        try:
            self._attempt(call, invite)
        except (pj.Error, SipError) as error:
            log.warning("next_server_not_called", reason=str(error))
            call.emit(Ended(_UNAVAILABLE, "No server answers", by_peer=False, answered=False))

    def _drop_attempt(self, call: Call) -> None:
        """Give up a call's INVITE that nobody answers; its leg lives until PJSIP has, too."""
        leg = self._legs.pop(call.id, None)
        if leg is not None and leg.isActive():
            self._silent.add(leg)
            leg.listen(partial(self._end_attempt, leg), video=False)
            leg.end(0, "")

    def _end_attempt(self, leg: Leg, event: CallEvent) -> None:
        if isinstance(event, Ended):
            self._thread.post(partial(self._silent.discard, leg))

    def _own_account(self, target: message.SipUri) -> Account | None:
        if self._account6 is not None and target.host.startswith("["):
            return self._account6
        return self._secure_account or self._account if target.scheme == "sips" else self._account

    def _adopt(self, call: Call, leg: Leg, *, video: bool, invite: Invite | None = None) -> None:
        leg.listen(partial(self._emit, call, invite), video=video)
        call.attach(leg)
        self._legs[call.id] = leg

    def _emit(self, call: Call, invite: Invite | None, event: CallEvent) -> None:
        if invite is not None and isinstance(event, Ended) and is_of_server(event):
            self._loop.call_soon_threadsafe(self._take_refusal, call, invite, event)
            return
        call.emit(event)
        if isinstance(event, Ended):
            # Not now: PJSIP is in the middle of a callback of it.
            self._thread.post(partial(self._forget, call))

    def _forget(self, call: Call) -> None:
        call.detach()
        self._legs.pop(call.id, None)
        self._tell_if_over()

    def _tell_if_over(self) -> None:
        if self._closing and not self._legs:
            self._loop.call_soon_threadsafe(self._all_over.set)

    def _hang_up_all(self) -> None:
        self._closing = True
        self._tell_if_over()
        for leg in self._legs.values():
            leg.end(pj.PJSIP_SC_SERVICE_UNAVAILABLE, "Shutting down")

    async def _wait_for_legs(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANG_UP_S):
                await self._all_over.wait()

    def _tear_down(self) -> None:
        self._thread.poll = None
        if self._names is not None:
            self._names.close()
        self._legs.clear()
        self._silent.clear()
        self._wiring = None
        for provider in list(self._providers):
            self._drop(provider)
        for account in filter(None, (self._account6, self._secure_account, self._account)):
            account.shutdown()
            del account
        self._account6 = self._secure_account = self._account = None
        self._pj, endpoint = None, self._pj
        # What died in a cycle must go before its library does.
        gc.collect()
        if endpoint is not None:
            # All calls have had their chance; PJSIP would wait another second for nothing.
            try:
                endpoint.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)
            finally:
                del endpoint
                _ALONE.release()
