"""The latest variables of shared rooms, so that all nodes end with the same values.

Two clients may set a variable at the same time on different nodes; each node then sees the two values in another order.
The later stamp wins everywhere: a value that is older than one that the room has already got is dropped. Values are
remembered for some seconds, which is longer than any is under way, and are sent again where some may have been lost.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .records import RoomVariable

_REMEMBERED = 10.0
"""Seconds for which a value is remembered at least, unless there are too many; at most, it is twice as long."""
_OVERHEAD = 500
"""Approximate bytes that Python needs for a value in addition to its text."""

_Key = tuple[str, str, bytes]


class Variables:
    """The variables that were set lately.

    There are two generations. Values enter the younger one; from time to time the elder one is forgotten, and the
    younger one takes its place. That costs less than keeping all values in order of time.
    """

    def __init__(self, clock: Callable[[], float], most_bytes: int = 32 << 20) -> None:
        """Set up the memory.

        Args:
            clock: Returns the time, in seconds.
            most_bytes: Approximate limit; beyond it, the oldest are forgotten early.
        """
        self._clock = clock
        self._most_bytes = most_bytes // 2  # of a generation
        self._bytes = 0  # of the younger generation
        self._younger: dict[_Key, RoomVariable] = {}
        self._elder: dict[_Key, RoomVariable] = {}
        self._began_at = clock()

    def __len__(self) -> int:
        return len(self._younger) + len(self._elder)

    def put(self, variable: RoomVariable) -> bool:
        """Remember a value; return False if it is not newer than the one that is known."""
        key = (variable.protocol, variable.room, variable.name)
        younger = self._younger
        known = younger.get(key)
        if known is not None:
            # Comparing only the times takes half as long, and decides nearly always.
            if known.stamp.time >= variable.stamp.time and known.stamp >= variable.stamp:
                return False
            self._bytes += len(variable.event) - len(known.event)
        else:
            known = self._elder.get(key)
            if known is not None:
                if known.stamp >= variable.stamp:
                    return False
                del self._elder[key]
            self._bytes += _OVERHEAD + len(variable.room) + len(variable.name) + len(variable.event)
        younger[key] = variable
        if self._bytes > self._most_bytes:
            self._begin_generation()
        return True

    def find(self, protocol: str, room: str, name: bytes) -> RoomVariable | None:
        """Return a variable that was set lately, None if it was not."""
        key = (protocol, room, name)
        return self._younger.get(key) or self._elder.get(key)

    def of_node(self, node: str) -> list[RoomVariable]:
        """Return the values that were set on a node."""
        return [variable for variable in self if variable.stamp.node == node]

    def __iter__(self) -> Iterator[RoomVariable]:
        return iter([*chain(self._elder.values(), self._younger.values())])

    def tick(self) -> None:
        """Forget values that are old."""
        if self._clock() - self._began_at >= _REMEMBERED:
            self._begin_generation()

    def _begin_generation(self) -> None:
        self._elder, self._younger = self._younger, {}
        self._bytes = 0
        self._began_at = self._clock()
