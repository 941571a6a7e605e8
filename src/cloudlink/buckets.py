"""Token buckets, by which everything that may come too fast is measured."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Bucket:
    """A token bucket: `rate` tokens a second flow in, at most `burst` are kept.

    After a rest, up to twice `burst` can be taken at once: what flowed in meanwhile is looked at only when
    the bucket seems empty, and most never do.
    """

    __slots__ = ("_burst", "_clock", "_filled_at", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = self._tokens = burst
        self._clock = clock
        self._filled_at = clock()

    def take(self, tokens: float = 1) -> bool:
        """Take tokens if there are any, going into debt for what is missing."""
        # Asking the clock each time would cost more than all the rest.
        if self._tokens <= 0:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
            if self._tokens <= 0:
                return False
        self._tokens -= tokens
        return True

    def change(self, rate: float, burst: float) -> None:
        """Take another rate and burst from now on; the tokens stay, as far as the burst allows.

        A bucket that was without bounds (an infinite rate) becomes full.
        """
        now = self._clock()
        if math.isinf(self._rate) or math.isinf(rate):
            self._tokens = burst
        else:
            self._tokens = min(burst, self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._rate = rate
        self._burst = burst
        self._filled_at = now

    def give_back(self, tokens: float) -> None:
        """Put back tokens that were taken; beyond `burst` they are lost."""
        self._tokens = min(self._burst, self._tokens + tokens)

    @property
    def full(self) -> bool:
        """Whether the bucket would be full by now."""
        return self._tokens + (self._clock() - self._filled_at) * self._rate >= self._burst
