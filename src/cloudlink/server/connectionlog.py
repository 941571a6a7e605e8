"""Bounds the lines in the log about clients: for each address, and for all of them together.

An address may open 50 connections a second for ever. With three lines for each, it would fill the disk of a small server
within days, and many addresses would do so sooner. Addresses that have caused few lines keep a part of the bound of all, so
that a crowd does not hide who else comes. What is left out is counted, and one line a minute tells how much it is.

This module does no I/O: the clock is passed in.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from cloudlink.addresses import subscriber
from cloudlink.buckets import Bucket, Buckets
from cloudlink.logthrottle import LogThrottle

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("cloudlink.server")

_QUIET = 0.97
"""An address that has more than this part of its lines left may use the reserve: one that has caused a dozen at most."""
_RESERVE = 0.25
"""The part of the lines of all addresses that is kept for quiet ones."""
_FORGET_INTERVAL = 60.0


class _Budget(NamedTuple):
    """How many lines may be logged.

    Attributes:
        rate: Lines of one address a second, in the long run.
        burst: Lines of one address at once.
        total_rate: Lines of all addresses a second, in the long run.
        total_burst: Lines of all addresses at once.
    """

    rate: float
    burst: int
    total_rate: float
    total_burst: int


_VISITS = _Budget(1.0, 500, 10.0, 1200)
"""For coming, getting a name and leaving. A class of 150 can come at once."""
_REFUSALS = _Budget(0.1, 30, 1.0, 200)
"""For what clients may not do."""


class ConnectionLog:
    """Counts the lines about clients."""

    def __init__(
        self,
        shown: Callable[[str], str] = lambda _: "One address",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the counts of one server.

        Args:
            shown: Returns an address in the form that may be logged.
            clock: Returns the time, in seconds.
        """
        self._shown = shown
        self._clock = clock
        self._visits = _Lines(_VISITS, clock)
        self._refusals = _Lines(_REFUSALS, clock)
        self._throttle = LogThrottle(clock=clock)
        self._left_out = 0
        self._silenced: set[str] = set()  # the addresses of these lines
        self._forgot_at = clock()

    def should_log(self, address: str) -> bool:
        """Return whether to log that a client of an address comes, gets a name or leaves."""
        key = subscriber(address)
        if self._take(self._visits, key):
            return True
        if self._visits.is_used_up(key) and self._throttle.should_log(key):
            logger.info("%s connects so often that only a part of it is logged.", self._shown(address))
        return False

    def should_log_refusal(self, address: str) -> bool:
        """Return whether to log that a client of an address did something that is refused, or is disconnected for it."""
        return self._take(self._refusals, subscriber(address))

    def tick(self) -> None:
        """Log, at most once a minute, how many lines were left out; called about once a second."""
        if self._left_out and self._throttle.should_log():
            whose = "1 address" if len(self._silenced) == 1 else f"{len(self._silenced)} addresses"
            logger.warning("%d more lines about clients of %s were left out.", self._left_out, whose)
            self._left_out = 0
            self._silenced.clear()

    def _take(self, lines: _Lines, key: str) -> bool:
        self._forget()
        if lines.take(key):
            return True
        self._left_out += 1
        self._silenced.add(key)
        return False

    def _forget(self) -> None:
        """Drop the counts of addresses that have been quiet for long."""
        now = self._clock()
        if now - self._forgot_at >= _FORGET_INTERVAL:
            self._forgot_at = now
            self._visits.forget()
            self._refusals.forget()


class _Lines:
    """The lines of one kind that may still be logged."""

    def __init__(self, budget: _Budget, clock: Callable[[], float]) -> None:
        self._budget = budget
        self._of_address = Buckets(clock)
        self._of_all = Bucket(budget.total_rate, budget.total_burst, clock)

    def take(self, key: str) -> bool:
        """Return whether one more line about an address may be logged."""
        budget, mine = self._budget, self._of_address
        is_quiet = mine.level(key) > _QUIET
        if not mine.take(key, budget.rate, budget.burst):
            return False
        return (is_quiet or self._of_all.level > _RESERVE) and self._of_all.take()

    def is_used_up(self, key: str) -> bool:
        """Return whether the address itself has no line left."""
        return self._of_address.level(key) * self._budget.burst < 1

    def forget(self) -> None:
        """Drop the counts of addresses that have all their lines left."""
        self._of_address.forget()
