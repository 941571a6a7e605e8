"""Clocks for everything that takes one: time passes only when a test says so, or at each look."""

from __future__ import annotations


class FakeClock:
    """Returns `now`, in seconds, when it is called; a test moves it by setting `now`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class TickingClock(FakeClock):
    """A clock by which each look at it takes some time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def __call__(self) -> float:
        self.now += self._seconds
        return self.now
