"""Keeps a repeated event from filling the log: one line per key and interval."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class LogThrottle:
    """Says whether to log an event: once per interval for each key, such as an address.

    Keys whose interval is over are forgotten at most once per interval, so memory is bounded by the keys of two
    intervals.
    """

    __slots__ = ("_clock", "_forgotten_at", "_interval", "_logged_at")

    def __init__(self, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Set up.

        Args:
            interval: Seconds between two lines of one key.
            clock: Returns the time in seconds.
        """
        self._interval = interval
        self._clock = clock
        self._logged_at: dict[Hashable, float] = {}
        self._forgotten_at = clock()

    def should_log(self, key: Hashable = None) -> bool:
        """Return whether to log an event with this key now; True starts a new interval for the key."""
        now = self._clock()
        logged_at = self._logged_at.get(key)
        if logged_at is not None and now - logged_at < self._interval:
            return False
        if now - self._forgotten_at >= self._interval:
            self._forgotten_at = now
            self._logged_at = {k: at for k, at in self._logged_at.items() if now - at < self._interval}
        self._logged_at[key] = now
        return True
