"""The latest variables of shared rooms, so that all nodes end with the same values.

Two clients may set a variable at the same time on different nodes; each node then sees the two values in another order.
The later stamp wins everywhere: a value that is older than one that the room has already got is dropped. Values are
remembered for some seconds, which is longer than any is under way, and are sent again where some may have been lost.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .records import RoomVariable

_REMEMBERED = 10.0
"""Seconds for which a value is remembered."""
_OVERHEAD = 500
"""Approximate bytes that Python needs for a value in addition to its text."""

_Key = tuple[str, str, bytes]


class Variables:
    """The variables that were set lately."""

    def __init__(self, clock: Callable[[], float], most_bytes: int = 32 << 20) -> None:
        """Set up the memory.

        Args:
            clock: Returns the time, in seconds.
            most_bytes: Approximate limit; beyond it, the oldest are forgotten early.
        """
        self._clock = clock
        self._most_bytes = most_bytes
        self._bytes = 0
        self._latest: OrderedDict[_Key, tuple[float, RoomVariable]] = OrderedDict()  # the oldest first

    def __len__(self) -> int:
        return len(self._latest)

    def put(self, variable: RoomVariable) -> bool:
        """Remember a value; return False if it is not newer than the one that is known."""
        key = (variable.protocol, variable.room, variable.name)
        known = self._latest.get(key)
        if known is not None:
            if known[1].stamp >= variable.stamp:
                return False
            del self._latest[key]
            self._bytes -= _size(known[1])
        self._latest[key] = self._clock(), variable
        self._bytes += _size(variable)
        while self._bytes > self._most_bytes:
            self._drop_oldest()
        return True

    def find(self, protocol: str, room: str, name: bytes) -> RoomVariable | None:
        """Return a variable that was set lately, None if it was not."""
        known = self._latest.get((protocol, room, name))
        return known[1] if known is not None else None

    def of_node(self, node: str) -> list[RoomVariable]:
        """Return the values that were set on a node."""
        return [variable for variable in self if variable.stamp.node == node]

    def __iter__(self) -> Iterator[RoomVariable]:
        return iter([variable for _, variable in self._latest.values()])

    def tick(self) -> None:
        """Forget values that are old."""
        oldest = self._clock() - _REMEMBERED
        while self._latest and next(iter(self._latest.values()))[0] < oldest:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, (_, variable) = self._latest.popitem(last=False)
        self._bytes -= _size(variable)


def _size(variable: RoomVariable) -> int:
    return _OVERHEAD + len(variable.room) + len(variable.name) + len(variable.event)
