"""User lists: joining and leaving rooms, and notifying the members (protocol, section 1.8).

Joining and leaving are events for the other members of a room, which dialects with modes write as `add` and
`remove`. Dialects that support or need only whole lists get the list again, whoever caused the event. Unnamed
clients are not listed.

A small packet can cause much of this traffic: it grows with the rooms that the packet names, their members,
and the members' names. The traffic is therefore charged to the sender, for every byte and recipient, and a
sender that has exhausted its limit must wait. Lists that are repeated for others have one limit for the whole
server.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cloudlink.buckets import Bucket
from cloudlink.delivery import as_update
from cloudlink.server.events import Joined, Left, Relisted, Renamed

from .dialects import user_object
from .schema import Schema
from .userlistcache import UserListCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.delivery import Delivery, Outbox
    from cloudlink.server.client import Client
    from cloudlink.server.events import Event, User
    from cloudlink.server.hub import Hub
    from cloudlink.server.limits import Limits
    from cloudlink.server.members import Members
    from cloudlink.server.rooms import RoomsManager

    from .dialects import Dialect

logger = logging.getLogger("cloudlink.server")

_LIST = "ulist"
"""Key of a room's lists in the outbox; a slow reader needs only the latest."""
_LONG_LIST = 1 << 16
"""Bytes of a list from which on a few lists would exceed the backlog of a slow reader."""
_CHEAP_REPEAT = 1 << 20
"""Bytes, over all recipients, up to which a list is repeated immediately."""
_REPEAT_BURST = 8 << 20
"""Bytes, over all recipients and rooms, up to which lists are repeated immediately."""
_REPEAT_RATE = 50e6
"""Maximum bytes per second, over all recipients, of the repeated lists of one room."""
_REPEAT_RATE_OF_ALL = 200e6
"""Maximum bytes per second, over all recipients, of the repeated lists of all rooms."""
_USER_BYTES = 120
"""Typical bytes of a user object."""


class UserLists:
    """Moves clients in and out of rooms and notifies the members."""

    def __init__(
        self,
        rooms: RoomsManager,
        hub: Hub,
        delivery: Delivery,
        later: Callable[[float, Callable[[], None]], None],
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the user lists of a server.

        Args:
            rooms: The server's rooms.
            hub: Sends events to clients.
            delivery: Sends user lists to clients.
            later: Calls a function after a delay in seconds.
            limits: The limits of a client.
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
        self._repeated_by = 0.0  # when the last scheduled list will have been sent
        self._caches: dict[str, UserListCache] = {}  # by room
        for kind in (Joined, Left, Renamed):
            hub.subscribe(kind, self._repeat_lists)
        hub.subscribe(Relisted, self._replace_lists)

    # Limits.

    def may_cause_more(self, client: Client) -> bool:
        """Return whether a client may cause more list traffic now."""
        return self._bucket(client).take(0)

    def is_too_much(self, client: Client, room_ids: list[str]) -> bool:
        """Return whether joining several rooms with one packet would exceed the limit even of an idle client."""
        if len(room_ids) < 2:  # noqa: PLR2004  # a single room can always be joined
            return False
        per_member = _USER_BYTES + len(user_object(client.user))
        members = (self._rooms.members(room_id, Schema) for room_id in room_ids)
        return sum(len(m.presence.users) for m in members if m) * per_member > self._limits.user_list_burst

    def charge(self, client: Client, size: int) -> None:
        """Charge a client for the bytes that it caused."""
        # The bucket may go below zero: the cost of a packet is known only afterwards.
        self._bucket(client).take(size)

    def _bucket(self, client: Client) -> Bucket:
        bucket: Bucket = client.state.user_lists
        return bucket

    def forget_encoded(self) -> None:
        """Drop the encoded lists, which are cached for clients that join at about the same time."""
        self._caches.clear()

    # Joining and leaving.

    def join(self, client: Client, room_id: str) -> None:
        """Add a client to a room; do nothing if it is already a member."""
        if room_id not in client.joined:
            self._rooms.subscribe(client, room_id)
            logger.debug("%s is in the room %.100r.", client, room_id)
            if client.username_set:
                self.charge(client, self._announce_joined(client, room_id))

    def leave(self, client: Client, room_id: str) -> None:
        """Remove a client from a room; do nothing if it is not a member."""
        if room_id in client.joined:
            self._rooms.unsubscribe(client, room_id)
            logger.debug("%s is no longer in the room %.100r.", client, room_id)
            self.announce_left(client, (room_id,))

    def announce_named(self, client: Client, former: User) -> None:
        """Tell the members of a client's rooms that it was named or renamed.

        Args:
            client: The client.
            former: The user as others saw it before; without a name if this is its first one.
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
        """Tell the remaining members of rooms that a named client has left."""
        if not client.username_set:
            return
        size = 0
        for room_id in room_ids:
            size += self._hub.emit_to(room_id, Schema, Left(client.user))
        self.charge(client, size)

    def _announce_joined(self, client: Client, room_id: str) -> int:
        return self._hub.emit(client.joined[room_id], Joined(client.user), client, to_sender=False)

    def _repeat_lists(self, room: str, protocol: object, event: Event, skip: Outbox | None) -> None:
        """Send the whole list to the members that need it after an event; subscribed to the hub."""
        members = self._rooms.members(room, Schema)
        if protocol is not Schema or members is None:
            return
        shrinks = not isinstance(event, Joined)
        for dialect in members.audiences:
            if dialect.whole_lists or (shrinks and dialect.repeats_list):
                self._repeat(members, dialect, skip)

    def _replace_lists(self, room: str, protocol: object, _event: Relisted, _skip: Outbox | None) -> None:
        """Send the whole list to all members instead of many changes; subscribed to the hub.

        It takes fewer bytes than the changes, and must not come later than they would: until then, a user
        that was removed and has returned would be listed twice.
        """
        members = self._rooms.members(room, Schema)
        if protocol is Schema and members is not None:
            for dialect, audience in members.audiences.items():
                if frame := self._list(dialect, members):
                    self._delivery.broadcast_deferred(audience, as_update(frame, (_LIST, room)))

    def _repeat(self, members: Members, dialect: Dialect, skip: Outbox | None = None) -> None:
        """Send the whole list to all members of a room that speak a dialect, except the one to skip.

        In a room with thousands of members, that is hundreds of megabytes, and a client that repeatedly joins
        and leaves could keep the server busy with it. The larger a list is, the longer it is delayed, and
        lists that become due meanwhile are merged into one. If many small lists are due at a time, most are
        delayed, too. This limits the total traffic, so no client is charged for it: a client that leaves one
        large room may immediately leave another.
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

    # Sending.

    def show(self, client: Client, room_id: str) -> None:
        """Send a client the list of a room, if it is a member."""
        members = client.joined.get(room_id)
        if members is not None:
            frame = self._list_for(client, members)
            self.charge(client, len(frame))
            self._delivery.send(client.outbox, frame)

    def lists_of(self, client: Client) -> list[bytes]:
        """Return a list frame for each room that a client is in."""
        frames = [self._list_for(client, client.joined[room_id]) for room_id in sorted(client.joined)]
        self.charge(client, sum(map(len, frames)))
        return frames

    def _list_for(self, client: Client, members: Members) -> bytes:
        frame = self._list(client.dialect, members)
        # For a slow reader, a newer list replaces a queued one; short lists, the usual case, are not worth a copy.
        is_replaceable = len(frame) >= _LONG_LIST or client.outbox.connection.congested
        return as_update(frame, (_LIST, members.room)) if is_replaceable else frame

    def _list(self, dialect: Dialect, members: Members) -> bytes:
        cache = self._caches.get(members.room)
        if cache is None or cache.presence is not members.presence:
            cache = self._caches[members.room] = UserListCache(members.presence)
        return cache.frame(dialect, members.room)
