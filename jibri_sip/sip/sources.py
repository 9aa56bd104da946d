"""Whose media is taken: a filter in the kernel, on the sockets of a call's media.

Media goes back to where it comes from (symmetric RTP, RFC 4961): PJMEDIA follows the sender, for behind a router the
address of an SDP is nobody's. So whoever finds the port could have the stream. Packets of strangers never reach
it: a socket filter (BPF, `man 7 socket`) drops them by their source address, encrypted media too.
"""

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal, TypeAlias

import structlog

log = structlog.get_logger(__name__)

MediaFrom = Literal["peer", "network", "anywhere"]
Network: TypeAlias = IPv4Network | IPv6Network

_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
_SO_MEMINFO = 55
_DROPS = 8
"""Place of the count of dropped packets in SO_MEMINFO."""
_WORD = 32
_SOURCE_V4 = 12
_SOURCE_V6 = 8
"""Octets from the IP header's begin to the source address."""
_ETH_IP, _ETH_IPV6 = 0x0800, 0x86DD
_IP_HEADER = 0x100000000 - 0x100000
"""SKF_NET_OFF: offsets from here on are of the IP header."""
_PROTOCOL = 0x100000000 - 0x1000
"""SKF_AD_OFF + SKF_AD_PROTOCOL."""
_LOAD, _AND, _IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_ALL = 0xFFFFFFFF
_PREFIX_V4, _PREFIX_V6 = 24, 64

_Instruction = tuple[int, int, int, int]


def networks(addresses: Iterable[str], media_from: MediaFrom) -> frozenset[Network] | None:
    """Where media may come from; None for anywhere.

    Args:
        addresses: of the peer, as SIP and SDP told them; what is no IP address is left out.
        media_from: the setting.
    """
    if media_from == "anywhere":
        return None
    found: set[Network] = set()
    for text in addresses:
        try:
            address = ip_address(text.strip("[]"))
        except ValueError:
            continue
        length: int = address.max_prefixlen
        if media_from == "network":
            length = _PREFIX_V4 if address.version == 4 else _PREFIX_V6  # noqa: PLR2004
        found.add(ip_network(f"{address}/{length}", strict=False))
    return frozenset(found)


def restrict(fds: Iterable[int], allowed: frozenset[Network] | None) -> None:
    """Drop whatever comes to these UDP sockets from elsewhere; None takes the filter off again.

    Raises:
        OSError: the kernel refuses.
    """
    for fd in fds:
        with socket.socket(fileno=os.dup(fd)) as ours:
            if allowed is None:
                _detach(ours)
            else:
                _attach(ours, program(allowed))


def dropped(fds: Iterable[int]) -> int:
    """Packets that were dropped at these sockets, by the filter or for want of room, since they were opened."""
    total = 0
    for fd in fds:
        with socket.socket(fileno=os.dup(fd)) as ours:
            info = ours.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
            total += struct.unpack_from("I", info, 4 * _DROPS)[0]
    return total


def program(allowed: Iterable[Network]) -> list[_Instruction]:
    """The filter in the kernel's instructions: accept what comes from these networks."""
    instructions: list[_Instruction] = [(_LOAD, 0, 0, _PROTOCOL)]
    ordered = sorted(allowed, key=str)
    for ether, version in ((_ETH_IP, 4), (_ETH_IPV6, 6)):
        block = [step for network in ordered if network.version == version for step in _match(network)]
        block.append((_RETURN, 0, 0, 0))
        # Jumps reach 255 instructions, 14 networks of IPv6 at the least; a call knows three or four addresses.
        instructions.append((_IF_EQUAL, 0, len(block), ether))
        instructions.extend(block)
    instructions.append((_RETURN, 0, 0, 0))
    return instructions


def _match(network: Network) -> list[_Instruction]:
    """Accept a packet from this network; else go on."""
    width = network.max_prefixlen
    base = _IP_HEADER + (_SOURCE_V4 if network.version == 4 else _SOURCE_V6)  # noqa: PLR2004
    address, mask = int(network.network_address), int(network.netmask)
    words = [
        (address >> shift & _ALL, mask >> shift & _ALL, base + 4 * place)
        for place, shift in enumerate(range(width - _WORD, -1, -_WORD))
    ]
    words = [word for word in words if word[1]]
    steps: list[_Instruction] = []
    for place, (value, kept, offset) in enumerate(words):
        rest = 3 * (len(words) - 1 - place) + 1
        steps += [(_LOAD, 0, 0, offset), (_AND, 0, 0, kept), (_IF_EQUAL, 0, rest, value)]
    return [*steps, (_RETURN, 0, 0, _ALL)]


def _attach(sock: socket.socket, instructions: list[_Instruction]) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("HP", len(instructions), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)


def _detach(sock: socket.socket) -> None:
    # There may be none.
    with contextlib.suppress(FileNotFoundError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
