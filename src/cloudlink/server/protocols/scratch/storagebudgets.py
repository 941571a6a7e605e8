"""Limits the bytes that each address may store per hour, so that a single one cannot fill the disk.

An address is charged for the bytes that it adds to the file: a new variable, or the growth of a value. Bytes
that it frees are credited.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cloudlink.buckets import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

_HOUR = 3600.0
_FORGET_EVERY = 60.0
"""Seconds between two searches for addresses whose budget is full again."""


class StorageBudgets:
    """The bytes that each address may still store.

    Args:
        bytes_per_hour: Bytes that each address gets per hour, and initially.
        clock: Returns the time in seconds.
    """

    def __init__(self, bytes_per_hour: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_per_hour = bytes_per_hour
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._forgot_at = clock()

    def __len__(self) -> int:
        """Return the number of addresses whose budget may not be full."""
        return len(self._buckets)

    def has_left(self, address: str) -> bool:
        """Return whether an address may store more."""
        bucket = self._buckets.get(address)
        return bucket is None or bucket.take(0)

    def charge(self, address: str, size: int) -> None:
        """Charge the bytes that an address adds to the file; a negative size credits freed bytes."""
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

    def change(self, bytes_per_hour: float) -> None:
        """Change the bytes that each address gets per hour; what was used remains used."""
        self._bytes_per_hour = bytes_per_hour
        for bucket in self._buckets.values():
            bucket.change(bytes_per_hour / _HOUR, bytes_per_hour)

    def tick(self) -> None:
        """Drop the addresses whose budget is full again; does nothing until `_FORGET_EVERY` has passed."""
        now = self._clock()
        if now - self._forgot_at >= _FORGET_EVERY:
            self._forgot_at = now
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.full}
