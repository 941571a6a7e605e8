"""A clock for everything that takes one: time passes only when a test says so."""

from __future__ import annotations


class FakeClock:
    """Returns `now`, in seconds, when it is called; a test moves it by setting `now`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
