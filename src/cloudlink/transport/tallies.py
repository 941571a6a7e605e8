"""What the limits of addresses count: connections held, and tokens taken, by key.

A server of one process uses `LocalTallies`; several processes of one machine share `cloudlink.sharedcounts`, and the nodes
of a cluster tell each other what they hold (`cloudlink.server.nodetallies`).
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from cloudlink.buckets import Buckets

if TYPE_CHECKING:
    from collections.abc import Callable


class Tallies(Protocol):
    """Counts by key, for all processes of a server.

    A key is a subscriber, or a subscriber, a space and a word for something else that is counted of it.
    """

    def held(self, key: str) -> int:
        """Return how often a key is held."""
        ...

    def acquire(self, key: str) -> None:
        """Hold a key once more."""
        ...

    def release(self, key: str) -> None:
        """Hold a key once less."""
        ...

    def take(self, key: str, rate: float, burst: float) -> bool:
        """Take a token from the bucket of a key; return False if there is none.

        Args:
            key: The key.
            rate: Tokens that are added a second.
            burst: Most tokens that are kept.
        """
        ...

    def forget(self) -> None:
        """Free the memory of keys that have been quiet for long."""
        ...


class LocalTallies:
    """The counts of a server of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: clock: Returns the time in seconds."""
        self._held: Counter[str] = Counter()
        self._buckets = Buckets(clock)

    def held(self, key: str) -> int:
        """See `Tallies`."""
        return self._held[key]

    def acquire(self, key: str) -> None:
        """See `Tallies`."""
        self._held[key] += 1

    def release(self, key: str) -> None:
        """See `Tallies`."""
        if self._held[key] > 1:
            self._held[key] -= 1
        else:
            del self._held[key]

    def take(self, key: str, rate: float, burst: float) -> bool:
        """See `Tallies`; the rate and burst of a bucket are those of its first token."""
        return self._buckets.take(key, rate, burst)

    def forget(self) -> None:
        """See `Tallies`."""
        self._buckets.forget()
