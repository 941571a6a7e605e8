"""The hybrid clock: time stamps that nodes with clocks of their own can compare.

A stamp is never smaller than any that the node has given or seen, so whatever happens after a node heard of
something is stamped later. Otherwise it follows the wall clock; a skew of seconds decides only between
things that happened without knowing of each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable

_MICROSECONDS = 1_000_000


class HybridClock:
    """Gives out stamps."""

    def __init__(self, node: str, wall: Callable[[], float]) -> None:
        """Set up a clock.

        Args:
            node: The id of this node.
            wall: Returns the seconds since the Unix epoch.
        """
        self._node = node
        self._wall = wall
        self._last = 0

    def stamp(self) -> Stamp:
        """Return the stamp of something that happens now."""
        time = int(self._wall() * _MICROSECONDS)
        self._last = time if time > self._last else self._last + 1
        return Stamp(self._last, self._node)

    def see(self, stamp: Stamp) -> None:
        """Take note of a stamp of another node."""
        if stamp.time > self._last:  # noqa: PLR1730  # max() takes longer than the rest of this
            self._last = stamp.time
