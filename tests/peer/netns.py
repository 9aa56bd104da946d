"""Networks of a test's own: the test runs as root of a user namespace, in which it makes and unmakes them.

A test that is marked `own_network` runs in a process of its own, in a network namespace with nothing in it but loopback
(tests/conftest.py). There it may make others, and cables between them.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_START_S = 20.0


def ip(*words: str, inside: "Net | None" = None) -> None:
    """Run `ip` here or inside another network."""
    prefix = inside.prefix if inside is not None else []
    subprocess.run([*prefix, "ip", *words], check=True)


class Net:
    """Another network namespace, for as long as its process lives."""

    def __init__(self) -> None:
        self._keeper = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        deadline = time.monotonic() + _START_S
        while self._inode(self._keeper.pid) == self._inode(os.getpid()):
            assert time.monotonic() < deadline, "unshare made no network"
            time.sleep(0.01)
        ip("link", "set", "lo", "up", inside=self)

    @staticmethod
    def _inode(pid: int) -> str:
        return str(Path(f"/proc/{pid}/ns/net").readlink())

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return self._keeper.pid

    @property
    def prefix(self) -> list[str]:
        """What to put before a command to run it in there."""
        return ["nsenter", "--target", str(self.pid), "--net"]

    def udp(self, address: str, port: int = 0) -> socket.socket:
        """A UDP socket in there; it stays there whoever uses it."""
        made: list[socket.socket] = []

        def make() -> None:
            with Path(f"/proc/{self.pid}/ns/net").open() as file:
                libc = ctypes.CDLL(None, use_errno=True)
                assert libc.setns(file.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((address, port))
            sock.setblocking(False)
            made.append(sock)

        # Of a thread, the network is its own affair.
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    def close(self) -> None:
        """End it."""
        self._keeper.terminate()
        self._keeper.wait()


@contextlib.contextmanager
def net() -> Iterator[Net]:
    """Another network."""
    made = Net()
    try:
        yield made
    finally:
        made.close()


def cable(here: str, there: str, far: Net, *, near: Net | None = None) -> None:
    """A cable from an interface `here` (in `near`, or in the test's network) to one `there` in `far`, both up."""
    end = ["netns", str(near.pid)] if near is not None else []
    ip("link", "add", here, *end, "type", "veth", "peer", "name", there, "netns", str(far.pid))
    ip("link", "set", here, "up", inside=near)
    ip("link", "set", there, "up", inside=far)


def masquerade(router: Net, outside: str) -> None:
    """Have `router` forward, and put its own address on all that leaves by the interface `outside`."""
    subprocess.run([*router.prefix, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"], check=True)
    rules = f"""
table ip nat {{
    chain post {{
        type nat hook postrouting priority 100;
        oifname "{outside}" masquerade
    }}
}}
"""
    nft(router, rules)


def nft(router: Net, rules: str) -> None:
    """Give the packet filter of a network these rules."""
    subprocess.run([*router.prefix, "/usr/sbin/nft", "--file", "-"], input=rules + "\n", text=True, check=True)
