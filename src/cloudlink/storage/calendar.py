"""Ages of stored data on a computer whose clock may be wrong.

Times in the storage file come from the system clock, which may be changed while the server runs, and may be wrong
when it starts: a Raspberry Pi does not know the date before it reaches the network. Whatever the clock says, no
project may appear unused for longer than is possible. Other modules decide what is deleted, and when.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOVED = 3600.0
"""Deviation of the clock between two calls of `look`, in seconds, that counts as a move."""


@dataclass(frozen=True)
class Move:
    """The clock was moved.

    Attributes:
        by: Seconds, negative when it was set back.
        since: When this process began, by the clock before the move.
        until: The present time by the clock before the move.
    """

    by: float
    since: float
    until: float


class Calendar:
    """The date as far as it can be trusted.

    Args:
        wall_clock: Returns the Unix time in seconds, right or wrong.
        clock: Returns a monotonic time in seconds.
    """

    def __init__(self, wall_clock: Callable[[], float], clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._clock = clock
        self._began = clock()
        self._began_at = wall_clock()

    def look(self) -> Move | None:
        """Return how the clock was moved since the last call, None if it was not."""
        expected = self._began_at + self._uptime
        by = self._wall_clock() - expected
        if abs(by) <= _MOVED:
            return None
        move = Move(by, self._began_at, expected)
        self._began_at += by
        return move

    def today(self, newest: float | None, trusted: float) -> float:
        """Return the Unix time to count ages from.

        Args:
            newest: The newest time in the file when this process began; None if there is none.
            trusted: Longest credible age of the file, in seconds. If it is older by the clock, the clock may
                be wrong, or the server was not running, so that nobody could use a project: the excess does not count.
        """
        if newest is not None and self._began_at - newest > trusted:
            return newest + self._uptime
        return self._began_at + self._uptime

    @property
    def _uptime(self) -> float:
        return self._clock() - self._began
