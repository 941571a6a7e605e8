"""The variables of what is shared, and when each was set, so that all servers agree on the last value.

Every variable that is set here gets a stamp: the time in milliseconds, but always later than every stamp that was seen
before, and this server's random name. The greater stamp wins everywhere. A server keeps the latest values, so that it
can send its own again after a reconnection. One ledger serves all bridges of a server. In a cluster, the
node that runs the bridges writes it, and the others learn what is in it. Pure.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_SKEW = 600_000
"""Milliseconds by which a stamp may lie in the future."""
_MOST_VARIABLES = 128
"""Most variables that are kept of one room or project."""
_MOST_BYTES = 1 << 20
"""Most bytes of names and values that are kept of one room or project."""

Place = tuple[str, str]
"""`room` or `project`, and its name here."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """The latest value of a variable.

    Attributes:
        at: Milliseconds since 1970; 0 for a value from before the server started.
        by: The random name of the server that set it, empty for a value from before the start.
        val: JSON text of the value.
        via: The bridge that it came through, empty for one that was set here.
    """

    at: int
    by: str
    val: bytes
    via: str

    @property
    def stamp(self) -> tuple[int, str, bytes]:
        """The order of values: the higher stamp wins; of values from before the start, the value decides."""
        return self.at, self.by, self.val


def wall_clock() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Ledger:
    """The variables of all shared rooms and projects."""

    def __init__(self, wall: Callable[[], int] = wall_clock, name: str = "") -> None:
        """Set up.

        Args:
            wall: Returns milliseconds since 1970.
            name: For tests; empty for a random one.
        """
        self.name = name or secrets.token_hex(8)
        self._wall = wall
        self._last = 0
        self._entries: dict[Place, dict[str, Entry]] = {}
        self._sizes: dict[Place, int] = {}
        self._changed: dict[tuple[Place, str], Entry] = {}
        self._on_change: Callable[[], None] | None = None

    def now(self) -> int:
        """Return the time in milliseconds since 1970."""
        return self._wall()

    def set_here(self, place: Place, name: str, val: bytes) -> Entry:
        """Record a value that was set on this server."""
        self._last = max(self._last + 1, self._wall())
        entry = Entry(self._last, self.name, val, "")
        self._put(place, name, entry)
        self._note(place, name, entry)
        return entry

    def set_there(self, place: Place, name: str, entry: Entry, current: bytes | None = None) -> bool:
        """Record a value that was set on another server.

        Args:
            place: Where.
            name: The variable.
            entry: The value and its stamp.
            current: The value that is here from before the start; None for none.

        Returns:
            Whether it is later than what is known, and so has to be applied.
        """
        if entry.at > self._wall() + MOST_SKEW:
            return False
        self._last = max(self._last, entry.at)
        known = self._entries.get(place, {}).get(name)
        if known is None and current is not None:
            known = Entry(0, "", current, "")
        if known is not None and entry.stamp <= known.stamp:
            return False
        self._put(place, name, entry)
        self._note(place, name, entry)
        return True

    def of(self, place: Place) -> Iterator[tuple[str, Entry]]:
        """Yield the variables of a room or project, those set longest ago first."""
        yield from tuple(self._entries.get(place, {}).items())

    def get(self, place: Place, name: str) -> Entry | None:
        """Return the latest value of a variable, None if none is known."""
        return self._entries.get(place, {}).get(name)

    # For the other nodes of a cluster.

    def watch(self, on_change: Callable[[], None] | None) -> None:
        """Call a function after each value that is set from now on; None calls none."""
        self._on_change = on_change
        self._changed = {}

    def take_changed(self) -> dict[tuple[Place, str], Entry]:
        """Return the latest of the values that were set since the last call; empty unless `watch` was called."""
        changed, self._changed = self._changed, {}
        return changed

    def everything(self) -> dict[tuple[Place, str], Entry]:
        """Return all values."""
        return {
            (place, name): entry
            for place, entries in self._entries.items()
            for name, entry in entries.items()
        }

    def learn(self, place: Place, name: str, entry: Entry) -> None:
        """Record a value that another node has recorded, unless it is older than the one that is known."""
        self._last = max(self._last, entry.at)
        known = self.get(place, name)
        if known is None or entry.stamp > known.stamp:
            self._put(place, name, entry)

    def _note(self, place: Place, name: str, entry: Entry) -> None:
        if self._on_change is not None:
            self._changed[place, name] = entry
            self._on_change()

    def _put(self, place: Place, name: str, entry: Entry) -> None:
        entries = self._entries.setdefault(place, {})
        size = self._sizes.get(place, 0) + len(name) + len(entry.val)
        former = entries.pop(name, None)
        if former is not None:
            size -= len(name) + len(former.val)
        entries[name] = entry
        while len(entries) > _MOST_VARIABLES or (size > _MOST_BYTES and len(entries) > 1):
            oldest = next(iter(entries))
            size -= len(oldest) + len(entries.pop(oldest).val)
        self._sizes[place] = size
