"""User-list traffic: joining and leaving rooms, and telling everybody concerned (protocol, section 1.8).

Coming and going is an event for the other members of a room, which dialects with modes write as `add` and `remove`.
Dialects that know whole lists only, or need them, are sent the list again, whoever caused the event. An unnamed client
is in no list.

A small packet can cause much of this: it grows with the rooms it names, with their members and with the
members' names. So it is charged to its sender, byte for byte and recipient for recipient, and a sender that
has used up what the limits allow must wait. Lists that are repeated for others are bounded for all together.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cloudlink.buckets import Bucket
from cloudlink.delivery import as_update
from cloudlink.server.events import Joined, Left, Renamed

from .dialects import user_object
from .schema import Schema
from .userlistcache import UserListCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.delivery import Delivery, Outbox
    from cloudlink.server.clients import Client
    from cloudlink.server.events import Event, User
    from cloudlink.server.hub import Hub
    from cloudlink.server.limits import Limits
    from cloudlink.server.members import Members
    from cloudlink.server.rooms import RoomsManager

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
    """Moves clients in and out of rooms and tells everybody concerned."""

    def __init__(
        self,
        rooms: RoomsManager,
        hub: Hub,
        delivery: Delivery,
        later: Callable[[float, Callable[[], None]], None],
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the traffic of a server.

        Args:
            rooms: The server's rooms.
            hub: The way of events to clients.
            delivery: The way of user lists to clients.
            later: Calls a function after some seconds.
            limits: What a client may cause.
            clock: Returns the time, in seconds.
        """
        self._rooms = rooms
        self._hub = hub
        self._delivery = delivery
        self._later = later
        self._limits = limits
        self._clock = clock
        self._repeating: set[tuple[str, Dialect]] = set()
        self._repeats = Bucket(_REPEAT_RATE_OF_ALL, _REPEAT_BURST, clock)
        self._repeated_by = 0.0  # when the last list that waits will have been sent
        self._caches: dict[str, UserListCache] = {}  # by room
        for kind in (Joined, Left, Renamed):
            hub.subscribe(kind, self._repeat_lists)

    # Limits.

    def may_cause_more(self, client: Client) -> bool:
        """Return whether a client may cause more of this now."""
        return self._bucket(client).take(0)

    def is_too_much(self, client: Client, room_ids: list[str]) -> bool:
        """Return whether joining several rooms with one packet would be more than a client may ever cause."""
        if len(room_ids) < 2:  # noqa: PLR2004  # a single room can be joined however large it is
            return False
        per_member = _USER_BYTES + len(user_object(client.user))
        members = (self._rooms.members(room_id, Schema) for room_id in room_ids)
        return sum(len(m.presence.users) for m in members if m) * per_member > self._limits.user_list_burst

    def charge(self, client: Client, size: int) -> None:
        """Charge a client for bytes that it caused."""
        # May go into debt: what a packet causes is known only when it is done.
        self._bucket(client).take(size)

    def _bucket(self, client: Client) -> Bucket:
        bucket: Bucket | None = client.state.user_list_bucket
        if bucket is None:
            limits = self._limits
            bucket = client.state.user_list_bucket = Bucket(limits.user_list_rate, limits.user_list_burst)
        return bucket

    def forget_encoded(self) -> None:
        """Drop the encoded lists, which are kept only for clients that come at about the same time."""
        self._caches.clear()

    # Coming and going.

    def join(self, client: Client, room_id: str) -> None:
        """Put a client into a room; nothing happens if it is inside."""
        if room_id not in client.joined:
            self._rooms.subscribe(client, room_id)
            logger.debug("%s is in the room %.100r.", client, room_id)
            if client.username_set:
                self.charge(client, self._announce_joined(client, room_id))

    def leave(self, client: Client, room_id: str) -> None:
        """Take a client out of a room; nothing happens if it is not inside."""
        if room_id in client.joined:
            self._rooms.unsubscribe(client, room_id)
            logger.debug("%s is no longer in the room %.100r.", client, room_id)
            self.announce_left(client, (room_id,))

    def announce_named(self, client: Client, former: User) -> None:
        """Tell the members of a client's rooms that it has a name, or another one.

        Args:
            client: The client.
            former: What it was to others before; its name is None for a first name.
        """
        size = 0
        for room_id in sorted(client.joined):
            if former.username is None:
                size += self._announce_joined(client, room_id)
            else:
                event = Renamed(client.user, former)
                size += self._hub.emit(client.joined[room_id], event, client, to_sender=False)
        self.charge(client, size)

    def announce_left(self, client: Client, room_ids: Iterable[str]) -> None:
        """Tell the members left in rooms that a named client is no longer in them."""
        if not client.username_set:
            return
        size = 0
        for room_id in room_ids:
            size += self._hub.emit_to(room_id, Schema, Left(client.user))
        self.charge(client, size)

    def _announce_joined(self, client: Client, room_id: str) -> int:
        return self._hub.emit(client.joined[room_id], Joined(client.user), client, to_sender=False)

    def _repeat_lists(self, room: str, protocol: object, event: Event, skip: Outbox | None) -> None:
        """Send the whole list to the members who need it after an event; a subscriber of the hub."""
        members = self._rooms.members(room, Schema)
        if protocol is not Schema or members is None:
            return
        shrinks = not isinstance(event, Joined)
        for dialect in members.audiences:
            if dialect.whole_lists or (shrinks and dialect.repeats_list):
                self._repeat(members, dialect, skip)

    def _repeat(self, members: Members, dialect: Dialect, skip: Outbox | None = None) -> None:
        """Send the whole list to everybody in a room who speaks a dialect, except the one to skip.

        In a room of thousands that is hundreds of megabytes, and one client that comes and goes could keep
        the server busy with it. So the larger it is, the longer it waits, and those that come up meanwhile
        become one. Of many small ones at a time most wait, too, one after another. That bounds what all of
        them take, so nobody is charged for them: a client that leaves one large room may leave another.
        """
        room_id = members.room
        if (room_id, dialect) in self._repeating:
            return
        frame = self._list(dialect, members)
        cost = len(frame) * len(members.audiences[dialect])
        if cost <= _CHEAP_REPEAT and self._repeats.take(cost):
            update = as_update(frame, (_LIST, room_id))
            self._delivery.broadcast_deferred(members.audiences[dialect], update, skip)
        else:
            now = self._clock()
            self._repeated_by = max(self._repeated_by, now) + cost / _REPEAT_RATE_OF_ALL
            wait = max(cost / _REPEAT_RATE, self._repeated_by - now)
            self._repeating.add((room_id, dialect))
            self._later(wait, lambda: self._repeat_now(room_id, dialect))

    def _repeat_now(self, room_id: str, dialect: Dialect) -> None:
        self._repeating.discard((room_id, dialect))
        members = self._rooms.members(room_id, Schema)
        if members is not None and dialect in members.audiences:
            update = as_update(self._list(dialect, members), (_LIST, room_id))
            self._delivery.broadcast_deferred(members.audiences[dialect], update)

    # Showing.

    def show(self, client: Client, room_id: str) -> None:
        """Send a client the list of a room, if it is in it."""
        members = client.joined.get(room_id)
        if members is not None:
            frame = self._list_for(client, members)
            self.charge(client, len(frame))
            self._delivery.send(client.outbox, frame)

    def lists_of(self, client: Client) -> list[bytes]:
        """Return a frame with the list of each room a client is in."""
        frames = [self._list_for(client, client.joined[room_id]) for room_id in sorted(client.joined)]
        self.charge(client, sum(map(len, frames)))
        return frames

    def _list_for(self, client: Client, members: Members) -> bytes:
        frame = self._list(client.dialect, members)
        # A slow reader is spared an older list. For a short one, which most are, that would be a copy for nothing.
        is_replaceable = len(frame) >= _LONG_LIST or client.outbox.connection.congested
        return as_update(frame, (_LIST, members.room)) if is_replaceable else frame

    def _list(self, dialect: Dialect, members: Members) -> bytes:
        cache = self._caches.get(members.room)
        if cache is None or cache.presence is not members.presence:
            cache = self._caches[members.room] = UserListCache(members.presence)
        return cache.frame(dialect, members.room)
