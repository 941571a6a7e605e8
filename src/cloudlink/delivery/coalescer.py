"""How long a client's frames wait for more.

While there is time, everything is written at the end of the turn it was made in. Only when the server's thread would be
busy nearly all the time, and most of its writes carry one frame, a client's frames wait some milliseconds from the first
on: then more of them share a write, and writing is what costs. They wait just long enough that the thread has some time
left again.

`WriteCoalescer` measures, `Controller` decides. It goes by how busy the thread would be if every frame were written by
itself. As long as that stays the same, so does the wait; it is not ended by the time it frees. Two things end it:

* Frames that share writes anyway, as in one crowded room, gain nothing by waiting.
* A program that waits for an answer before it sends more would only be slowed. Where waiting brings no frames together,
  or less is sent because of it, it stops for some seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_SAMPLE = 0.05
"""Seconds between two looks at what was written."""
_SMOOTHING = 0.2
"""Weight of the newest sample."""

_BUSY = 0.85
"""Share of a core that the thread may use before frames wait, and that waiting brings it back to."""
_BEGIN = 0.9
"""Share of a core from which on waiting begins; above `_BUSY`, so that it does not begin and end all the time."""
_FIRST = 0.002
"""Seconds that frames wait at first, when it is not known yet how many more come in that time."""
_LONGEST = 0.03
_SHORTEST = 0.0005
"""Seconds of waiting that are not worth a timer."""

_ENOUGH = 6.0
"""Frames per write that are not to become more by waiting."""
_WORTHWHILE = 1.2
"""Frames per write that waiting has to bring."""
_TRIAL = 0.015
"""Seconds of waiting that have to bring them."""
_SLOWED = 0.9
"""Frames per second, as a fraction of those before waiting, below which somebody waits for answers."""
_BREAK = 5.0
"""Seconds without waiting after it did no good."""


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


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured.

    Attributes:
        now: The time, in seconds.
        demand: Cores that would be needed to do everything and write every frame by itself, smoothed.
        writing: The part of them that writing would take, smoothed.
        frames_per_write: Frames per write since the last sample.
        frames_per_second: Frames per second since the last sample.
    """

    now: float
    demand: float
    writing: float
    frames_per_write: float
    frames_per_second: float


class Controller:
    """Chooses how long frames wait, from sample to sample.

    Attributes:
        wait: Seconds from a client's first frame until it is written; 0 for the end of the turn.
    """

    def __init__(self) -> None:
        self.wait = 0.0
        self._most = _LONGEST  # seconds to wait that bring enough frames together
        self._frames_before = 0.0  # per second, when waiting began
        self._break_until = 0.0

    def update(self, sample: Sample) -> None:
        """Choose anew."""
        share = sample.frames_per_write
        if share > _ENOUGH:
            self._most = self.wait * _ENOUGH / share
        else:
            self._most = min(1.5 * self._most + _SHORTEST, _LONGEST)
        if self._does_no_good(sample):
            self._break_until = sample.now + _BREAK
        if not self.wait:
            self._frames_before = sample.frames_per_second
        wait = min(self._wanted(sample), self._most)
        self.wait = wait if wait > _SHORTEST and sample.now >= self._break_until else 0.0

    def _does_no_good(self, sample: Sample) -> bool:
        if not self.wait or sample.frames_per_write >= _WORTHWHILE:
            return False
        return self.wait >= _TRIAL or sample.frames_per_second < _SLOWED * self._frames_before

    def _wanted(self, sample: Sample) -> float:
        """Return the wait that would have the thread busy for `_BUSY` of the time, half-way from the present one."""
        if sample.demand <= (_BUSY if self.wait else _BEGIN):
            return 0.0
        if not self.wait:
            return _FIRST
        # Writing takes the time that is left when each write carries so many frames.
        left = max(_BUSY - (sample.demand - sample.writing), sample.writing / _ENOUGH)
        share = sample.writing / left
        # Each frame but the first of a write came while that one waited, in proportion to the time.
        goal = self.wait * (share - 1) / max(sample.frames_per_write - 1, 0.01)
        return min((self.wait + goal) / 2, 2 * self.wait)


class WriteCoalescer:
    """Watches how busy this thread is, and says how long frames should wait."""

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
        """Seconds from a client's first frame until it is written; 0 for the end of the turn."""
        self._clock = clock
        self._work = work
        self._controller = Controller()
        self._demand = self._writing_demand = 0.0
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
        per_write = self._writing / self._writes
        saved = max(0, self._frames - self._writes) * per_write
        # After a rest, what was before it says nothing about now.
        weight = _SMOOTHING if elapsed < 10 * _SAMPLE else 1.0
        self._demand += weight * ((worked - self._worked + saved) / elapsed - self._demand)
        self._writing_demand += weight * ((self._writing + saved) / elapsed - self._writing_demand)
        self._controller.update(
            Sample(
                now,
                self._demand,
                self._writing_demand,
                self._frames / self._writes,
                self._frames / elapsed,
            )
        )
        self.wait = self._controller.wait
        self._sampled_at, self._worked = now, worked
        self._frames = self._writes = 0
        self._writing = 0.0
