"""The state of one room: the latest value of each of its variables, and its last message.

Its size is limited so that no address can displace the variables of others: each variable belongs to the
address that set it last, and if there is too much, the address that holds most loses variables. This module
neither sends nor stores.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from cloudlink.delivery import join
from cloudlink.server.events import Message, Variable

if TYPE_CHECKING:
    from .dialects import Dialect

_ROOM_COST = 1000
_VARIABLE_COST = 300
"""Approximate memory of a variable in addition to its characters, in bytes."""


def variable_cost(name: bytes, val: bytes) -> int:
    """Return the approximate memory of a variable, in bytes."""
    return _VARIABLE_COST + len(name) + len(val)


class Kept(msgspec.Struct, gc=False):
    """A variable's latest value as JSON text, and the address that set it."""

    val: bytes
    address: str


class Share(msgspec.Struct, gc=False):
    """The part of a room that belongs to one address: the number of variables, and their bytes."""

    count: int = 0
    size: int = 0


class RoomState:
    """The state that is sent to newcomers of a room.

    Attributes:
        room: The room's name.
        variables: Each variable by the JSON text of its name, the least recently set first; changed only by
            `put` and `drop`.
        message: JSON text of the payload of the last message, empty for none; changed only by `put_message`.
        size: Bytes of all names and values.
        empty_since: When the last member left the room, in seconds of the server's clock.
    """

    __slots__ = ("_frames", "_shares", "empty_since", "message", "room", "size", "variables")

    def __init__(self, room: str) -> None:
        self.room = room
        self.variables: dict[bytes, Kept] = {}
        self.message = b""
        self.size = 0
        self.empty_since = 0.0
        self._shares: dict[str, Share] = {}
        self._frames: dict[Dialect, bytes] = {}

    @property
    def own_cost(self) -> int:
        """Approximate memory in addition to the variables, in bytes."""
        return _ROOM_COST + sys.getsizeof(self.room) + len(self.message)

    def put(self, name: bytes, val: bytes, address: str) -> None:
        """Add a variable that does not exist yet.

        Args:
            name: JSON text of its name.
            val: JSON text of its value.
            address: The address that set it, empty for the server itself.
        """
        self.variables[name] = Kept(val, address)
        self._frames.clear()
        size = len(name) + len(val)
        self.size += size
        share = self._shares.setdefault(address, Share())
        share.count += 1
        share.size += size

    def drop(self, name: bytes) -> Kept:
        """Remove an existing variable, and return it."""
        kept = self.variables.pop(name)
        self._frames.clear()
        size = len(name) + len(kept.val)
        self.size -= size
        share = self._shares[kept.address]
        share.count -= 1
        share.size -= size
        if not share.count:
            del self._shares[kept.address]
        return kept

    def put_message(self, val: bytes) -> None:
        """Replace the last message; empty for none."""
        self.message = val
        self._frames.clear()

    def surplus(self, most_variables: float, most_bytes: float, address: str) -> bytes | None:
        """Return the name of the variable to remove next, None while the room is within its limits.

        The address that holds most loses its least recently set variable.

        Args:
            most_variables: The maximum number of variables.
            most_bytes: The maximum `size`.
            address: The address that made the room grow; if several hold equally much, this one loses.
        """
        shares = self._shares
        if len(self.variables) > most_variables:
            loser = max(shares, key=lambda owner: (shares[owner].count, owner == address))
        elif self.size > most_bytes:
            loser = max(shares, key=lambda owner: (shares[owner].size, owner == address))
        else:
            return None
        return next(name for name, kept in self.variables.items() if kept.address == loser)

    def frames(self, dialect: Dialect) -> bytes:
        """Return the concatenated frames for a newcomer, identical for all clients of a dialect."""
        found = self._frames.get(dialect)
        if found is None:
            written = [
                dialect.write(Variable(name, kept.val), self.room) for name, kept in self.variables.items()
            ]
            if dialect.repeats_message and self.message:
                written.append(dialect.write(Message(self.message), self.room))
            frames = list(filter(None, written))
            found = self._frames[dialect] = join(frames) if frames else b""
        return found

    def forget_encoded(self) -> None:
        """Drop the encoded frames, which are cached for clients that join at about the same time."""
        self._frames.clear()
