"""The exchange between the server's thread and the writing thread: values to write, and news to report.

Only the latest value of each variable waits. Nothing here depends on SQLite; every method holds a lock for
microseconds at most, whatever the disk does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from itertools import islice
from typing import TYPE_CHECKING

from cloudlink.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Batch = dict[str, dict[str, bytes | None]]
"""Values by room and name; None for a variable to delete."""

Change = tuple[str, str, bytes | None]
"""Room, name, and the new value or None."""

Charges = dict[tuple[str, str], tuple[str | None, int]]
"""The writer and the bytes that it is charged for a waiting variable, by room and name."""

_MOST_BYTES = 64 << 20
_MOST_USED = 16_384
_OVERHEAD = 400
"""Approximate bytes that Python needs for one waiting variable in addition to its characters."""


class WriteQueue:
    """Values on their way to the file, and changes that others made on their way to the server.

    No waiting value is dropped. `has_place` limits how much of one writer may wait, and must be called
    before a value is accepted.

    Args:
        most_bytes: Approximate limit for waiting values while the file cannot be written, or is written slowly.
        most_used: Most rooms whose use is remembered while it cannot be stored; there is a limit because anybody can
            use rooms.
        on_waiting: Called after a value was added, unless it replaced a waiting one of the same size.
    """

    def __init__(
        self,
        most_bytes: int = _MOST_BYTES,
        most_used: int = _MOST_USED,
        on_waiting: Callable[[], object] = lambda: None,
    ) -> None:
        self._most_bytes = most_bytes
        self._most_used = most_used
        self._on_waiting = on_waiting
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
        """Return whether a value may wait: no writer may have more waiting than it leaves for others.

        Args:
            room: Its room.
            name: Its name.
            value: The value, None for a variable to delete.
            writer: The writer to charge, None for no one in particular.
        """
        with self._lock:
            return self._admits((room, name), (writer, _size(name, value)))

    def _admits(self, key: tuple[str, str], charge: tuple[str | None, int]) -> bool:
        writer, size = charge
        former, freed = self._charges.get(key, (writer, 0))
        if former != writer:
            return self._shares.admits(writer, size, self._most_bytes + freed)
        return size <= freed or self._shares.admits(writer, size - freed, self._most_bytes)

    def put(self, room: str, name: str, value: bytes | None, writer: str | None = None) -> None:
        """Add a value; it replaces an older one of the same variable. For `writer` see `has_place`."""
        key, charge = (room, name), (writer, _size(name, value))
        with self._lock:
            if self._charges.get(key) != charge:
                self._charge(key, charge)
            self._put(key, value)
        self._on_waiting()

    def offer(self, room: str, name: str, value: bytes, writer: str | None) -> bool:
        """Add a value like `put` if `has_place` allows it; return whether it does."""
        values = self._values.get(room)
        former = values.get(name) if values is not None else None
        # A value that replaces a waiting one of the same size needs no more place, as with a variable that is set often.
        # A variable with a waiting value has no news. Such a value needs no lock, which would take as long as all
        # else here: if the writing thread takes the others meanwhile, `values` is not in its place afterwards, and the
        # value is added once more.
        if values is not None and former is not None and len(former) == len(value):
            charge = self._charges.get((room, name))
            if charge is not None and charge[0] == writer:
                values[name] = value
                if self._values.get(room) is values:
                    return True
        return self._offer(room, name, value, writer)

    def _offer(self, room: str, name: str, value: bytes, writer: str | None) -> bool:
        key, charge = (room, name), (writer, _size(name, value))
        with self._lock:
            if not self._admits(key, charge):
                return False
            if self._charges.get(key) != charge:
                self._charge(key, charge)
            self._put(key, value)
        self._on_waiting()
        return True

    def _charge(self, key: tuple[str, str], charge: tuple[str | None, int]) -> None:
        former = self._charges.get(key)
        if former is not None:
            self._discharge(*former)
        self._charges[key] = charge
        self._shares.add(*charge)

    def _put(self, key: tuple[str, str], value: bytes | None) -> None:
        room, name = key
        self._values[room][name] = value
        if self._news:
            # The server set it after the other process did, so the older value must not be reported.
            self._news.pop(key, None)

    def use(self, room: str) -> None:
        """Note that a room is in use."""
        with self._lock:
            self._used.add(room)

    def take_used(self) -> set[str]:
        """Return the rooms that were used since the last call; `written` or `put_back` must follow."""
        with self._lock:
            self._taken_used, self._used = self._used, set()
            return self._taken_used

    def of_room(self, room: str) -> dict[str, bytes | None]:
        """Return the values of a room that wait or are being written."""
        with self._lock:
            return {**self._taken.get(room, {}), **self._values.get(room, {})}

    def take(self) -> Batch:
        """Remove and return all values to write; `written` or `put_back` must follow."""
        with self._lock:
            self._taken, self._values = self._values, defaultdict(dict)
            self._taken_charges, self._charges = self._charges, {}
            return self._taken

    def written(self) -> None:
        """Forget the values that were taken."""
        with self._lock:
            self._taken = {}
            for charge in self._taken_charges.values():
                self._discharge(*charge)
            self._taken_charges = {}
            self._taken_used = set()

    def put_back(self) -> None:
        """Put the taken values back, except where a newer value of the same variable waits."""
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
        """Keep changes of others for the server, except for variables that it has set since.

        Returns:
            Whether there is something new to fetch.
        """
        arrived = False
        with self._lock:
            for room, name, value in changes:
                if name not in self._values.get(room, ()):
                    self._news[room, name] = value
                    arrived = True
        return arrived

    def fetch(self, most: int) -> list[Change]:
        """Remove and return the oldest changes of others, at most `most`."""
        with self._lock:
            count = min(most, len(self._news))
            found = (self._news.popitem(last=False) for _ in range(count))
            return [(room, name, value) for (room, name), value in found]


def _size(name: str, value: bytes | None) -> int:
    return _OVERHEAD + len(name) + len(value or b"")
