"""Addresses of clients: the real address behind proxies, and its form in logs.

There are two uses with two rules (protocol, decision D2). The address *shown* to a client may come from a header
that anybody can forge; *limits and bans* use only the address reported by a trusted proxy.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import TYPE_CHECKING

from cloudlink import forwarded
from cloudlink.hosts import is_this_machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network

    Network = IPv4Network | IPv6Network

logger = logging.getLogger("cloudlink.transport")

_WITH_PORT = re.compile(r"\[([^]]*)\](?::\d+)?|([\d.]+):\d+")
"""An address with a port, as some proxies write it: `[2001:db8::1]:443` or `203.0.113.7:443`."""

_MAPPED = bytes(10) + b"\xff\xff"
"""The beginning of IPv4 addresses in IPv6 form."""
_IPV6_PREFIX = 64
"""Bits of an IPv6 address that identify a subscriber; the subscriber chooses the rest."""
_LONGEST_REMEMBERED = 64
"""Most characters of a text whose address is remembered, so that long headers of strangers do not stay in memory."""
_PRIVATE: list[Network] = [
    ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
]
"""Private and link-local networks (RFC 1918, 3927, 4193, 4291). `ipaddress` considers many others private too."""

UNKNOWN = "unknown"
"""Replaces an address that is unknown or must not be logged."""
UNIX = "unix"
"""The address of all peers on Unix sockets, which are programs on this machine."""


class RealAddress:
    """Finds the address for limits and bans."""

    def __init__(self, header: str, trusted_proxies: Iterable[str]) -> None:
        """Set up the finder.

        Args:
            header: Name of the header that proxies add, `""` for none; its value is a list of hops.
            trusted_proxies: Addresses or networks (CIDR) whose header is trusted; `unix` for Unix sockets.
        """
        self._is_warned = False
        self.change(header, trusted_proxies)

    def change(self, header: str, trusted_proxies: Iterable[str]) -> None:
        """Change the arguments of the constructor."""
        trusted = list(trusted_proxies)
        self._header = header
        self._trusts_unix = UNIX in trusted
        self._trusted: list[Network] = [ip_network(proxy, strict=False) for proxy in trusted if proxy != UNIX]

    def of(self, peer: str, headers: Mapping[str, str]) -> str:
        """Return the last hop that is not a trusted proxy.

        Args:
            peer: The address of the peer as the socket sees it, `UNIX` or `UNKNOWN`.
            headers: The headers of its request.

        Returns:
            An address, or `UNIX`; `UNKNOWN` if that hop is not an address or is unknown.
        """
        if not (self._trusted or self._trusts_unix):
            self._warn_of_proxy(peer, headers)
            return peer
        if not self._header or not self.is_trusted(peer):
            return peer
        for hop in reversed(forwarded.hops(headers, self._header)):
            address = _parse(hop)
            if address is None:
                # The client must not get the address of the proxy, which is exempt from limits.
                self._warn_of_hop()
                return UNKNOWN
            peer = str(address)
            if not self.is_trusted(peer):
                return peer
        return peer

    def is_trusted(self, text: str) -> bool:
        """Return whether an address belongs to a trusted proxy."""
        if text == UNIX:
            return self._trusts_unix
        address = _parse(text)
        return address is not None and any(address in network for network in self._trusted)

    def is_local(self, peer: str, address: str, headers: Mapping[str, str]) -> bool:
        """Return whether a request comes from this machine itself and not through a proxy.

        The Host has to name this machine, because a page of a foreign site can have its own name lead here (DNS
        rebinding). A proxy has to be trusted, and the chain that it reports has to end on this machine.

        Args:
            peer: The address of the peer as the socket sees it, `UNIX` or `UNKNOWN`.
            address: What `of` returned for the request.
            headers: Its headers.
        """
        return (
            is_loopback(address)
            and is_this_machine(headers.get("Host", ""))
            and (self.is_trusted(peer) or not forwarded.is_forwarded(headers))
        )

    def is_exempt(self, text: str) -> bool:
        """Return whether an address is exempt from limits per address.

        This machine is exempt. If proxies are trusted, the addresses are those of clients, and only the
        proxies themselves are exempt.
        """
        if self._trusted or self._trusts_unix:
            return self.is_trusted(text)
        address = _parse(text)
        return address is None or address.is_loopback  # a peer without an address is on this machine

    def _warn_of_hop(self) -> None:
        """Log once that a trusted proxy writes something other than addresses into the header."""
        if not self._is_warned:
            self._is_warned = True
            logger.warning(
                "A trusted proxy sends a header %s that holds something else than addresses: "
                "limits count all such clients together. See real_ip_header.",
                self._header,
            )

    def _warn_of_proxy(self, peer: str, headers: Mapping[str, str]) -> None:
        """Log once that there seems to be a proxy that the settings do not mention."""
        if self._is_warned:
            return
        header = forwarded.client_header(headers)
        if header is not None and is_private(peer):
            self._is_warned = True
            logger.warning(
                "A request came with the header %s, so there seems to be a proxy in front, but trusted_proxies is empty: "
                'limits and the log take all its clients for one. Set real_ip_header = "%s" and trusted_proxies = ["%s"], '
                "if that is the address of your proxy.",
                header,
                header,
                peer,
            )


@lru_cache(maxsize=1024)
def subscriber(address: str) -> str:
    """Return the key for limits per address: an IPv4 address, or the /64 network of an IPv6 address.

    An IPv4 address in IPv6 form (`::ffff:192.0.2.1`) counts as the IPv4 address. Other text is returned unchanged.
    """
    parsed = _parse(address)
    if parsed is None:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)


Bits = tuple[int, int]
"""An address: 4 with its 32 bits, or 6 with the first 64, those of the subscriber."""


@lru_cache(maxsize=16384)
def bits_of(address: str) -> Bits | None:
    """Return the bits that identify the subscriber of an address, None if it is not an IP address."""
    try:
        if ":" not in address:
            return 4, int.from_bytes(inet_pton(AF_INET, address), "big")
        packed = inet_pton(AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):  # a text with NUL or half a surrogate pair raises the latter
        return None
    if packed.startswith(_MAPPED):
        return 4, int.from_bytes(packed[12:], "big")
    return 6, int.from_bytes(packed[:8], "big")


def is_loopback(text: str) -> bool:
    """Return whether a text is an address by which a machine reaches itself, such as `127.0.0.1` or `::1`."""
    address = _parse(text)
    return address is not None and address.is_loopback


def shown_address(
    remote_address: tuple[str, int] | None, headers: Mapping[str, str], header: str
) -> str | None:
    """Return the address reported to a client as its own: the header's first, else the peer's, without a port."""
    named = forwarded.hops(headers, header) if header else []
    if named and named[0]:
        return _without_port(named[0])
    return remote_address[0] if remote_address else None


def for_log(address: str, mode: str) -> str:
    """Return an address in the form allowed in the log.

    Args:
        address: An IPv4 or IPv6 address.
        mode: `full` keeps it; `anonymous` clears the last 8 (IPv4) or 80 (IPv6) bits; `none` hides it.
    """
    if mode == "full":
        return address
    parsed = _parse(address) if mode == "anonymous" else None
    if parsed is None:
        return UNKNOWN
    kept = 24 if isinstance(parsed, IPv4Address) else 48
    return str(ip_network((parsed, kept), strict=False).network_address)


def _without_port(text: str) -> str:
    match = _WITH_PORT.fullmatch(text)
    return match[1] or match[2] or text if match else text


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, with or without a port; return None if the text is not one."""
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _parsed(text)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(_without_port(text))
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


_remembered = lru_cache(maxsize=128)(_parsed)
"""`_parsed` with a small cache, because the address of a new connection is parsed several times in a row."""


def is_private(text: str) -> bool:
    """Return whether an address is on this machine or in its private network, as proxies and other containers are."""
    address = _parse(text)
    return text == UNIX or (
        address is not None and (address.is_loopback or any(address in network for network in _PRIVATE))
    )
