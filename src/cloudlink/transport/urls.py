"""Where people are told to connect: addresses that they can use, also when the server listens on all of them."""

from __future__ import annotations

import ipaddress
import re
import socket

_EVERY_IPV4 = ("", "0.0.0.0")  # noqa: S104  # compared, not listened on
_EVERY_IPV6 = "::"
_LOOPBACK_IPV4 = "127.0.0.1"
_LOOPBACK_IPV6 = "::1"
_ELSEWHERE_IPV4 = ("192.0.2.1", 9)
_ELSEWHERE_IPV6 = ("2001:db8::1", 9)
"""Addresses for documentation (RFC 5737 and 3849), at the discard port: nobody is there."""

_UNUSABLE_HOST = re.compile(r"(?:(?P<ipv4>0\.0\.0\.0)|\[::\])(?=:|$)")


def where_to_connect(host: str, port: int, *, secure: bool) -> str:
    """Return where clients reach a server, such as `ws://127.0.0.1:3000/`, to follow "connect to".

    Args:
        host: What the server listens on; for every address, this machine's own one in its network is told too.
        port: The port.
        secure: Whether it speaks TLS.
    """
    scheme = "wss" if secure else "ws"
    if host in _EVERY_IPV4:
        here, network = _LOOPBACK_IPV4, _own_address(socket.AF_INET, _ELSEWHERE_IPV4)
    elif host == _EVERY_IPV6:  # asyncio keeps IPv4 out of such a socket
        here, network = _LOOPBACK_IPV6, _own_address(socket.AF_INET6, _ELSEWHERE_IPV6)
    else:
        here, network = host, ""
    text = f"{scheme}://{_in_url(here)}:{port}/"
    return f"{text}, others on your network to {scheme}://{_in_url(network)}:{port}/" if network else text


def usable_host(host: str) -> str:
    """Return a Host header, with this machine's own address for the one that means all of them.

    Browsers on Linux and macOS open `http://0.0.0.0:3000/`, but pages of editors cannot connect there.
    """
    match = _UNUSABLE_HOST.match(host)
    if match is None:
        return host
    return _in_url(_LOOPBACK_IPV4 if match["ipv4"] else _LOOPBACK_IPV6) + host[match.end() :]


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _own_address(family: socket.AddressFamily, elsewhere: tuple[str, int]) -> str:
    """Return the address this machine would send from, empty where it cannot tell.

    Connecting a UDP socket only chooses a route: nothing is sent.
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(elsewhere)
            own = probe.getsockname()[0]
        address = ipaddress.ip_address(own)
    except (OSError, ValueError):  # no network, no IPv6, or an address with a zone
        return ""
    # A link-local address needs the name of the interface beside it, which no browser takes.
    return "" if address.is_loopback or address.is_link_local or address.is_unspecified else str(address)
