"""Session descriptions without what they need not say, so that our requests fit into a UDP packet (RFC 3261 18.1.1)."""

import re
from collections.abc import Iterator

_NEEDLESS = re.compile(r"a=(X-nat:|ssrc:\d+ cname:|sendrecv$)")
"""PJSIP's own hint, what RTCP says too (RFC 5576), and the direction that is meant without a word (RFC 3264 5.1)."""
_KNOWN = re.compile(r"a=rtpmap:(0 PCMU|8 PCMA|9 G722)/8000")
"""What these numbers have meant since RFC 1890. Opus' `stereo=0` and `sprop-stereo=0` stay, though they are the default
(RFC 7587 section 6.1): baresip 1.0 does not know that."""
_PORT = re.compile(r"m=\w+ (\d+)")
_RTCP = re.compile(r"a=rtcp:(\d+)\b")


def slimmed(sdp: str, *, one_key: bool) -> str:
    """The session description, with the same meaning in fewer bytes.

    Args:
        sdp: lines ended by CRLF.
        one_key: keep the first SDES key of each stream only (RFC 4568); in an offer the others are alternatives.
    """
    head, *media = re.split(r"(?m)^(?=m=)", sdp)
    lines = [line for section in media for line in _slim(section.splitlines(), one_key=one_key)]
    addresses = [line for line in lines if line.startswith("c=")]
    head_lines = ["s=-" if line.startswith("s=") else line for line in head.splitlines() if not _NEEDLESS.match(line)]
    if len(addresses) == len(media) and len(set(addresses)) == 1:
        # One for all (RFC 4566 section 5.7); it comes before `b=` and `t=`.
        head_lines = [line for line in head_lines if not line.startswith("c=")]
        head_lines.insert(head_lines.index("s=-") + 1, addresses[0])
        lines = [line for line in lines if not line.startswith("c=")]
    return "".join(f"{line}\r\n" for line in (*head_lines, *lines))


def _slim(section: list[str], *, one_key: bool) -> Iterator[str]:
    port = _PORT.match(section[0])
    keys = 0
    for line in section:
        rtcp = _RTCP.match(line)
        keys += line.startswith("a=crypto:")
        if (
            _NEEDLESS.match(line)
            or _KNOWN.match(line)
            # One above the port is where it is anyway (RFC 3605 section 2.1).
            or (rtcp and port and int(rtcp[1]) == int(port[1]) + 1)
            or (one_key and keys > 1 and line.startswith("a=crypto:"))
        ):
            continue
        yield line
