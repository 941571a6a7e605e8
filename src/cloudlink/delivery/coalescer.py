"""How long a client's frames wait for more frames (write coalescing).

Normally, frames are written at the end of the turn that produced them. Frames wait only when the server's thread is busy
all the time and most of its writes carry one frame. A client's frames then wait some milliseconds, counted from the first,
so that more of them share a write: writing is the expensive part. They wait just long enough that the thread has a little
time left again.

`WriteCoalescer` measures and `Controller` decides, by how busy the thread is. What a wait will save cannot be computed from what
writes take without it, because a single write takes longer then: 9.7 instead of 5.5 µs with a wait of 30 ms in one measurement.
Two things end the wait although the thread is busy:

* Frames that share writes anyway, as in one crowded room, gain nothing by waiting.
* A program that waits for an answer before it sends more would only be slowed down. If waiting brings hardly any frames
  together, and has become long or made the thread send less and have less to do, it stops for some seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_SAMPLE = 0.05
"""Seconds between two samples."""
_SMOOTHING = 0.4
"""Weight of the newest sample."""

_BUSY = 0.94
"""Share of a core that waiting brings the thread back to. The rest lets it catch up after an interruption."""
_BEGIN = 0.98
"""Share of a core from which waiting begins; above `_BUSY`, so that waiting does not begin and end all the time."""
_GAIN = 1.5
"""How fast the wait changes: in each sample by this fraction of itself, times the distance from `_BUSY`."""
_FASTER = 1.3
"""Factor by which the wait grows in each sample while the thread is busier than `_BEGIN`: it may have fallen behind, and
everybody waits until it has caught up."""
_FIRST = 0.001
"""Seconds that frames wait at first."""
_LONGEST = 0.04
"""Seconds that frames wait at most."""
_SHORTEST = 0.0005
"""Longest wait, in seconds, that is not worth a timer."""

_ENOUGH = 12.0
"""Frames per write from which waiting longer is useless."""
_WORTHWHILE = 1.2
"""Frames per write that waiting must achieve."""
_TRIAL = 0.015
"""Shortest wait, in seconds, that is judged by this alone."""
_IN_VAIN = 3
"""Samples in a row with fewer, after which waiting stops. A single one proves nothing: it counts writes of frames queued before."""
_SLOWED = 0.9
"""Fraction of the former frames per second, and of the time that the thread was busy, below which some sender must be waiting for
answers. A thread that sends less but is as busy as before has fallen behind."""
_HARDLY_SLOWED = 0.96
"""The same if it is so in several samples in a row. It is above `_BUSY`, where the wait of such senders would settle."""
_BREAK = 5.0
"""Seconds without waiting after it did not help."""


class Coalescer(Protocol):
    """Decides for `Delivery` how long frames wait; `Delivery` reports each time it writes.

    Attributes:
        wait: Seconds from a client's first frame until it is written; 0 for the end of the turn.
    """

    wait: float

    def note(self, frames: int, writes: int) -> None:
        """Note that frames have been written; see `WriteCoalescer.note`."""


class ConstantWait:
    """Lets frames always wait equally long."""

    def __init__(self, wait: float) -> None:
        """Args: wait: seconds from a client's first frame until it is written."""
        self.wait = wait

    def note(self, frames: int, writes: int) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    Attributes:
        now: The time, in seconds.
        busy: Share of a core that the thread used, smoothed.
        frames_per_write: Frames per write since the last sample.
        frames_per_second: Frames per second since the last sample.
    """

    now: float
    busy: float
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
        self._frames_before = self._busy_before = 0.0  # when waiting began
        self._in_vain = 0  # samples
        self._break_until = 0.0

    def update(self, sample: Sample) -> None:
        """Choose the wait that follows from a sample."""
        share = sample.frames_per_write
        if share > _ENOUGH:
            self._most = self.wait * _ENOUGH / share
        else:
            self._most = min(1.5 * self._most + _SHORTEST, _LONGEST)
        if self._does_no_good(sample):
            self._break_until = sample.now + _BREAK
        if not self.wait:
            self._frames_before, self._busy_before = sample.frames_per_second, sample.busy
        wait = min(self._wanted(sample), self._most)
        self.wait = wait if wait > _SHORTEST and sample.now >= self._break_until else 0.0

    def _does_no_good(self, sample: Sample) -> bool:
        if not self.wait or sample.frames_per_write >= _WORTHWHILE:
            self._in_vain = 0
            return False
        self._in_vain += self.wait >= _TRIAL or self._has_dropped(sample, _HARDLY_SLOWED)
        return self._in_vain >= _IN_VAIN or self._has_dropped(sample, _SLOWED)

    def _has_dropped(self, sample: Sample, fraction: float) -> bool:
        """Return whether less is sent and the thread has less to do than before the wait began."""
        return (
            sample.frames_per_second < fraction * self._frames_before
            and sample.busy < fraction * self._busy_before
        )

    def _wanted(self, sample: Sample) -> float:
        """Return a wait that is nearer to the one that would keep the thread busy for `_BUSY`."""
        if sample.busy > _BEGIN:
            return max(_FASTER * self.wait, _FIRST)
        return self.wait * (1 + _GAIN * (sample.busy - _BUSY))


class WriteCoalescer:
    """Measures how busy this thread is, and says how long frames should wait."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        """Set up the coalescer.

        Args:
            clock: Returns the time, in seconds.
            work: Returns the CPU time of this thread, in seconds.
        """
        self.wait = 0.0
        """Seconds from a client's first frame until it is written; 0 for the end of the turn."""
        self._clock = clock
        self._work = work
        self._controller = Controller()
        self._busy = 0.0
        self._sampled_at = clock()
        self._worked = work()
        self._frames = self._writes = 0

    def note(self, frames: int, writes: int) -> None:
        """Note that frames have been written.

        Args:
            frames: Frames queued since the last call, counted once per recipient.
            writes: Clients written to.
        """
        self._frames += frames
        self._writes += writes
        now = self._clock()
        if now - self._sampled_at >= _SAMPLE and self._writes:
            self._sample(now)

    def _sample(self, now: float) -> None:
        elapsed, worked = now - self._sampled_at, self._work()
        # After a pause, the figures from before it say nothing about the present.
        weight = _SMOOTHING if elapsed < 10 * _SAMPLE else 1.0
        self._busy += weight * ((worked - self._worked) / elapsed - self._busy)
        self._controller.update(Sample(now, self._busy, self._frames / self._writes, self._frames / elapsed))
        self.wait = self._controller.wait
        self._sampled_at, self._worked = now, worked
        self._frames = self._writes = 0
