"""Measures how late the event loop runs what is due: the delay that everything on the server has in addition to its own.

A timer compares ten times a second when it was due with when it ran. It begins when somebody first asks for the
measurement, so a server that nobody watches does without it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

INTERVAL = 0.1
"""Seconds between two measurements."""
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the histogram's buckets, in seconds; one more bucket has no bound."""


class LoopDelay:
    """A histogram of the delays of one event loop.

    Attributes:
        counts: Number of measurements in each bucket: one for each of `BOUNDS`, and one above.
        total: Sum of all delays, in seconds.
        latest: The last delay, in seconds; 0 before the first measurement.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self.latest = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure from now on; do nothing if that happens already."""
        if self._timer is None:
            self._loop = loop
            self._schedule(loop)

    def stop(self) -> None:
        """Stop measuring; what was measured is kept."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop = None

    def note(self, delay: float) -> None:
        """Add one measurement, in seconds."""
        self.latest = delay = max(0.0, delay)
        self.counts[bisect_left(BOUNDS, delay)] += 1
        self.total += delay

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + INTERVAL
        self._timer = loop.call_at(due, self._measure, due)

    def _measure(self, due: float) -> None:
        if self._loop is not None:
            self.note(self._loop.time() - due)
            self._schedule(self._loop)
