"""Calls, many of them: `python -m tests.peer.flood PORT CALLS SECONDS` tells as JSON what became of them."""

import json
import re
import secrets
import select
import socket
import sys
import time

_LINGER_S = 3.0
_SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\n"
    "a=rtpmap:0 PCMU/8000\r\n"
)


def invite(port: int, sock: socket.socket) -> bytes:
    """One more call."""
    local = "{}:{}".format(*sock.getsockname())
    return (
        f"INVITE sip:demo@127.0.0.1:{port} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {local};branch=z9hG4bK{secrets.token_hex(8)};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:flood@{local}>;tag={secrets.token_hex(4)}\r\nTo: <sip:demo@127.0.0.1>\r\n"
        f"Call-ID: {secrets.token_hex(8)}\r\nCSeq: 1 INVITE\r\nContact: <sip:flood@{local}>\r\n"
        f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}\r\n\r\n{_SDP}"
    ).encode()


def main() -> None:
    """Send them evenly, and count the final answers."""
    port, calls, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    sockets = []
    for number in range(30):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((f"127.0.2.{number + 1}", 0))
        sock.setblocking(False)
        sockets.append(sock)
    answered: dict[str, bool] = {}
    begin = time.monotonic()
    sent = 0
    while sent < calls or time.monotonic() - begin < seconds + _LINGER_S:
        while sent < calls and sent / calls * seconds <= time.monotonic() - begin:
            sock = sockets[sent % len(sockets)]
            sock.sendto(invite(port, sock), ("127.0.0.1", port))
            sent += 1
        for ready in select.select(sockets, [], [], 0.005)[0]:
            text = ready.recv(65536).decode()
            if re.match(r"SIP/2\.0 (?:486|503)", text):
                call = re.search(r"(?im)^(?:call-id|i)\s*:\s*(\S+)", text)
                answered[call[1] if call else ""] = bool(re.search(r"(?im)^retry-after:", text))
    print(json.dumps({"sent": sent, "refused": len(answered), "retry_after": sum(answered.values())}))


if __name__ == "__main__":
    main()
