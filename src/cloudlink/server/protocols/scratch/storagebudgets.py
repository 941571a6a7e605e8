"""How much each address may have stored in the long run, so that one alone cannot fill the disk.

What counts is what an address adds to the file: a new variable, or what a value is longer than the one before. What
it frees again, it is given back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cloudlink.buckets import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

_HOUR = 3600.0
_FORGET_EVERY = 60.0
"""Seconds between two looks for addresses whose budget is whole again."""


class StorageBudgets:
    """The bytes that each address may still have stored.

    Args:
        bytes_per_hour: What each gets in an hour, and has at first.
        clock: Returns the time in seconds.
    """

    def __init__(self, bytes_per_hour: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_per_hour = bytes_per_hour
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._forgot_at = clock()

    def __len__(self) -> int:
        """Return how many addresses have a budget that may not be whole."""
        return len(self._buckets)

    def has_left(self, address: str) -> bool:
        """Tell whether an address may have more stored."""
        bucket = self._buckets.get(address)
        return bucket is None or bucket.take(0)

    def charge(self, address: str, size: int) -> None:
        """Count bytes that an address adds to the file; with a negative size, those that it frees."""
        bucket = self._buckets.get(address)
        if bucket is None:
            if size <= 0:
                return
            rate = self._bytes_per_hour / _HOUR
            bucket = self._buckets[address] = Bucket(rate, self._bytes_per_hour, self._clock)
        if size > 0:
            bucket.take(size)
        else:
            bucket.give_back(-size)

    def tick(self) -> None:
        """Now and then, forget the addresses whose budget is whole again."""
        now = self._clock()
        if now - self._forgot_at >= _FORGET_EVERY:
            self._forgot_at = now
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.full}
