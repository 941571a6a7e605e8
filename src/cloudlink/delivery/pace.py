"""How often to write what is queued.

While there is time, everything is written at the end of the turn it was made in. When the server gets
busy and most of its writes carry only one frame, which is what a thousand players in small rooms do, it
writes at most once in some milliseconds: then more frames share a write, and writing is what costs.
Waiting frees time, more waiting frees more, so load and wait settle by themselves.

Writes that carry several frames anyway, as in one crowded room, gain nothing by waiting and never wait.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SAMPLE = 0.05
"""Seconds between two looks at the clock that counts this thread's work."""
_SMOOTHING = 0.2
"""Weight of the newest sample."""
_BUSY = 0.42
"""Share of a core up to which nothing waits."""
_STEEPNESS = 0.13
"""Seconds between two writes at a whole core beyond `_BUSY`; less of it counts by its square."""
_LONGEST = 0.025
"""Most seconds between two writes."""
_ENOUGH = 3.0
"""Frames per write from which on waiting gains nothing."""


class Pacer:
    """Watches how busy this thread is, and says how long the next frames should wait."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        """Set up the pacer.

        Args:
            clock: Tells the time, in seconds.
            work: Tells how long this thread has worked, in seconds.
        """
        self._period = 0.0
        self._began_at = clock()
        self._clock = clock
        self._work = work
        self._sampled_at = clock()
        self._worked = work()
        self._load = 0.0
        self._frames = 0
        self._writes = 0

    def delay(self) -> float:
        """Return how many seconds the first frame queued now should wait."""
        if not self._period:
            return 0.0
        return max(0.0, self._began_at + self._period - self._clock())

    def begin(self) -> None:
        """Take note that writing begins."""
        if self._period:
            self._began_at = self._clock()

    def end(self, frames: int, writes: int) -> None:
        """Take note of what was written: so many frames, in so many writes."""
        self._frames += frames
        self._writes += writes
        now = self._clock()
        if now - self._sampled_at >= _SAMPLE:
            self._sample(now)

    def _sample(self, now: float) -> None:
        worked = self._work()
        load = (worked - self._worked) / (now - self._sampled_at)
        # After a rest, what was before it says nothing about now.
        weight = _SMOOTHING if now - self._sampled_at < 10 * _SAMPLE else 1.0
        self._load += weight * (load - self._load)
        is_thin = self._frames < _ENOUGH * self._writes
        excess = self._load - _BUSY
        self._period = min(_STEEPNESS * excess * excess, _LONGEST) if excess > 0 and is_thin else 0.0
        self._sampled_at, self._worked = now, worked
        self._frames = self._writes = 0
