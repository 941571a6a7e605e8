"""What is left of rate limits, kept per address when clients leave, so that reconnecting does not refill them.

Each connection has a meter, with the buckets of its rate limits. When it ends, its meter stays with its address until
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

from .meter import Meter

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.settings import Settings

    from .limits import Limits

_PROXIES = ("real_ip_header", "trusted_proxies")
_FORGET_INTERVAL = 10.0
"""Seconds between two searches for meters whose buckets are full again."""


class Allowances:
    """The meters that connections which have ended left to their addresses."""

    def __init__(
        self, limits: Limits, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Set up the meters of one server.

        Args:
            limits: The limits in effect.
            settings: The server's settings, which say to which addresses no limits apply.
            clock: Returns the time, in seconds.
        """
        self._limits = limits
        self._settings = settings
        settings.on_change(self._apply)
        self._clock = clock
        self._left: dict[str, deque[Meter]] = {}
        self._forgot_at = clock()

    def __len__(self) -> int:
        """Return the number of meters that are kept."""
        return sum(map(len, self._left.values()))

    def take(self, address: str) -> Meter:
        """Return the meter of a new connection: the one that its address left first, else one with full bursts."""
        owner = self._owner(address)
        left = self._left.get(owner) if owner is not None else None
        if owner is None or not left:
            return Meter(self._limits, self._clock, owner)
        oldest = left.popleft()  # it has had the longest time to become full again
        if not left:
            del self._left[owner]
        oldest.update()
        return oldest

    def give_back(self, meter: Meter) -> None:
        """Keep the meter of a connection that has ended, unless its buckets are full."""
        self._forget()
        if meter.owner is not None and meter.level < 1:
            meter.restart()
            self._left.setdefault(meter.owner, deque()).append(meter)

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
        """Drop the meters whose buckets are full again."""
        now = self._clock()
        if now - self._forgot_at < _FORGET_INTERVAL:
            return
        self._forgot_at = now
        kept = {
            owner: deque(meter for meter in left if meter.level < 1) for owner, left in self._left.items()
        }
        self._left = {owner: left for owner, left in kept.items() if left}
