"""A queue that lets records through at a limited rate, and keeps what matters when too much comes.

While the rate suffices, everything passes at once and in order. Beyond it, records wait: of a variable and of a user's
presence only the latest, so that both sides agree in the end; of messages a bounded number, and further ones
are dropped and counted. Both directions of a bridge have such a queue. Pure, with a clock of its owner.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, TypeVar

from cloudlink.buckets import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

MOST_WAITING = 4096
"""Most records that wait; presence and variables are bounded by what is shared, this bounds them all the same."""
MOST_MESSAGES = 256
"""Most messages that wait."""
MOST_BYTES = 1 << 20
"""Most bytes that wait."""


class PacedQueue(Generic[T]):
    """Records in the order in which they came.

    Attributes:
        dropped: How many records were dropped.
    """

    def __init__(self, rate: float, byte_rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Set up.

        Args:
            rate: Records a second.
            byte_rate: Bytes a second.
            clock: Returns the time in seconds.
        """
        self._records = Bucket(rate, max(rate, 1.0), clock)
        self._bytes = Bucket(byte_rate, max(byte_rate, 1024.0), clock)
        self._waiting: dict[Hashable, tuple[T, int, float]] = {}
        self._size = 0
        self._messages = 0
        self._serial = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, item: T, size: int, cost: float = 1.0, key: Hashable = None) -> bool:
        """Add a record.

        Args:
            item: The record.
            size: Its bytes.
            cost: Records that it counts for.
            key: What it is about, if it replaces an earlier record about the same; None for a message.

        Returns:
            Whether it was accepted.
        """
        if key is not None and key in self._waiting:
            self._size += size - self._waiting[key][1]
            self._waiting[key] = (item, size, cost)
            return True
        if (
            len(self._waiting) >= MOST_WAITING
            or self._size + size > MOST_BYTES
            or (key is None and self._messages >= MOST_MESSAGES)
        ):
            self.dropped += 1
            return False
        if key is None:
            self._messages += 1
            self._serial += 1
        self._waiting[self._serial if key is None else key] = (item, size, cost)
        self._size += size
        return True

    def take(self) -> T | None:
        """Return the next record if the rate allows one, else None."""
        if not self._waiting or not self._bytes.take(0) or not self._records.take(0):
            return None
        key = next(iter(self._waiting))
        item, size, cost = self._waiting.pop(key)
        self._records.take(cost)
        self._bytes.take(size)
        self._size -= size
        if isinstance(key, int):
            self._messages -= 1
        return item

    def clear(self) -> None:
        """Drop what waits, without counting it."""
        self._waiting.clear()
        self._size = self._messages = 0
