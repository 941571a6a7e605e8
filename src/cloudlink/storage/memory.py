"""The store of a server without storage: variables live as long as the process.

It is bounded, because anybody can create rooms: beyond a size, the least recently used rooms are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from cloudlink.counters import StoreCondition

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.storage.interface import Watcher

_MOST_BYTES = 64 << 20
_OVERHEAD = 200
"""Approximate bytes that Python needs for one variable in addition to its characters."""


class MemoryStore:
    """A `VariableStore` that forgets everything when the process ends.

    Args:
        most_bytes: Approximate limit of its memory; the room in use is kept whatever its size.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._rooms: OrderedDict[str, dict[str, bytes]] = OrderedDict()

    @property
    def condition(self) -> StoreCondition:
        """Always well: nothing waits here."""
        return StoreCondition()

    def start(self, call_soon: Callable[..., object]) -> None:
        """Do nothing: there is no background."""

    def load(self, room: str) -> dict[str, bytes]:
        """Return all variables of a room."""
        variables = self._rooms.get(room)
        if variables is None:
            return {}
        self._rooms.move_to_end(room)
        return dict(variables)

    def has_place(self, room: str, name: str, value: bytes | None, writer: str | None) -> bool:  # noqa: ARG002  # the interface
        """Return True: nothing waits here."""
        return True

    def save(self, room: str, name: str, value: bytes, writer: str | None = None) -> None:  # noqa: ARG002  # the interface
        """Keep a value until the end of the process."""
        variables = self._rooms.setdefault(room, {})
        self._rooms.move_to_end(room)
        former = variables.get(name)
        variables[name] = value
        self._bytes += _size(name, value) if former is None else len(value) - len(former)
        while self._bytes > self._most_bytes and len(self._rooms) > 1:
            _, forgotten = self._rooms.popitem(last=False)
            self._bytes -= sum(_size(*variable) for variable in forgotten.items())

    def offer(self, room: str, name: str, value: bytes, writer: str | None) -> bool:
        """Save a value; return True."""
        self.save(room, name, value, writer)
        return True

    def delete(self, room: str, name: str) -> None:
        """Forget a variable."""
        variables = self._rooms.get(room, {})
        if name in variables:
            self._bytes -= _size(name, variables.pop(name))
            if not variables:
                del self._rooms[room]

    def touch(self, room: str) -> None:
        """Mark a room as the most recently used."""
        if room in self._rooms:
            self._rooms.move_to_end(room)

    def unload(self, room: str) -> None:
        """Forget all variables of a room."""
        for name in tuple(self._rooms.get(room, ())):
            self.delete(room, name)

    def watch(self, changed: Watcher) -> None:
        """Do nothing: nobody else can reach this store."""

    def limit(self, max_size: int | None, keep_days: float) -> None:
        """Do nothing: these limits are for files."""

    def close(self) -> None:
        """Do nothing: there is nothing to write."""


def _size(name: str, value: bytes) -> int:
    return _OVERHEAD + len(name) + len(value)
