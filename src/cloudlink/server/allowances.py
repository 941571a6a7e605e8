"""What clients may still send, kept per address when they leave, so that reconnecting does not refill it.

Each connection has an allowance: the buckets of its rate limits. When it ends, its allowance stays with its address until
the buckets would be full again, and the next connection of the address takes it over. An address therefore has as many
bursts as connections at a time, however often it reconnects, and a class behind one address has one for each of its
players.

This module does no I/O: the clock is passed in.
"""

from __future__ import annotations

import time
from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING

from cloudlink.addresses import RealAddress, subscriber
from cloudlink.buckets import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cloudlink.settings import Settings

    from .limits import Limits

_PROXIES = ("real_ip_header", "trusted_proxies")
_FORGET_INTERVAL = 10.0
"""Seconds between two searches for allowances that are full again."""


class Allowance:
    """The buckets of one connection.

    Attributes:
        owner: The subscriber, None for one to which no limits per address apply.
        packets: Limits packets.
        bytes: Limits their bytes.
    """

    __slots__ = ("_clock", "_identity", "_limits", "_user_lists", "bytes", "owner", "packets")

    def __init__(
        self, limits: Limits, owner: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.owner = owner
        self._limits = limits
        self._clock = clock
        self.packets = Bucket(limits.packet_rate, limits.packet_burst, clock)
        self.bytes = Bucket(limits.byte_rate, limits.byte_burst, clock)
        # Most clients never need these.
        self._identity: Bucket | None = None
        self._user_lists: Bucket | None = None

    @property
    def identity(self) -> Bucket:
        """The bucket that limits changes of name and rooms."""
        if self._identity is None:
            limits = self._limits
            self._identity = Bucket(limits.identity_rate, limits.identity_burst, self._clock)
        return self._identity

    @property
    def user_lists(self) -> Bucket:
        """The bucket that limits the bytes of user lists that the client causes."""
        if self._user_lists is None:
            limits = self._limits
            self._user_lists = Bucket(limits.user_list_rate, limits.user_list_burst, self._clock)
        return self._user_lists

    def update(self) -> None:
        """Apply changed limits; what was used remains used."""
        limits = self._limits
        self.packets.change(limits.packet_rate, limits.packet_burst)
        self.bytes.change(limits.byte_rate, limits.byte_burst)
        if self._identity is not None:
            self._identity.change(limits.identity_rate, limits.identity_burst)
        if self._user_lists is not None:
            self._user_lists.change(limits.user_list_rate, limits.user_list_burst)

    @property
    def level(self) -> float:
        """How full the emptiest bucket is: 1 for full, 0 for empty, less for a debt."""
        return min(bucket.level for bucket in self._buckets())

    def restart_counts(self) -> None:
        """Count what is taken from the buckets from 0 again."""
        for bucket in self._buckets():
            bucket.restart_count()

    def _buckets(self) -> Iterator[Bucket]:
        for bucket in (self.packets, self.bytes, self._identity, self._user_lists):
            if bucket is not None:
                yield bucket


class Allowances:
    """The allowances that connections which have ended left to their addresses."""

    def __init__(
        self, limits: Limits, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Set up the allowances of one server.

        Args:
            limits: The limits in effect.
            settings: The server's settings, which say to which addresses no limits apply.
            clock: Returns the time, in seconds.
        """
        self._limits = limits
        self._settings = settings
        settings.on_change(self._apply)
        self._clock = clock
        self._left: dict[str, deque[Allowance]] = {}
        self._forgot_at = clock()

    def __len__(self) -> int:
        """Return the number of allowances that are kept."""
        return sum(map(len, self._left.values()))

    def take(self, address: str) -> Allowance:
        """Return the allowance of a new connection: the one that its address left first, else a full one."""
        owner = self._owner(address)
        left = self._left.get(owner) if owner is not None else None
        if owner is None or not left:
            return Allowance(self._limits, owner, self._clock)
        oldest = left.popleft()  # it has had the longest time to become full again
        if not left:
            del self._left[owner]
        oldest.update()
        return oldest

    def give_back(self, allowance: Allowance) -> None:
        """Keep the allowance of a connection that has ended, unless it is full."""
        self._forget()
        if allowance.owner is not None and allowance.level < 1:
            allowance.restart_counts()
            self._left.setdefault(allowance.owner, deque()).append(allowance)

    def _owner(self, address: str) -> str | None:
        if not self._settings.limits or self._real_address.is_exempt(address):
            return None
        return subscriber(address)

    @cached_property
    def _real_address(self) -> RealAddress:
        return RealAddress(self._settings.real_ip_header, self._settings.trusted_proxies)

    def _apply(self, name: str) -> None:
        if name in _PROXIES:
            vars(self).pop("_real_address", None)

    def _forget(self) -> None:
        """Drop the allowances that are full again."""
        now = self._clock()
        if now - self._forgot_at < _FORGET_INTERVAL:
            return
        self._forgot_at = now
        kept = {
            owner: deque(allowance for allowance in left if allowance.level < 1)
            for owner, left in self._left.items()
        }
        self._left = {owner: left for owner, left in kept.items() if left}
