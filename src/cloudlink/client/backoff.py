"""Delays between attempts to connect.

The delay grows with every attempt, so that a server that is down is not hammered, and is random, so that a thousand
clients that lost their connections at the same moment do not reconnect at the same moment.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """A delay that doubles from `first` to `longest` seconds, of which a random half to whole is used."""

    def __init__(
        self, first: float = 0.5, longest: float = 30.0, random: Callable[[], float] = random.random
    ) -> None:
        """Set up.

        Args:
            first: Seconds of the first delay.
            longest: Seconds of the longest delay.
            random: Returns a number from 0 to 1.
        """
        self._first = first
        self._longest = longest
        self._random = random
        self._next = first

    def next(self, at_least: float = 0.0) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            at_least: Minimum delay in seconds. If it exceeds the usual delay, the result is a random
                one to two times this.
        """
        share = self._random()
        delay = self._next * (1 + share) / 2
        self._next = min(self._next * 2, self._longest)
        return max(delay, at_least * (1 + share))

    def reset(self) -> None:
        """Start with the first delay again, because a connection has been stable."""
        self._next = self._first
