"""How long ago something was, on a computer whose clock may be wrong.

Times in the storage file are those of the system's clock, which may be moved while the server runs, and may be wrong
when it starts: a Raspberry Pi does not know the date before it reaches the network. Whatever the clock says, no
project may seem unused for longer than it can have been. What is deleted, and when, is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOVED = 3600.0
"""Seconds by which the clock must go wrong between two looks to count as moved."""


@dataclass(frozen=True)
class Move:
    """The clock was moved.

    Attributes:
        by: Seconds, negative when it was set back.
        since: When this process began, by the clock as it was.
        until: What the clock as it was would say now.
    """

    by: float
    since: float
    until: float


class Calendar:
    """The date as far as it can be trusted.

    Args:
        wall_clock: Returns the Unix time in seconds, right or wrong.
        clock: Returns seconds that always pass evenly.
    """

    def __init__(self, wall_clock: Callable[[], float], clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._clock = clock
        self._began = clock()
        self._began_at = wall_clock()

    def look(self) -> Move | None:
        """Return how the clock was moved since the last look, None if it was not."""
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
            newest: The newest time in the file when this process began, None for none.
            trusted: Seconds for which the file may have lain unused. If it has been longer by the clock, the clock may
                be wrong, or the server was not running and nobody could use anything: that time does not count.
        """
        if newest is not None and self._began_at - newest > trusted:
            return newest + self._uptime
        return self._began_at + self._uptime

    @property
    def _uptime(self) -> float:
        return self._clock() - self._began
