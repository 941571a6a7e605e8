"""User-list traffic: who is told of whom, and when (protocol, section 1.8).

Coming and going is announced to the other members of a room, each dialect in its own words. An unnamed
client is nobody's news.

A small packet can cause much of this: it grows with the rooms it names, with their members and with the
members' names. So it is charged to whoever causes it, byte for byte and recipient for recipient, and who
has used up what the limits allow must wait. Lists that are repeated for others are bounded for all together.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cloudlink.buckets import Bucket
from cloudlink.delivery import as_update

from .dialects import user_object
from .schema import Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.delivery import Delivery, Outbox
    from cloudlink.server.clients import Client
    from cloudlink.server.limits import Limits
    from cloudlink.server.rooms import Members, Room, RoomsManager

    from .dialects import Dialect

logger = logging.getLogger("cloudlink.server")

_LIST = "ulist"
"""Names the lists of a room, of which a slow reader needs only the latest."""
_LONG_LIST = 1 << 16
"""Bytes of a list of which a few would be too much for somebody who reads slowly."""
_CHEAP_REPEAT = 1 << 20
"""Bytes, over all recipients, up to which a list is repeated at once."""
_REPEAT_BURST = 8 << 20
"""Bytes, over all recipients and rooms, up to which lists are repeated at once."""
_REPEAT_RATE = 50e6
"""Bytes per second, over all recipients, that repeated lists of one room may take."""
_REPEAT_RATE_OF_ALL = 200e6
"""Bytes per second, over all recipients, that repeated lists of all rooms may take."""
_USER_BYTES = 120
"""Bytes of a user object with a name of usual length."""


class UserLists:
    """Moves clients in and out of rooms and tells those concerned."""

    def __init__(
        self,
        rooms: RoomsManager,
        delivery: Delivery,
        later: Callable[[float, Callable[[], None]], None],
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the traffic of a server.

        Args:
            rooms: The server's rooms.
            delivery: The way out to clients.
            later: Calls a function after some seconds.
            limits: What a client may cause.
            clock: Tells the time, in seconds.
        """
        self._rooms = rooms
        self._delivery = delivery
        self._later = later
        self._limits = limits
        self._repeating: set[tuple[str, Dialect]] = set()
        self._clock = clock
        self._repeats = Bucket(_REPEAT_RATE_OF_ALL, _REPEAT_BURST, clock)
        self._repeated_by = 0.0  # when the last list that waits will have been sent
        self._encoded: set[Members] = set()  # whose lists are kept at the moment

    # Limits.

    def may_cause_more(self, client: Client) -> bool:
        """Tell whether a client may cause more of this now."""
        return self._bucket(client).take(0)

    def is_too_much(self, client: Client, room_ids: list[str]) -> bool:
        """Tell whether joining several rooms with one packet would be more than a client may ever cause."""
        if len(room_ids) < 2:  # noqa: PLR2004  # a single room can be joined however large it is
            return False
        per_member = _USER_BYTES + len(user_object(client))
        members = (self._rooms.members(room_id, Schema) for room_id in room_ids)
        return sum(len(m.all) for m in members if m) * per_member > self._limits.user_list_burst

    def _charge(self, client: Client, size: int) -> None:
        # May go into debt: what a packet causes is known only when it is done.
        self._bucket(client).take(size)

    def _bucket(self, client: Client) -> Bucket:
        if client.user_list_bucket is None:
            limits = self._limits
            client.user_list_bucket = Bucket(limits.user_list_rate, limits.user_list_burst)
        return client.user_list_bucket

    def forget_encoded(self) -> None:
        """Let go of lists that are kept only for those who come at about the same time."""
        for members in self._encoded:
            members.forget_lists()
        self._encoded.clear()

    # Coming and going.

    def join(self, client: Client, room_id: str) -> None:
        """Put a client into a room; nothing happens if it is inside."""
        if room_id not in client.rooms:
            self._rooms.subscribe(client, room_id)
            logger.debug("%s is in the room %.100r.", client, room_id)
            self.announce(client, room_id)

    def leave(self, client: Client, room_id: str) -> None:
        """Take a client out of a room; nothing happens if it is not inside."""
        if room_id in client.rooms:
            self._rooms.unsubscribe(client, room_id)
            logger.debug("%s is no longer in the room %.100r.", client, room_id)
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
        size = 0
        for dialect, audience in members.audiences.items():
            if not dialect.whole_lists:
                frame = dialect.user_added(client, room)
                size += len(frame) * len(audience)
                self._delivery.broadcast_deferred(audience, frame, skip=client.outbox)
            if dialect.whole_lists or (renamed and dialect.repeats_list):
                self._repeat(room, members, dialect, skip=client.outbox)
        self._charge(client, size)

    def announce_unnamed(self, client: Client) -> None:
        """Take back a client's name in its rooms, before it gets another; whole lists need only that one."""
        size = 0
        for room_id in sorted(client.rooms):
            room = self._rooms.rooms[room_id]
            for dialect, audience in room.members[Schema].audiences.items():
                if not dialect.whole_lists:
                    frame = dialect.user_removed(client, room)
                    size += len(frame) * len(audience)
                    self._delivery.broadcast_deferred(audience, frame, skip=client.outbox)
        self._charge(client, size)

    def announce_gone(self, client: Client, room_ids: Iterable[str]) -> None:
        """Tell the members left in rooms that a named client is no longer in them."""
        if not client.username_set:
            return
        size = 0
        for room_id in room_ids:
            members = self._rooms.members(room_id, Schema)
            if members is not None:
                room = self._rooms.rooms[room_id]
                for dialect, audience in members.audiences.items():
                    if not dialect.whole_lists:
                        frame = dialect.user_removed(client, room)
                        size += len(frame) * len(audience)
                        self._delivery.broadcast_deferred(audience, frame)
                    if dialect.whole_lists or dialect.repeats_list:
                        self._repeat(room, members, dialect)
        self._charge(client, size)

    def _repeat(self, room: Room, members: Members, dialect: Dialect, skip: Outbox | None = None) -> None:
        """Send the whole list to everybody in a room who speaks a dialect, except the one to skip.

        In a room of thousands that is hundreds of megabytes, and one client that comes and goes could keep
        the server busy with it. So the larger it is, the longer it waits, and those that come up meanwhile
        become one. Of many small ones at a time most wait, too, one after another. That bounds what all of
        them take, so nobody is charged for them: who leaves a large room for the first time may leave another.
        """
        if (room.id, dialect) in self._repeating:
            return
        frame = self._list(dialect, room, members)
        cost = len(frame) * len(members.audiences[dialect])
        if cost <= _CHEAP_REPEAT and self._repeats.take(cost):
            self._delivery.broadcast_deferred(
                members.audiences[dialect], as_update(frame, (_LIST, room.id)), skip
            )
        else:
            now = self._clock()
            self._repeated_by = max(self._repeated_by, now) + cost / _REPEAT_RATE_OF_ALL
            wait = max(cost / _REPEAT_RATE, self._repeated_by - now)
            self._repeating.add((room.id, dialect))
            self._later(wait, lambda: self._repeat_now(room.id, dialect))

    def _repeat_now(self, room_id: str, dialect: Dialect) -> None:
        self._repeating.discard((room_id, dialect))
        members = self._rooms.members(room_id, Schema)
        if members is not None and dialect in members.audiences:
            frame = self._list(dialect, self._rooms.rooms[room_id], members)
            self._delivery.broadcast_deferred(members.audiences[dialect], as_update(frame, (_LIST, room_id)))

    # Showing.

    def show(self, client: Client, room_id: str) -> None:
        """Send a client the list of a room it is in."""
        members = self._rooms.members(room_id, Schema)
        if members is not None:
            frame = self._list_for(client, self._rooms.rooms[room_id], members)
            self._charge(client, len(frame))
            self._delivery.send(client.outbox, frame)

    def shown(self, client: Client) -> list[bytes]:
        """Return a frame with the list of each room a client is in."""
        rooms = [self._rooms.rooms[room_id] for room_id in sorted(client.rooms)]
        frames = [self._list_for(client, room, room.members[Schema]) for room in rooms]
        self._charge(client, sum(map(len, frames)))
        return frames

    def _list_for(self, client: Client, room: Room, members: Members) -> bytes:
        frame = self._list(client.dialect, room, members)
        # Who reads slowly is spared an older list. For a short one, which most are, that would be a copy for nothing.
        is_replaceable = len(frame) >= _LONG_LIST or client.outbox.connection.congested
        return as_update(frame, (_LIST, room.id)) if is_replaceable else frame

    def _list(self, dialect: Dialect, room: Room, members: Members) -> bytes:
        self._encoded.add(members)
        return dialect.user_list(room, members)
