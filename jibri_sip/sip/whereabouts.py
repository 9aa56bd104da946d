"""What peers and registrars are told of where we are, while that changes. Lives in the event loop."""

from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from jibri_sip.sip.addresses import EVERY_ADDRESS, AddressWatch
from jibri_sip.sip.door import ask_stun
from jibri_sip.sip.settings import SipSettings
from jibri_sip.sip.stun import ASK_EVERY_S, OwnSocket, Seen, SeenFrom
from jibri_sip.sip.thread import PjsipThread
from jibri_sip.sip.transport import Ports

log = structlog.get_logger(__name__)


class Whereabouts:
    """Watches our own address and, where a STUN server tells peers' view of it, that one.

    Args:
        settings: where SIP is spoken.
        thread: PJSIP's.
        told: what peers are told now.
        moved: tells them another address of this machine's; called on the PJSIP thread, as the others are.
        seen: tells them another address and port that the STUN server sees; behind a proxy, of media alone, any port.
        back: told of a network that is there again, or is another one, though peers are told the same as before.
    """

    def __init__(
        self,
        settings: SipSettings,
        thread: PjsipThread,
        told: Callable[[], Ports],
        *,
        moved: Callable[[str], None],
        seen: Callable[[Seen], None],
        back: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._thread = thread
        self._told = told
        self._tell_moved = moved
        self._tell_seen = seen
        self._tell_back = back
        self._watch = AddressWatch(6 if ":" in settings.host else 4, self._hear_of_address)
        self._seen_from: SeenFrom | None = None
        self._own_socket: OwnSocket | None = None
        self._moved_to = ""
        # Behind a proxy: where media is seen; None before the first question, empty while there was no answer.
        self._media_at: str | None = None

    def start(self, addresses: Callable[[str], Awaitable[list[str]]]) -> None:
        """Watch from now on; PJSIP has asked the STUN server for the first time.

        Args:
            addresses: resolves `host` or `host:port`.
        """
        self._watch.start()
        settings, server = self._settings, self._settings.network.stun_server
        if server is None or settings.public_address or ":" in settings.host:
            return
        ask: Callable[[str, int, bytes], Awaitable[object]]
        if settings.signalling_host is None:
            ask = self._ask_from_sip
        else:
            self._own_socket = OwnSocket(settings.host, self.hear)
            ask = self._own_socket.ask
        self._seen_from = SeenFrom(
            server,
            addresses,
            ask,
            settings.network.keep_alive_s or ASK_EVERY_S,
            on_seen=self._see,
            on_silence=self._see_nothing,
        )
        self._seen_from.start()
        if self._own_socket is not None:
            # Calls ask for themselves: what they are told from the beginning has to be known.
            self._seen_from.look_now()

    def close(self) -> None:
        """Watch no more."""
        self._watch.close()
        if self._seen_from is not None:
            self._seen_from.close()
        if self._own_socket is not None:
            self._own_socket.close()

    def hear(self, answer: bytes) -> None:
        """Take what the STUN server answered."""
        if self._seen_from is not None:
            self._seen_from.hear(answer)

    async def _ask_from_sip(self, address: str, port: int, question: bytes) -> None:
        await self._thread.run(partial(ask_stun, address, port, question))

    def _see(self, seen: Seen) -> None:
        moved, self._moved_to = self._moved_to, ""
        before: str | None
        if self._own_socket is None:
            before, now = self._told().address, f"{seen[0]}:{seen[1]}"
        else:
            before, now = self._media_at, seen[0]
            self._media_at = now
        if moved or before not in {None, now}:
            log.warning("public_address_changed", address=seen[0], port=seen[1], before=before)
            self._thread.post(partial(self._tell_seen, seen))

    def _see_nothing(self) -> None:
        self._media_at = self._media_at or ""
        if self._moved_to:
            # As at the start: better our own address than one that is nobody's any more.
            self._see((self._moved_to, self._told().udp))

    def _hear_of_address(self, address: str, moved: bool) -> None:
        told_by_others = self._settings.public_address or self._settings.network.stun_server
        if moved and self._seen_from is not None:
            self._moved_to = address
            self._seen_from.look_now()
        elif moved and self._settings.host in EVERY_ADDRESS and not told_by_others:
            self._thread.post(partial(self._tell_moved, address))
        else:
            self._thread.post(self._tell_back)
            if self._seen_from is not None:
                self._seen_from.look_now()
