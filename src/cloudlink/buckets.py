"""Token buckets, which implement all rate limits."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_UNBOUNDED = 2.0**53
"""Tokens of a bucket without a limit; nobody takes that many, and up to here every whole number is exact."""


class Bucket:
    """A token bucket: `rate` tokens are added per second, and at most `burst` are kept.

    After a pause, up to twice `burst` can be taken at once: tokens are added only when the bucket seems
    empty, which most never do. A bucket without a limit counts what is taken all the same.

    Attributes:
        filled_at: When tokens were last added, in seconds of the clock.
        tokens: Tokens that are left. While it is positive, callers may subtract from it, which is quicker than `take`.
    """

    __slots__ = ("_burst", "_clock", "_given", "_rate", "filled_at", "tokens")

    def __init__(
        self,
        rate: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        filled_at: float | None = None,
    ) -> None:
        """Set up a full bucket.

        Args:
            rate: Tokens that are added per second.
            burst: Tokens that are kept at most.
            clock: Returns the time, in seconds.
            filled_at: The present time, if the caller knows it; thousands of buckets are kept, and two may share the object.
        """
        self._rate = rate
        self._burst = self.tokens = self._given = _finite(burst)
        self._clock = clock
        self.filled_at = clock() if filled_at is None else filled_at

    def take(self, tokens: float = 1) -> bool:
        """Take tokens and return True if there are any left, going into debt for the rest."""
        # Reading the clock each time would cost more than everything else here.
        if self.tokens <= 0:
            now = self._clock()
            filled = min(self._burst, self.tokens + (now - self.filled_at) * self._rate)
            self._given += filled - self.tokens
            self.tokens = filled
            self.filled_at = now
            if self.tokens <= 0:
                return False
        self.tokens -= tokens
        return True

    def change(self, rate: float, burst: float) -> None:
        """Change the rate and the burst; the bucket keeps its tokens, up to the new burst.

        A bucket that had no limit (an infinite rate) becomes full.
        """
        now = self._clock()
        taken, burst = self.taken, _finite(burst)
        if math.isinf(self._rate) or math.isinf(rate):
            self.tokens = burst
        else:
            self.tokens = min(burst, self._burst, self.tokens + (now - self.filled_at) * self._rate)
        self._given = taken + self.tokens
        self._rate = rate
        self._burst = burst
        self.filled_at = now

    def give_back(self, tokens: float) -> None:
        """Return tokens to the bucket; those beyond `burst` are lost."""
        self.tokens = min(self._burst, self.tokens + tokens)

    @property
    def taken(self) -> int:
        """Tokens taken since the bucket was made, less those given back."""
        return round(self.used())

    def used(self) -> float:
        """Return the same as `taken`, not rounded."""
        # Derived, so that counting costs nothing when tokens are taken.
        return self._given - self.tokens

    def restart_count(self) -> None:
        """Count the taken tokens from 0 again."""
        self._given = self.tokens

    @property
    def full(self) -> bool:
        """Return whether the bucket would be full by now."""
        return self.level >= 1

    @property
    def level(self) -> float:
        """How full the bucket would be by now: 1 for full, 0 for empty, less for a debt."""
        # An infinite rate fills it within no time; multiplied by no time, it would not be a number.
        if math.isinf(self._rate):
            return 1.0
        return min(1.0, (self.tokens + (self._clock() - self.filled_at) * self._rate) / self._burst)


class Buckets:
    """A bucket for each key, such as an address; iterating yields the keys."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: clock: Returns the time in seconds."""
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._buckets)

    def __len__(self) -> int:
        """Return the number of buckets that are kept."""
        return len(self._buckets)

    def take(self, key: str, rate: float, burst: float) -> bool:
        """Take a token from a key's bucket; return whether there was one. The first token decides its rate and burst."""
        if key not in self._buckets:
            self._buckets[key] = Bucket(rate, burst, self._clock)
        return self._buckets[key].take()

    def level(self, key: str) -> float:
        """Return how full the bucket of a key is by now; see `Bucket.level`."""
        bucket = self._buckets.get(key)
        return 1.0 if bucket is None else bucket.level

    def forget(self) -> None:
        """Drop the buckets that are full again."""
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.full}


def _finite(burst: float) -> float:
    """Return a burst that can be counted down from; subtracting from infinity would lose the count."""
    return _UNBOUNDED if math.isinf(burst) else burst
