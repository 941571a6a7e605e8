"""The state of the server over time: per-second rates, now and for the last hour."""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, Any

from cloudlink.slices import finish

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.admin.serverview import Sample
    from cloudlink.slices import Slices

STEP = 5
"""Seconds between two entries of the history."""
MOST_MINUTES = 60
_RATES = ("messages_in", "bytes_in", "frames_out", "bytes_out")
_LEVELS = ("clients", "rooms", "memory")
_WHOLE = ("at", *_LEVELS)
_NAMES = (*_WHOLE, *_RATES, "loop_delay")
"""What an entry of the history holds, in this order."""
_SHORTEST = 0.5
"""Seconds over which rates are computed at least."""


class _Entries:
    """The entries of the last hour, as numbers in one array; as dicts they would take ten times as much.

    Its memory does not grow: if it did, for an hour a host could not tell it from a leak.
    """

    def __init__(self) -> None:
        self._most = MOST_MINUTES * 60 // STEP
        self._numbers = array("d", bytes(array("d").itemsize * len(_NAMES) * self._most))
        self._added = 0

    def add(self, entry: dict[str, Any]) -> None:
        """Add an entry; it takes the place of the oldest one."""
        self._numbers[self._place(self._added)] = array("d", [entry[name] for name in _NAMES])
        self._added += 1

    def latest(self, count: int) -> list[dict[str, Any]]:
        """Return the latest `count` entries, or all if there are fewer, the earliest first."""
        count = min(count, self._added, self._most)
        return [self._entry(number) for number in range(self._added - count, self._added)]

    def _entry(self, number: int) -> dict[str, Any]:
        entry: dict[str, Any] = dict(zip(_NAMES, self._numbers[self._place(number)], strict=True))
        entry |= {name: int(entry[name]) for name in _WHOLE}
        return entry

    def _place(self, number: int) -> slice:
        start = number % self._most * len(_NAMES)
        return slice(start, start + len(_NAMES))


class Statistics:
    """Turns samples into rates. A sample is taken when it is needed: adding up counters of all clients takes time."""

    def __init__(
        self,
        sample: Callable[[], Slices[Sample]],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Set up the statistics.

        Args:
            sample: Returns the state of the server now.
            clock: Returns the time in seconds.
            wall_clock: Returns the Unix time in seconds.
        """
        self._sample = sample
        self._clock = clock
        self._wall_clock = wall_clock
        self._last = (clock(), finish(sample()))
        self._kept = self._last
        self._kept_delay = 0.0
        self._is_sampling = False
        self._shown: dict[str, Any] = self._data(self._last, self._last, 0.0)
        self._history = _Entries()

    def now(self) -> Slices[dict[str, Any]]:
        """Return the current state: `clients rooms messages_in bytes_in frames_out bytes_out memory loop_delay`.

        Messages, frames and bytes are rates per second since the last call; two calls shortly after each other return
        the same.
        """
        while self._is_sampling:  # for another caller
            yield
        if self._is_old(self._last, _SHORTEST):
            self._is_sampling = True
            try:
                self._take((yield from self._sample()))
            finally:
                self._is_sampling = False
        return self._shown

    def tick(self) -> Slices[None]:
        """Keep an entry of the history, if it is time; to be called once a second."""
        if not self._is_old(self._kept, STEP):
            return
        yield from self.now()
        self._history.add(self._data(self._kept, self._last, self._kept_delay))
        self._kept = self._last
        self._kept_delay = 0.0

    def history(self, minutes: int) -> list[dict[str, Any]]:
        """Return the entries of the last minutes, the earliest first; each also has `at`, its Unix time."""
        return self._history.latest(minutes * 60 // STEP)

    def _is_old(self, moment: tuple[float, Sample], seconds: float) -> bool:
        return self._clock() - moment[0] >= seconds

    def _take(self, sample: Sample) -> None:
        moment = (self._clock(), sample)
        self._kept_delay = max(self._kept_delay, sample.loop_delay)
        self._shown = self._data(self._last, moment, sample.loop_delay)
        self._last = moment

    def _data(
        self, former: tuple[float, Sample], latter: tuple[float, Sample], delay: float
    ) -> dict[str, Any]:
        elapsed = max(latter[0] - former[0], _SHORTEST)
        before, after = former[1]._asdict(), latter[1]._asdict()
        data: dict[str, Any] = {"at": round(self._wall_clock())}
        data |= {name: after[name] for name in _LEVELS}
        data |= {name: round((after[name] - before[name]) / elapsed, 1) for name in _RATES}
        data["loop_delay"] = round(delay, 4)
        return data
