"""The addresses that users can connect to, even if the server listens on a wildcard address."""

from __future__ import annotations

import ipaddress
import socket

from cloudlink.hosts import EVERY, parse_hosts, unix_path

_EVERY_IPV4 = "0.0.0.0"  # noqa: S104  # compared, not listened on
_LOOPBACK_IPV4 = "127.0.0.1"
_ELSEWHERE_IPV4 = ("192.0.2.1", 9)
_ELSEWHERE_IPV6 = ("2001:db8::1", 9)
"""Addresses for documentation (RFC 5737 and 3849), at the discard port; nothing is sent to them."""


def where_to_connect(hosts: str, port: int, *, secure: bool) -> str:
    """Return where clients reach a server, such as `ws://127.0.0.1:3000/`, to follow "connect to".

    Args:
        hosts: The setting `host`; if it means every address, the result includes this machine's own in its network.
        port: The port.
        secure: Whether the server uses TLS.
    """
    scheme = "wss" if secure else "ws"
    entries = parse_hosts(hosts)
    network = _network_address(entries)
    here = []
    for entry in entries:
        path = unix_path(entry)
        if path is not None:
            here.append(f"unix:{path} through a proxy on this machine")
            continue
        address = _LOOPBACK_IPV4 if entry in (EVERY, _EVERY_IPV4) else entry
        here.append(f"{scheme}://{_in_url(address)}:{port}/")
    text = " or ".join(dict.fromkeys(here))
    return f"{text}, others on your network to {scheme}://{_in_url(network)}:{port}/" if network else text


def url_for_others(hosts: str, port: int, *, secure: bool) -> str:
    """Return the one URL to give to others, such as `ws://192.168.1.20:3000/`; empty without any.

    It is of this machine's address in its network if the server listens there, else of the first address that it
    listens on; its arguments are those of `where_to_connect`.
    """
    entries = [entry for entry in parse_hosts(hosts) if unix_path(entry) is None]
    address = _network_address(entries) or next(iter(entries), "")
    if address in (EVERY, _EVERY_IPV4):
        address = _LOOPBACK_IPV4
    return f"{'wss' if secure else 'ws'}://{_in_url(address)}:{port}/" if entries else ""


def _network_address(entries: list[str]) -> str:
    """Return this machine's address in its network if a server listens on every address, else nothing."""
    network = ""
    if EVERY in entries or _EVERY_IPV4 in entries:
        network = _own_address(socket.AF_INET, _ELSEWHERE_IPV4)
    if EVERY in entries and not network:
        network = _own_address(socket.AF_INET6, _ELSEWHERE_IPV6)
    return network


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _own_address(family: socket.AddressFamily, elsewhere: tuple[str, int]) -> str:
    """Return the address this machine would send from, empty if unknown.

    Connecting a UDP socket only chooses a route: nothing is sent.
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(elsewhere)
            own = probe.getsockname()[0]
        address = ipaddress.ip_address(own)
    except (OSError, ValueError):  # no network, no IPv6, or an address with a zone
        return ""
    # A link-local address needs the name of an interface, which no browser accepts.
    return "" if address.is_loopback or address.is_link_local or address.is_unspecified else str(address)
