"""How long to wait before trying a server again.

The delay grows with every try, so that a server that is down is not hammered, and is random, so that a
thousand clients that lost it at the same moment do not come back at the same moment.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """A delay that doubles from `first` to `longest` seconds, of which a random half to whole is taken."""

    def __init__(
        self, first: float = 0.5, longest: float = 30.0, random: Callable[[], float] = random.random
    ) -> None:
        """Args: first, longest: seconds. random: returns a number from 0 to 1."""
        self._first = first
        self._longest = longest
        self._random = random
        self._next = first

    def next(self) -> float:
        """Return the seconds to wait before the next try."""
        delay = self._next * (1 + self._random()) / 2
        self._next = min(self._next * 2, self._longest)
        return delay

    def reset(self) -> None:
        """Begin with the first delay again, because a try succeeded."""
        self._next = self._first
