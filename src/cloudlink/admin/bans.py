"""The bans of a server: found by address or name in the same few steps, however many there are.

This module checks nothing and sends nothing; `cloudlink.admin.sanctions` does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from cloudlink.addresses import bits_of
from cloudlink.admin.names import fold
from cloudlink.admin.numbered import NumberedRecords
from cloudlink.admin.targets import Networks, Target
from cloudlink.admin.times import sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BANS = 100_000
KEPT_AFTER_END = 30 * 86_400
"""Seconds after its end for which a ban is still listed."""


class Ban(msgspec.Struct, gc=False, kw_only=True):
    """One ban.

    Attributes:
        id: Its number.
        kind: `address`, `network` or `name`.
        value: The address, network or name; see `targets.Target`.
        reason: The text that banned clients get.
        by: Who banned.
        at: Unix time of the ban.
        until: Unix time of its end, None for never.
        hits: How often it turned somebody away.
        last_hit: Unix time of the last time that it did, None for never.
    """

    id: int
    kind: str
    value: str
    reason: str = ""
    by: str
    at: int
    until: int | None = None
    hits: int = 0
    last_hit: int | None = None

    @property
    def target(self) -> Target:
        """The target of the ban."""
        return Target(self.kind, self.value)

    def holds(self, now: float) -> bool:
        """Return whether it has not ended."""
        return self.until is None or now < self.until

    @property
    def text(self) -> str:
        """The text that banned clients get when they connect."""
        what = "This name is banned" if self.kind == "name" else "You are banned"
        return sentence(what, self.until, self.reason)

    def record(self) -> dict[str, Any]:
        """Return it as a dict."""
        return msgspec.structs.asdict(self)


def from_record(record: dict[str, Any]) -> Ban:
    """Return a ban that `record` made. Raises `msgspec.ValidationError`."""
    ban = msgspec.convert(record, Ban)
    ban.kind = sys.intern(ban.kind)
    ban.by = sys.intern(ban.by)
    ban.reason = sys.intern(ban.reason)  # many of thousands have the same
    return ban


class Bans(NumberedRecords[Ban]):
    """All bans, by number, address and name."""

    def __init__(self) -> None:
        super().__init__()
        self._networks: Networks[Ban] = Networks()
        self._names: dict[str, Ban] = {}
        self._counts = {"address": 0, "network": 0, "name": 0}

    def of(self, target: Target) -> Ban | None:
        """Return the ban of exactly this target, None if there is none."""
        network = target.network
        if network is None:
            return self._names.get(fold(target.value))
        return self._networks.get(network)

    def put(self, record: Ban) -> None:
        """Add a ban in place of one of the same target."""
        self.drop(record.target)
        self._number(record)
        self._counts[record.kind] += 1
        network = record.target.network
        if network is None:
            self._names[fold(record.value)] = record
        else:
            self._networks.put(network, record)

    def drop(self, target: Target) -> Ban | None:
        """Remove and return the ban of a target, None if there is none."""
        ban = self.of(target)
        if ban is None:
            return None
        self._forget(ban)
        self._counts[ban.kind] -= 1
        network = target.network
        if network is None:
            del self._names[fold(target.value)]
        else:
            self._networks.drop(network)
        return ban

    def for_address(self, address: str, now: float) -> Ban | None:
        """Return the ban that holds for an address, the one of the narrowest network; None if none does."""
        bits = bits_of(address)
        if bits is not None:
            version, number = bits
            for shift, table in self._networks.tables(version):
                ban = table.get(number >> shift)
                if ban is not None and (ban.until is None or now < ban.until):
                    return ban
        return None

    def covering(self, address: str) -> Iterator[Ban]:
        """Yield the bans whose network holds an address, also those that have ended."""
        return self._networks.covering(bits_of(address))

    def for_name(self, name: str, now: float) -> Ban | None:
        """Return the ban that holds for a name, None if none does."""
        if not self._names:
            return None
        ban = self._names.get(fold(name))
        return ban if ban is not None and ban.holds(now) else None

    @property
    def has_networks(self) -> bool:
        """Whether there are bans of addresses."""
        return len(self._names) < len(self._by_id)

    def counts(self) -> dict[str, int]:
        """Return the number of bans by kind."""
        return dict(self._counts)

    def outdated(self, now: float) -> list[Ban]:
        """Return the bans that ended so long ago that they are dropped."""
        return [ban for ban in self if ban.until is not None and ban.until + KEPT_AFTER_END <= now]
