"""The empty projects in memory, in the order in which they will be unloaded.

Each belongs to the address that holds most of its memory, so that an address that needs memory loses its own
projects first. Every method takes constant time.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cloudroom import CloudRoom

Rooms = OrderedDict[str, "CloudRoom"]


class EmptyProjects:
    """Projects without players by id, the one unused for longest first."""

    def __init__(self) -> None:
        self._rooms: Rooms = OrderedDict()
        self._owners: dict[str, str | None] = {}
        self._by_owner: dict[str | None, Rooms] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def __contains__(self, room: CloudRoom) -> bool:
        return room.id in self._rooms

    def add(self, room: CloudRoom) -> None:
        """Add a project at the end, or move it there."""
        self.discard(room)
        owner = _owner(room)
        self._rooms[room.id] = room
        self._owners[room.id] = owner
        self._by_owner.setdefault(owner, OrderedDict())[room.id] = room

    def discard(self, room: CloudRoom) -> None:
        """Remove a project if it is present."""
        if self._rooms.pop(room.id, None) is None:
            return
        owner = self._owners.pop(room.id)
        rooms = self._by_owner[owner]
        del rooms[room.id]
        if not rooms:
            del self._by_owner[owner]

    def oldest(self) -> CloudRoom | None:
        """Return the project that has been unused for longest, None if there is none."""
        return _first(self._rooms)

    def oldest_of(self, owner: str | None) -> CloudRoom | None:
        """Return the project of an address that has been unused for longest, None if there is none."""
        rooms = self._by_owner.get(owner)
        return _first(rooms) if rooms else None

    def clear(self) -> None:
        """Remove all projects."""
        self._rooms.clear()
        self._owners.clear()
        self._by_owner.clear()


def _owner(room: CloudRoom) -> str | None:
    """Return the address that holds most of a project's memory."""
    held: Counter[str | None] = Counter({room.opener: room.own_cost})
    for name in room.variables:
        held[room.payer(name)] += room.cost_of(name)
    return held.most_common(1)[0][0]


def _first(rooms: Rooms) -> CloudRoom | None:
    """Return the first of some rooms.

    An `OrderedDict` finds it in constant time; a dict would skip every slot that was emptied before it.
    """
    return next(iter(rooms.values()), None)
