"""How long a client's frames wait for more.

While there is time, everything is written at the end of the turn it was made in. When the server gets
busy and most of its writes carry only one frame, which is what a thousand players in small rooms do, a
client's frames wait some milliseconds from the first on: then more of them share a write, and writing is
what costs.

How long is told by how busy the server would be if every frame were written by itself. As long as that
stays the same, so does the wait; it is not ended by the time it frees. Two things shorten it:

* Frames that share writes anyway, as in one crowded room, gain nothing by waiting.
* Where waiting brings no frames together, somebody may be waiting for an answer before sending more, as a
  program does that sends one private message after another. Then it stops for some seconds.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_SAMPLE = 0.05
"""Seconds between two looks at what was written."""
_SMOOTHING = 0.2
"""Weight of the newest sample."""

_WAITS = ((0.42, 0.0), (0.5, 0.0095), (1.6, 0.0095), (2.2, 0.03))
"""Seconds to wait, by how many cores writing every frame by itself would take; in between in proportion."""
_LONGEST = _WAITS[-1][1]
_SHORTEST = 0.0005
"""Seconds of waiting that are not worth a timer."""

_ENOUGH = 6.0
"""Frames per write that are not to become more by waiting."""
_WORTHWHILE = 1.2
"""Frames per write that waiting has to bring."""
_BREAK = 5.0
"""Seconds without waiting after it brought nothing."""


class Coalescer(Protocol):
    """What `Delivery` asks how long frames wait, and tells when it writes.

    Attributes:
        wait: Seconds from a client's first frame until it is written; 0 for the end of the turn.
    """

    wait: float

    def begin(self) -> None:
        """Writing begins."""

    def end(self, frames: int, writes: int) -> None:
        """Writing has ended; see `WriteCoalescer.end`."""


class ConstantWait:
    """Lets frames wait equally long at all times."""

    def __init__(self, wait: float) -> None:
        """Args: wait: seconds from a client's first frame until it is written."""
        self.wait = wait

    def begin(self) -> None:
        """Do nothing."""

    def end(self, frames: int, writes: int) -> None:
        """Do nothing."""


class WriteCoalescer:
    """Watches how busy this thread is, and says how long frames should wait.

    Attributes:
        wait: Seconds from a client's first frame until it is written; 0 for the end of the turn.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        """Set up the coalescer.

        Args:
            clock: Tells the time, in seconds.
            work: Tells how long this thread has worked, in seconds.
        """
        self.wait = 0.0
        self._clock = clock
        self._work = work
        self._demand = 0.0
        self._most = _LONGEST  # seconds to wait that bring enough frames together
        self._break_until = 0.0
        self._began_at = self._sampled_at = clock()
        self._worked = work()
        self._frames = self._writes = 0
        self._writing = 0.0

    def begin(self) -> None:
        """Take note that writing begins."""
        self._began_at = self._clock()

    def end(self, frames: int, writes: int) -> None:
        """Take note that it has ended.

        Args:
            frames: Frames queued since the last time, counted once per recipient.
            writes: Clients written to.
        """
        now = self._clock()
        self._writing += now - self._began_at
        self._frames += frames
        self._writes += writes
        if now - self._sampled_at >= _SAMPLE and self._writes:
            self._sample(now)

    def _sample(self, now: float) -> None:
        elapsed, worked = now - self._sampled_at, self._work()
        saved = max(0, self._frames - self._writes) * self._writing / self._writes
        # After a rest, what was before it says nothing about now.
        weight = _SMOOTHING if elapsed < 10 * _SAMPLE else 1.0
        self._demand += weight * ((worked - self._worked + saved) / elapsed - self._demand)
        self.wait = self._choose(now, self._frames / self._writes)
        self._sampled_at, self._worked = now, worked
        self._frames = self._writes = 0
        self._writing = 0.0

    def _choose(self, now: float, frames_per_write: float) -> float:
        wanted = _wait_for(self._demand)
        if frames_per_write > _ENOUGH:
            self._most = self.wait * _ENOUGH / frames_per_write
        else:
            self._most = min(1.5 * self._most + _SHORTEST, _LONGEST)
        if 0 < wanted <= self.wait and frames_per_write < _WORTHWHILE:
            self._break_until = now + _BREAK
        wait = min(wanted, self._most)
        return wait if wait > _SHORTEST and now >= self._break_until else 0.0


def _wait_for(demand: float) -> float:
    if demand >= _WAITS[-1][0]:
        return _LONGEST
    for (low, shorter), (high, longer) in pairwise(_WAITS):
        if low <= demand < high:
            return shorter + (longer - shorter) * (demand - low) / (high - low)
    return 0.0
