"""What the server's thread and the thread that writes hand each other: values to write, and news to tell.

Of each variable only the latest value waits. Nothing here knows SQLite; every method takes a lock for
microseconds at most, whatever the disk does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Batch = dict[str, dict[str, bytes | None]]
"""Values by room and name; None for a variable to delete."""

Change = tuple[str, str, bytes | None]
"""Room, name, and the new value or None."""

_MOST_BYTES = 64 << 20
_MOST_USED = 16_384
_OVERHEAD = 200
"""About what Python needs for one waiting variable beside its characters."""


class WriteQueue:
    """Values on their way to the file, and changes that others made on their way to the server.

    Args:
        most_bytes: About how much may wait while the file cannot be written, or is written slowly. Beyond it,
            the rooms that have waited longest are given up.
        most_used: For how many rooms it is remembered that they were used while that cannot be noted; anybody can
            use rooms.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES, most_used: int = _MOST_USED) -> None:
        self._most_bytes = most_bytes
        self._most_used = most_used
        self._lock = threading.Lock()
        # Ordered: the first keys of a dict cannot be removed one after another in linear time.
        self._values: OrderedDict[str, dict[str, bytes | None]] = OrderedDict()
        self._size = 0  # of the values; what was taken is as large at most
        self._taken: Batch = {}
        self._given_up = 0
        self._used: set[str] = set()
        self._taken_used: set[str] = set()
        self._news: OrderedDict[tuple[str, str], bytes | None] = OrderedDict()

    def __len__(self) -> int:
        """Return how many variables wait."""
        with self._lock:
            return sum(map(len, self._values.values())) + sum(map(len, self._taken.values()))

    def put(self, room: str, name: str, value: bytes | None) -> None:
        """Have a value written; an older one of the same variable is not."""
        with self._lock:
            values = self._values.setdefault(room, {})
            if name in values:
                self._size -= _size(name, values[name])
            values[name] = value
            self._size += _size(name, value)
            if self._size > self._most_bytes:
                self._give_up()
            if self._news:
                # The server has set it since somebody else did: it must not be told the older value.
                self._news.pop((room, name), None)

    def use(self, room: str) -> None:
        """Have it noted that a room is in use."""
        with self._lock:
            self._used.add(room)

    def take_used(self) -> set[str]:
        """Take the rooms that were used since the last call; `written` or `put_back` must follow."""
        with self._lock:
            self._taken_used, self._used = self._used, set()
            return self._taken_used

    def of_room(self, room: str) -> dict[str, bytes | None]:
        """Return what waits or is being written for a room."""
        with self._lock:
            return {**self._taken.get(room, {}), **self._values.get(room, {})}

    def take(self) -> Batch:
        """Return everything to write now; `written` or `put_back` must follow."""
        with self._lock:
            self._taken, self._values = self._values, OrderedDict()
            self._size = 0
            return self._taken

    def written(self) -> None:
        """Forget what was taken."""
        with self._lock:
            self._taken = {}
            self._taken_used = set()

    def put_back(self) -> None:
        """Let what was taken wait again, behind newer values of the same variables."""
        with self._lock:
            newer, self._values = self._values, OrderedDict(self._taken)
            self._taken = {}
            for room, values in newer.items():
                self._values.setdefault(room, {}).update(values)
            self._size = sum(
                _size(name, value) for values in self._values.values() for name, value in values.items()
            )
            self._give_up()
            self._used.update(islice(self._taken_used, max(0, self._most_used - len(self._used))))
            self._taken_used = set()

    def take_given_up(self) -> int:
        """Return how many variables were given up since the last call."""
        with self._lock:
            count, self._given_up = self._given_up, 0
            return count

    def _give_up(self) -> None:
        while self._size > self._most_bytes:
            _, dropped = self._values.popitem(last=False)
            self._size -= sum(_size(name, value) for name, value in dropped.items())
            self._given_up += len(dropped)

    def announce(self, changes: Iterable[Change]) -> bool:
        """Keep changes of others for the server, except for variables it has set since.

        Returns:
            Whether there was something new to fetch.
        """
        arrived = False
        with self._lock:
            for room, name, value in changes:
                if name not in self._values.get(room, ()):
                    self._news[room, name] = value
                    arrived = True
        return arrived

    def fetch(self, most: int) -> list[Change]:
        """Take the oldest changes of others, at most so many."""
        with self._lock:
            count = min(most, len(self._news))
            oldest = [self._news.popitem(last=False) for _ in range(count)]
            return [(*key, value) for key, value in oldest]


def _size(name: str, value: bytes | None) -> int:
    return _OVERHEAD + len(name) + len(value or b"")
