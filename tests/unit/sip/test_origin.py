"""Where a message really came from, by its Via fields (RFC 3261 sections 18.2.1, 20.42)."""

from ipaddress import ip_network

import pytest

from jibri_sip.sip.origin import origin

PROXY = "192.0.2.1"
DISPATCHERS = [ip_network("192.0.2.0/28"), ip_network("2001:db8::/64")]


def message(*vias: str, body: str = "") -> str:
    """A request with these lines of Via."""
    return "\r\n".join(["INVITE sip:a@b SIP/2.0", *vias, "To: <sip:a@b>", "", body])


@pytest.mark.parametrize(
    ("vias", "expected"),
    [
        ([], PROXY),
        (["Via: SIP/2.0/UDP 192.0.2.1"], PROXY),
        (["Via: SIP/2.0/UDP 192.0.2.1", "Via: SIP/2.0/UDP 198.51.100.7:5060;rport"], "198.51.100.7"),
        (["v:SIP/2.0/UDP 192.0.2.1,SIP/2.0/UDP 10.1.1.1;received=198.51.100.7"], "198.51.100.7"),
        (["Via: SIP/2.0/UDP 192.0.2.1", "Via: SIP / 2.0 / TLS host;received=[2001:db8:1::5]"], "2001:db8:1::5"),
        # Through two of ours, and no further than the first that is not.
        (["Via: x", "Via: SIP/2.0/TCP 192.0.2.2", "Via: SIP/2.0/UDP 198.51.100.7"], "198.51.100.7"),
        (["Via: x", "Via: SIP/2.0/TCP 203.0.113.9", "Via: SIP/2.0/UDP 198.51.100.7"], "203.0.113.9"),
        # A forged one before that of the proxy.
        (["Via: x", "Via: SIP/2.0/UDP h;received=192.0.2.3;received=198.51.100.7"], "198.51.100.7"),
        # Nothing to go by.
        (["Via: x", "Via: SIP/2.0/UDP host.example.com;branch=1"], PROXY),
        (["Via: x", "Via: nonsense"], PROXY),
        (["Via: x", "Via: SIP/2.0/UDP\r\n 198.51.100.7"], "198.51.100.7"),
    ],
)
def test_beyond_a_dispatcher(vias: list[str], expected: str) -> None:
    """The address that the last of our proxies had it from."""
    assert origin(message(*vias), PROXY, DISPATCHERS) == expected


def test_from_elsewhere() -> None:
    """Whoever is no dispatcher is the origin, whatever is written there."""
    vias = ("Via: SIP/2.0/UDP 192.0.2.1", "Via: SIP/2.0/UDP 198.51.100.7")
    assert origin(message(*vias), "203.0.113.5", DISPATCHERS) == "203.0.113.5"


def test_the_body_is_none_of_it() -> None:
    """Lines below the header fields are not looked at."""
    assert origin(message("Via: x", body="Via: y\r\nVia: SIP/2.0/UDP 198.51.100.7"), PROXY, DISPATCHERS) == PROXY
