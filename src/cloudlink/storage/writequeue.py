"""What the server's thread and the thread that writes hand each other: values to write, and news to tell.

Of each variable only the latest value waits. Nothing here knows SQLite; every method takes a lock for
microseconds at most, whatever the disk does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from itertools import islice
from typing import TYPE_CHECKING

from cloudlink.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Iterable

Batch = dict[str, dict[str, bytes | None]]
"""Values by room and name; None for a variable to delete."""

Change = tuple[str, str, bytes | None]
"""Room, name, and the new value or None."""

Charges = dict[tuple[str, str], tuple[str | None, int]]
"""Who is charged how many bytes for a variable that waits, by room and name."""

_MOST_BYTES = 64 << 20
_MOST_USED = 16_384
_OVERHEAD = 400
"""About what Python needs for one waiting variable beside its characters."""


class WriteQueue:
    """Values on their way to the file, and changes that others made on their way to the server.

    Nothing that waits is given up. How much one writer may have waiting is told by `has_place`, which is to be
    asked before a value is accepted.

    Args:
        most_bytes: About how much may wait while the file cannot be written, or is written slowly.
        most_used: For how many rooms it is remembered that they were used while that cannot be noted; anybody can
            use rooms.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES, most_used: int = _MOST_USED) -> None:
        self._most_bytes = most_bytes
        self._most_used = most_used
        self._lock = threading.Lock()
        self._values: defaultdict[str, dict[str, bytes | None]] = defaultdict(dict)
        self._charges: Charges = {}
        self._taken: Batch = {}
        self._taken_charges: Charges = {}
        self._shares = Shares()  # of both
        self._used: set[str] = set()
        self._taken_used: set[str] = set()
        self._news: OrderedDict[tuple[str, str], bytes | None] = OrderedDict()

    def __len__(self) -> int:
        """Return how many variables wait."""
        with self._lock:
            return sum(map(len, self._values.values())) + sum(map(len, self._taken.values()))

    def has_place(self, room: str, name: str, value: bytes | None, writer: str | None) -> bool:
        """Tell whether a value may wait: no writer may have more waiting than it leaves for others.

        Args:
            room: Its room.
            name: Its name.
            value: The value, None for a variable to delete.
            writer: Whoever it is charged to, None for nobody in particular.
        """
        size = _size(name, value)
        with self._lock:
            former, freed = self._charges.get((room, name), (writer, 0))
            if former != writer:
                return self._shares.admits(writer, size, self._most_bytes + freed)
            return size <= freed or self._shares.admits(writer, size - freed, self._most_bytes)

    def put(self, room: str, name: str, value: bytes | None, writer: str | None = None) -> None:
        """Have a value written; an older one of the same variable is not. For `writer` see `has_place`."""
        key, size = (room, name), _size(name, value)
        with self._lock:
            self._values[room][name] = value
            if key in self._charges:
                self._discharge(*self._charges[key])
            self._charges[key] = (writer, size)
            self._shares.add(writer, size)
            if self._news:
                # The server has set it since somebody else did: it must not be told the older value.
                self._news.pop(key, None)

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
            self._taken, self._values = self._values, defaultdict(dict)
            self._taken_charges, self._charges = self._charges, {}
            return self._taken

    def written(self) -> None:
        """Forget what was taken."""
        with self._lock:
            self._taken = {}
            for charge in self._taken_charges.values():
                self._discharge(*charge)
            self._taken_charges = {}
            self._taken_used = set()

    def put_back(self) -> None:
        """Let what was taken wait again, behind newer values of the same variables."""
        with self._lock:
            newer, self._values = self._values, defaultdict(dict, self._taken)
            self._taken = {}
            for room, values in newer.items():
                self._values[room].update(values)
            for key in self._charges.keys() & self._taken_charges.keys():
                self._discharge(*self._taken_charges.pop(key))
            self._charges.update(self._taken_charges)
            self._taken_charges = {}
            self._used.update(islice(self._taken_used, max(0, self._most_used - len(self._used))))
            self._taken_used = set()

    def _discharge(self, writer: str | None, size: int) -> None:
        self._shares.add(writer, -size)

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
            found = (self._news.popitem(last=False) for _ in range(count))
            return [(room, name, value) for (room, name), value in found]


def _size(name: str, value: bytes | None) -> int:
    return _OVERHEAD + len(name) + len(value or b"")
