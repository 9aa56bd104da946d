"""Ports for programs that must be told theirs, and for tests that want the same one of UDP and TCP."""

import contextlib
import socket


def udp_socket(host: str = "127.0.0.1") -> socket.socket:
    """A UDP socket bound to an address of this machine, the TCP port of which is nobody's just now.

    TCP chooses: a port that Linux binds is an odd one where it can be, a connection's own an even one. So others'
    connections do not take it by and by.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family) as tcp:
            tcp.bind((host, 0))
            udp = socket.socket(family, socket.SOCK_DGRAM)
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return udp
            udp.close()


def free_port() -> int:
    """A port of 127.0.0.1 that is free for both UDP and TCP just now."""
    with udp_socket() as udp:
        port: int = udp.getsockname()[1]
        return port
