"""User-list traffic: who is told of whom, and when (protocol, section 1.8).

Coming and going is announced to the other members of a room, each dialect in its own words. An unnamed
client is nobody's news.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .schema import Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.delivery import Delivery, Outbox
    from cloudlink.server.clients import Client
    from cloudlink.server.rooms import Members, Room, RoomsManager

    from .dialects import Dialect

_CHEAP_REPEAT = 1 << 20
"""Bytes, over all recipients, up to which a list is repeated at once."""
_REPEAT_RATE = 50e6
"""Bytes per second, over all recipients, that repeated lists of one room may take."""


class UserLists:
    """Moves clients in and out of rooms and tells those concerned."""

    def __init__(
        self, rooms: RoomsManager, delivery: Delivery, later: Callable[[float, Callable[[], None]], None]
    ) -> None:
        """Args: later: calls a function after some seconds."""
        self._rooms = rooms
        self._delivery = delivery
        self._later = later
        self._repeating: set[tuple[str, Dialect]] = set()

    def join(self, client: Client, room_id: str) -> None:
        """Put a client into a room; nothing happens if it is inside."""
        if room_id not in client.rooms:
            self._rooms.subscribe(client, room_id)
            self.announce(client, room_id)

    def leave(self, client: Client, room_id: str) -> None:
        """Take a client out of a room; nothing happens if it is not inside."""
        if room_id in client.rooms:
            self._rooms.unsubscribe(client, room_id)
            self.announce_gone(client, (room_id,))

    def announce(self, client: Client, room_id: str, *, renamed: bool = False) -> None:
        """Tell the other members of a room that a named client is in it.

        Args:
            client: The client.
            room_id: The room.
            renamed: Whether it was there before, under a name that `announce_unnamed` took back.
        """
        members = self._rooms.members(room_id, Schema)
        if members is None or not client.username_set:
            return
        room = self._rooms.rooms[room_id]
        for dialect, audience in members.audiences.items():
            if not dialect.whole_lists:
                self._delivery.broadcast(audience, dialect.user_added(client, room), skip=client.outbox)
            if dialect.whole_lists or (renamed and dialect.repeats_list):
                self._repeat(room, members, dialect, skip=client.outbox)

    def announce_unnamed(self, client: Client) -> None:
        """Take back a client's name in its rooms, before it gets another; whole lists need only that one."""
        for room_id in sorted(client.rooms):
            room = self._rooms.rooms[room_id]
            for dialect, audience in room.members[Schema].audiences.items():
                if not dialect.whole_lists:
                    self._delivery.broadcast(audience, dialect.user_removed(client, room), skip=client.outbox)

    def announce_gone(self, client: Client, room_ids: Iterable[str]) -> None:
        """Tell the members left in rooms that a named client is no longer in them."""
        if not client.username_set:
            return
        for room_id in room_ids:
            members = self._rooms.members(room_id, Schema)
            if members is not None:
                room = self._rooms.rooms[room_id]
                for dialect, audience in members.audiences.items():
                    if not dialect.whole_lists:
                        self._delivery.broadcast(audience, dialect.user_removed(client, room))
                    if dialect.whole_lists or dialect.repeats_list:
                        self._repeat(room, members, dialect)

    def _repeat(self, room: Room, members: Members, dialect: Dialect, skip: Outbox | None = None) -> None:
        """Send the whole list to everybody in a room who speaks a dialect, except the one to skip.

        In a room of thousands that is hundreds of megabytes, and one client that comes and goes could keep
        the server busy with it. So the larger it is, the longer it waits, and those that come up meanwhile
        become one.
        """
        cost = len(dialect.user_list(room, members)) * len(members.audiences[dialect])
        if cost <= _CHEAP_REPEAT:
            self._delivery.broadcast(members.audiences[dialect], dialect.user_list(room, members), skip)
        elif (room.id, dialect) not in self._repeating:
            self._repeating.add((room.id, dialect))
            self._later(cost / _REPEAT_RATE, lambda: self._repeat_now(room.id, dialect))

    def _repeat_now(self, room_id: str, dialect: Dialect) -> None:
        self._repeating.discard((room_id, dialect))
        members = self._rooms.members(room_id, Schema)
        if members is not None and dialect in members.audiences:
            frame = dialect.user_list(self._rooms.rooms[room_id], members)
            self._delivery.broadcast(members.audiences[dialect], frame)

    def show(self, client: Client, room_id: str) -> None:
        """Send a client the list of a room it is in."""
        members = self._rooms.members(room_id, Schema)
        if members is not None:
            self._delivery.send(client.outbox, self._list_for(client, self._rooms.rooms[room_id], members))

    def shown(self, client: Client) -> list[bytes]:
        """Return a frame with the list of each room a client is in."""
        rooms = [self._rooms.rooms[room_id] for room_id in sorted(client.rooms)]
        return [self._list_for(client, room, room.members[Schema]) for room in rooms]

    def _list_for(self, client: Client, room: Room, members: Members) -> bytes:
        frame: bytes = client.dialect.user_list(room, members)
        return frame
