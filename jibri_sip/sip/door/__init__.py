"""Where requests of strangers are judged, before PJSIP makes a transaction, a dialog or a call of them."""

from collections.abc import Callable, Iterable
from enum import IntEnum
from importlib import import_module
from typing import Any

import structlog

from jibri_sip.sip.guard import FAILED, Verdict
from jibri_sip.sip.resolver import Server, Target, Transport

log = structlog.get_logger(__name__)

Judge = Callable[[str, str], Verdict]
"""Takes the address that a request came from, without port, and its text."""


class DoorError(Exception):
    """PJSIP did not take the module."""


def open_door(judge: Judge, *, refusal_text: str, retry_after_s: int, keep_alive_s: int) -> None:
    """Have each request outside a dialog judged; on the PJSIP thread, after `libInit`. It ends with PJSIP.

    Peers behind a router that knows nothing of SIP are answered and called where their messages come from. Over TCP and
    TLS, requests of more than 64 kB are refused with 513, and connections that nobody speaks on make room for others.
    Keys of SRTP that have a number are passed over.

    Args:
        judge: says what becomes of a request.
        refusal_text: why a call gets 488, where nothing more exact is said.
        retry_after_s: what is said in a 486 and 503.
        keep_alive_s: seconds between the CRLFs that keep connections up; 0 for none.

    Raises:
        DoorError: PJSIP did not take the module.
    """
    native: Any = import_module("jibri_sip.sip.door._door")
    ffi, lib = native.ffi, native.lib

    def answer(address: Any, message: Any, length: int) -> int:
        try:
            text = ffi.buffer(message, length)[:].decode("utf-8", "surrogateescape")
            verdict = judge(ffi.string(address).decode(), text)
        except Exception:
            # Closed: a message that trips us must not be a key.
            log.exception("door_failed")
            verdict = FAILED
        for name, value in verdict.headers:
            lib.door_add_header(name.encode(), value.encode())
        return verdict.code

    ffi.def_extern(name="door_judge")(answer)
    lib.door_limit_crowd()
    status = (
        lib.door_open(refusal_text.encode(), retry_after_s)
        or lib.door_correct_addresses(keep_alive_s)
        or lib.door_refuse_oversize()
        or lib.door_pass_over_numbered_keys()
    )
    if status != 0:
        raise DoorError(f"PJSIP's status {status}")


class Ice(IntEnum):
    """Whether ICE has the sockets of a stream, and the peer does its part, so that packets are checked by it."""

    NONE = 0
    IDLE = 1
    ACTIVE = 2


def media_sockets(call: int, media: int) -> tuple[tuple[int, ...], Ice]:
    """File descriptors of a stream's UDP sockets, RTP and RTCP; none where ICE has them. On the PJSIP thread.

    Args:
        call: PJSUA's number of the call.
        media: index of the stream in the SDP.
    """
    native: Any = import_module("jibri_sip.sip.door._door")
    rtp, rtcp = native.ffi.new("int *"), native.ffi.new("int *")
    ice = Ice(native.lib.door_media_sockets(call, media, rtp, rtcp))
    return tuple(fd for fd in (rtp[0], rtcp[0]) if fd >= 0), ice


_TRANSPORTS: dict[int, Transport] = {1: "udp", 2: "tcp", 3: "tls"}
"""PJSIP's numbers of them (pjsip_transport_type_e)."""


def resolve_by(ask: Callable[[int, Target], None]) -> None:
    """Have PJSIP's names resolved; on the PJSIP thread, after `libInit`. It ends with PJSIP.

    Args:
        ask: takes a question and its number, on the PJSIP thread. `resolved` is to be called for each.

    Raises:
        DoorError: PJSIP refuses.
    """
    native: Any = import_module("jibri_sip.sip.door._door")
    ffi, lib = native.ffi, native.lib

    def question(query: int, host: Any, port: int, transport: int) -> None:
        name = ffi.string(host).decode("utf-8", "replace")
        ask(query, Target(name, port or None, _TRANSPORTS.get(transport)))

    ffi.def_extern(name="door_resolve", onerror=lambda *_: log.error("resolver_failed"))(question)
    status = lib.door_resolve_here()
    if status != 0:
        raise DoorError(f"PJSIP's status {status}")


def resolved(query: int, servers: Iterable[Server]) -> None:
    """Answer a question with servers, the best first; none for a name that has none. On the PJSIP thread."""
    lib: Any = import_module("jibri_sip.sip.door._door").lib
    numbers = {transport: number for number, transport in _TRANSPORTS.items()}
    for server in servers:
        lib.door_add_server(server.address.encode(), server.port, numbers[server.transport])
    lib.door_resolved(query)


def move_to(address: str) -> None:
    """Tell registrars and peers of running calls another IP address of ours; on the PJSIP thread.

    Args:
        address: of listeners on all addresses; empty where they listen on one, and media on all.

    Raises:
        DoorError: PJSIP refuses.
    """
    status = import_module("jibri_sip.sip.door._door").lib.door_move_to(address.encode())
    if status != 0:
        raise DoorError(f"PJSIP's status {status}")


def hear_stun(hear: Callable[[bytes], object]) -> None:
    """Hand answers of a STUN server over, which came to the question asked last; on the PJSIP thread, after `libInit`.

    Args:
        hear: takes the message, on the PJSIP thread.
    """
    native: Any = import_module("jibri_sip.sip.door._door")

    def answer(message: Any, length: int) -> None:
        hear(bytes(native.ffi.buffer(message, length)))

    native.ffi.def_extern(name="door_stun", onerror=lambda *_: log.error("stun_failed"))(answer)
    native.lib.door_hear_stun()


def ask_stun(address: str, port: int, message: bytes) -> bool:
    """Send a question to a STUN server from the socket where SIP listens by UDP; on the PJSIP thread.

    Returns:
        Whether it could be sent.
    """
    lib: Any = import_module("jibri_sip.sip.door._door").lib
    status: int = lib.door_ask_stun(address.encode(), port, message, len(message))
    return status == 0


def name_udp(host: str, port: int) -> None:
    """Have Via and Contact name another address where SIP listens by UDP; on the PJSIP thread."""
    import_module("jibri_sip.sip.door._door").lib.door_name_udp(host.encode(), port)
