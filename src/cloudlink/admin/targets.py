"""The target of a ban or a mute: an address, a network, a name, or one connection.

This module parses targets and finds the record for an address; it decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cloudlink.addresses import bits_of, subscriber
from cloudlink.admin.actors import AdminError
from cloudlink.admin.names import fold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudlink.addresses import Bits

T = TypeVar("T")

KINDS = ("client", "address", "network", "name")
_LONGEST = 1000
"""Most characters of a name or an id."""
_SUBSCRIBER = {4: 32, 6: 64}
"""The prefix of one subscriber, by version of the protocol."""
_MAPPED = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a record, such as a ban.

    Attributes:
        kind: `client`, `address` (one subscriber), `network` or `name`.
        value: The id of the client; the IPv4 address or the IPv6 /64; the network; the name as it was given.
    """

    kind: str
    value: str

    @property
    def key(self) -> str:
        """The text that is the same for targets that mean the same."""
        return f"{self.kind}:{fold(self.value) if self.kind == 'name' else self.value}"

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"

    @property
    def network(self) -> IPv4Network | IPv6Network | None:
        """The network of an address or network, None for others."""
        return ip_network(self.value) if self.kind in ("address", "network") else None


def parse(raw: Any) -> Target:
    """Return the target that a parameter names.

    Args:
        raw: `{"client": ID}`, `{"address": …}`, `{"network": …}` or `{"name": …}`.

    Raises:
        AdminError: `invalid`, with the key that is wrong.
    """
    if not isinstance(raw, dict) or len(raw) != 1 or next(iter(raw)) not in KINDS:
        raise invalid("target", 'must be one of {"client":…}, {"address":…}, {"network":…} and {"name":…}')
    ((kind, value),) = raw.items()
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        raise invalid(f"target.{kind}", f"must be text of 1 to {_LONGEST} characters")
    if kind in ("address", "network"):
        return _of_network(kind, value)
    return Target(kind, value)


def of_address(address: str) -> Target | None:
    """Return the target for the subscriber of a client's address, None if it has none, as on a Unix socket."""
    key = subscriber(address)
    return Target("address", key) if bits_of(address) is not None else None


def _of_network(kind: str, text: str) -> Target:
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        example = "192.0.2.7 or 2001:db8::1" if kind == "address" else "192.0.2.0/24 or 2001:db8::/48"
        raise invalid(f"target.{kind}", f"is not an IP {kind}, such as {example}") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        network = ip_network((mapped, network.prefixlen - 96), strict=False)
    longest = _SUBSCRIBER[network.version]
    if network.prefixlen < longest:
        return Target("network", str(network))
    if network.version == 4:  # noqa: PLR2004  # the version of IP
        return Target("address", str(network.network_address))
    return Target("address", str(ip_network((network.network_address, longest), strict=False)))


def invalid(key: str, must: str) -> AdminError:
    """Return the error for a parameter: its name, and what it must be, to follow it."""
    return AdminError("invalid", f"The parameter {key} {must}.", {"key": key})


# Look-ups.


class Networks(Generic[T]):
    """Records of addresses and networks; one is found by a look-up for each length of prefix, never by scanning."""

    def __init__(self) -> None:
        self._tables: dict[int, list[tuple[int, dict[int, T]]]] = {4: [], 6: []}

    def put(self, network: IPv4Network | IPv6Network, record: T) -> None:
        """Add a record, or replace the one of the same network."""
        version, shift, prefix = _place(network)
        tables = self._tables[version]
        for known, table in tables:
            if known == shift:
                table[prefix] = record
                return
        tables.append((shift, {prefix: record}))
        tables.sort(key=_shift_of)  # the longest prefixes first

    def drop(self, network: IPv4Network | IPv6Network) -> None:
        """Remove the record of a network, if there is one."""
        version, shift, prefix = _place(network)
        tables = self._tables[version]
        for number, (known, table) in enumerate(tables):
            if known == shift:
                table.pop(prefix, None)
                if not table:
                    del tables[number]
                return

    def get(self, network: IPv4Network | IPv6Network) -> T | None:
        """Return the record of exactly this network, None if there is none."""
        version, shift, prefix = _place(network)
        return next((table.get(prefix) for known, table in self._tables[version] if known == shift), None)

    def tables(self, version: int) -> list[tuple[int, dict[int, T]]]:
        """Return, for each length of prefix, by how many bits an address is shifted, and the records by prefix.

        The longest prefixes come first. It is for a caller that has no microsecond to lose; others use `covering`.
        """
        return self._tables[version]

    def covering(self, bits: Bits | None) -> Iterator[T]:
        """Yield the records whose network holds an address, the narrowest first."""
        if bits is None:
            return
        version, number = bits
        for shift, table in self._tables[version]:
            found = table.get(number >> shift)
            if found is not None:
                yield found


def _place(network: IPv4Network | IPv6Network) -> tuple[int, int, int]:
    """Return the version, by how many bits an address is shifted, and the bits of the prefix."""
    version, bits = network.version, int(network.network_address)
    if isinstance(network, IPv6Network):
        bits >>= 64
    shift = _SUBSCRIBER[version] - network.prefixlen
    return version, shift, bits >> shift


def _shift_of(entry: tuple[int, object]) -> int:
    return entry[0]
