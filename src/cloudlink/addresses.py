"""Addresses of clients: which one is the real one behind proxies, and how it appears in logs.

Two uses, two rules (protocol, decision D2). What is *shown* to a client may come from a header anybody
can forge; what *limits and bans* go by counts only what a trusted proxy said.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network

    Network = IPv4Network | IPv6Network

logger = logging.getLogger("cloudlink.transport")

_WITH_PORT = re.compile(r"\[([^]]*)\](?::\d+)?|([\d.]+):\d+")
"""An address as proxies write it that add the port: `[2001:db8::1]:443` or `203.0.113.7:443`."""

_IPV6_PREFIX = 64
"""Bits of an IPv6 address that make one subscriber; the rest is that subscriber's to choose."""

UNKNOWN = "unknown"
"""Stands in logs for an address that is not known or not to be written down."""


class RealAddress:
    """Finds the address that limits and bans go by."""

    def __init__(self, header: str, trusted_proxies: Iterable[str]) -> None:
        """Set up the finder.

        Args:
            header: Name of the header proxies add, `""` for none; its value is a list of hops.
            trusted_proxies: Addresses or networks (CIDR) whose header is believed.
        """
        self._header = header
        self._trusted: list[Network] = [ip_network(proxy, strict=False) for proxy in trusted_proxies]
        self._is_warned = False

    def of(self, remote_address: tuple[str, int] | None, headers: Mapping[str, str]) -> str:
        """Return the last hop that is no trusted proxy, `"unknown"` where the peer has no address."""
        if remote_address is None:
            return UNKNOWN
        peer = remote_address[0]
        if not self._header or not self._trusted or not self.is_trusted(peer):
            return peer
        hops = [hop.strip() for hop in ",".join(_all(headers, self._header)).split(",")]
        for hop in reversed(hops):
            address = _parse(hop)
            if address is None:
                if hop:
                    self._warn()
                return peer
            peer = str(address)
            if not self.is_trusted(peer):
                return peer
        return peer

    def is_trusted(self, text: str) -> bool:
        """Tell whether an address is a trusted proxy's."""
        address = _parse(text)
        return address is not None and any(address in network for network in self._trusted)

    def is_exempt(self, text: str) -> bool:
        """Tell whether limits per address do not apply to an address.

        They do not apply to this machine. Where proxies are trusted, the addresses are those of clients, and only the
        proxies themselves are exempt.
        """
        if self._trusted:
            return self.is_trusted(text)
        address = _parse(text)
        return address is None or address.is_loopback  # a peer without an address is on this machine

    def _warn(self) -> None:
        """Say once that a trusted proxy writes something else into the header than addresses."""
        if not self._is_warned:
            self._is_warned = True
            logger.warning(
                "A trusted proxy sends a header %s that holds something else than addresses: "
                "limits go by the proxy's own address. See real_ip_header.",
                self._header,
            )


@lru_cache(maxsize=1024)
def subscriber(address: str) -> str:
    """Return what limits per address count as one: an IPv4 address, or the /64 network of an IPv6 address.

    An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address. Other text is returned as it is.
    """
    parsed = _parse(address)
    if parsed is None:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)


def shown_address(
    remote_address: tuple[str, int] | None, headers: Mapping[str, str], header: str
) -> str | None:
    """Return the address a client is told is its own: the header's first, else the peer's, without a port."""
    first = headers.get(header, "").split(",")[0].strip() if header else ""
    if first:
        return _without_port(first)
    return remote_address[0] if remote_address else None


def for_log(address: str, mode: str) -> str:
    """Return an address as the log may hold it.

    Args:
        address: An IPv4 or IPv6 address.
        mode: `full` leaves it; `anonymous` clears the last 8 (IPv4) or 80 (IPv6) bits; `none` hides it.
    """
    if mode == "full":
        return address
    parsed = _parse(address) if mode == "anonymous" else None
    if parsed is None:
        return UNKNOWN
    kept = 24 if isinstance(parsed, IPv4Address) else 48
    return str(ip_network((parsed, kept), strict=False).network_address)


def _all(headers: Mapping[str, str], name: str) -> list[str]:
    """Return every value of a header that may stand there several times, as proxies add it."""
    get_all = getattr(headers, "getall", None)
    return list(get_all(name, ())) if get_all is not None else [headers.get(name, "")]


def _without_port(text: str) -> str:
    match = _WITH_PORT.fullmatch(text)
    return match[1] or match[2] or text if match else text


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(_without_port(text))
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
