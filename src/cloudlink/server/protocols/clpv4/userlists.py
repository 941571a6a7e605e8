"""User-list traffic: who is told of whom, and when (protocol, section 1.8).

Coming and going is announced to the other members of a room, each dialect in its own words. An unnamed
client is nobody's news.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudlink.delivery import Delivery
    from cloudlink.server.clients import Client
    from cloudlink.server.rooms import RoomsManager


class UserLists:
    """Moves clients in and out of rooms and tells those concerned."""

    def __init__(self, rooms: RoomsManager, delivery: Delivery) -> None:
        self._rooms = rooms
        self._delivery = delivery

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

    def announce(self, client: Client, room_id: str) -> None:
        """Tell the other members of a room that a named client is in it."""
        members = self._rooms.members(room_id, Schema)
        if members is None or not client.username_set:
            return
        room = self._rooms.rooms[room_id]
        for dialect, audience in members.audiences.items():
            frame = dialect.user_added(client, room)
            self._delivery.broadcast(audience, frame, skip=client.outbox)

    def announce_gone(self, client: Client, room_ids: Iterable[str]) -> None:
        """Tell the members left in rooms that a named client is no longer in them."""
        if not client.username_set:
            return
        for room_id in room_ids:
            members = self._rooms.members(room_id, Schema)
            if members is not None:
                room = self._rooms.rooms[room_id]
                for dialect, audience in members.audiences.items():
                    self._delivery.broadcast(audience, dialect.user_removed(client, room))
                    if dialect.repeats_list:
                        self._delivery.broadcast(audience, dialect.user_list(room, members))

    def show(self, client: Client, room_id: str) -> None:
        """Send a client the list of a room it is in."""
        members = self._rooms.members(room_id, Schema)
        if members is not None:
            frame = client.dialect.user_list(self._rooms.rooms[room_id], members)
            self._delivery.send(client.outbox, frame)
