"""The rooms, and the clients of this process that are in them.

A room holds its members per protocol. It exists while it has members, or, if a plugin created it, until the
plugin deletes it. This module sends nothing and knows no protocol.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from .client import NOWHERE, write
from .clients import NoResultsFound
from .members import Members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.delivery import Delivery

    from .broker import Brokers
    from .client import Client, Schema
    from .directory import Directory
    from .events import User

Record = dict[str, Any]
"""A room in the form that CloudLink 0.2.0 shows to plugins (protocol, section 2.4)."""


class RoomDoesNotExist(Exception):  # noqa: N818  # the names are CloudLink 0.2.0's
    """No room has that name."""


class RoomAlreadyExists(Exception):  # noqa: N818
    """A room with that name already exists."""


class RoomNotEmpty(Exception):  # noqa: N818
    """The room has members."""


class RoomUnsupportedProtocol(Exception):  # noqa: N818
    """The room has no clients of that protocol."""


class RoomsExceptions:
    """The exceptions of the rooms manager, reachable as `server.rooms_manager.exceptions`."""

    RoomDoesNotExist = RoomDoesNotExist
    RoomAlreadyExists = RoomAlreadyExists
    RoomNotEmpty = RoomNotEmpty
    NoResultsFound = NoResultsFound
    RoomUnsupportedProtocol = RoomUnsupportedProtocol


class Room:
    """A room: its name, its members per protocol, and the data of plugins."""

    __slots__ = ("global_vars", "id", "kept", "members", "private_vars")

    def __init__(self, room_id: str, *, kept: bool = False) -> None:
        self.id = room_id
        self.kept = kept
        self.members: dict[Schema | None, Members] = {}
        self.global_vars: dict[str, Any] = {}
        self.private_vars: dict[str, Any] = {}

    def record(self) -> Record:
        """Return the room in CloudLink 0.2.0's form; the members are a snapshot."""
        return {
            "clients": {schema: _record(members) for schema, members in self.members.items()},
            "global_vars": self.global_vars,
            "private_vars": self.private_vars,
        }


class RoomsManager:
    """All rooms (protocol, section 2.4).

    Attributes:
        rooms: The rooms by name.
        counts: Number of rooms with clients of each protocol in this process.
    """

    exceptions = RoomsExceptions

    def __init__(self, delivery: Delivery, directory: Directory, brokers: Brokers) -> None:
        self.rooms: dict[str, Room] = {}
        self.counts: Counter[Schema | None] = Counter()
        self._delivery = delivery
        self._directory = directory
        self._brokers = brokers
        self._on_emptying: list[Callable[[str, Schema | None], None]] = []

    # Called by plugins.

    def create(self, room_id: str) -> None:
        """Create an empty room that exists until `delete`. Raises `RoomAlreadyExists`, `TypeError`."""
        if self.exists(room_id):
            raise RoomAlreadyExists(room_id)
        self.rooms[room_id] = Room(room_id, kept=True)

    def delete(self, room_id: str) -> None:
        """Delete an empty room. Raises `RoomDoesNotExist`, `RoomNotEmpty`, `TypeError`."""
        if not self.exists(room_id):
            raise RoomDoesNotExist(room_id)
        if self.rooms[room_id].members:
            raise RoomNotEmpty(room_id)
        del self.rooms[room_id]

    def exists(self, room_id: str) -> bool:
        """Return whether a room exists. Raises `TypeError` if the name is not text."""
        if not isinstance(room_id, str):
            raise TypeError(f"a room's name is text, not {type(room_id).__name__}")
        return room_id in self.rooms

    def get(self, room_id: str) -> Record:
        """Return a room's record, or a new empty record if the room does not exist."""
        return self.rooms[room_id].record() if self.exists(room_id) else Room(room_id).record()

    def find_room(self, query: str) -> Record:
        """Return a room's record. Raises `NoResultsFound`."""
        if not self.exists(query):
            raise NoResultsFound(query)
        return self.rooms[query].record()

    def find_obj(self, query: str, room: Record) -> set[Client] | Client:
        """Find clients in one protocol's part of a record, by username, UUID or snowflake.

        Args:
            query: A username, UUID or snowflake.
            room: A value of the record's `clients`.

        Raises:
            NoResultsFound: No client matches.
            TypeError: The query is not text.
        """
        if not isinstance(query, str):
            raise TypeError(f"a client is found by text, not by {type(query).__name__}")
        for index in ("usernames", "uuids", "snowflakes"):
            if query in room[index]:
                found: set[Client] | Client = room[index][query]
                return found
        raise NoResultsFound(query)

    def generate_userlist(self, room_id: str, protocol: Schema) -> list[dict[str, str]]:
        """Return the user objects of a room's named clients of one protocol, in order of joining."""
        members = self.members(room_id, protocol)
        return [
            {"id": user.id, "username": user.username, "uuid": user.uuid}
            for user in (members.presence.listed() if members else ())
            if user.username is not None
        ]

    def get_snowflakes(self, room: Record) -> set[str]:
        """Return the snowflakes in one protocol's part of a record."""
        return set(room["snowflakes"])

    def get_uuids(self, room: Record) -> set[str]:
        """Return the UUIDs in one protocol's part of a record."""
        return set(room["uuids"])

    async def get_all_in_rooms(self, rooms: str | Iterable[str], protocol: Schema) -> set[Client]:
        """Return every client of a protocol that is in one or more of the rooms."""
        names = [rooms] if isinstance(rooms, str) else rooms
        parts = (self.members(name, protocol) for name in names)
        return {client for part in parts if part for client in part.clients}

    async def get_specific_in_room(
        self, room: str, protocol: Schema, queries: str | Iterable[str]
    ) -> set[Client]:
        """Return the clients of a room that match any of the queries."""
        members = self.members(room, protocol)
        found: set[Client] = set()
        if members is None:
            return found
        record = _record(members)
        for query in [queries] if isinstance(queries, str) else queries:
            try:
                match = self.find_obj(query, record)
            except NoResultsFound:
                continue
            found |= match if isinstance(match, set) else {match}
        return found

    def subscribe(self, obj: Client, room_id: str) -> None:
        """Add a client to a room, creating the room if needed.

        Does nothing if the client is already a member, or has disconnected.
        """
        if not obj.open:
            return
        if not self.exists(room_id):
            self.rooms[room_id] = Room(room_id)
        if room_id not in obj.joined:
            self._join_members(self.rooms[room_id], obj)

    def unsubscribe(self, obj: Client, room_id: str) -> None:
        """Remove a client from a room, and delete the room if it becomes empty.

        Does nothing if the client is not a member. A client that has disconnected is not in any room;
        for it, this only corrects `client.rooms`. Raises `RoomDoesNotExist`.
        """
        members = obj.joined.get(room_id)
        if members is None:
            if not self.exists(room_id):
                raise RoomDoesNotExist(room_id)
            return
        _unlist(obj, members)
        if obj.open:
            self._leave(obj, members)
            self._brokers.left(obj.user, room_id)

    # Called by the server and the protocols.

    def watch_emptying(self, callback: Callable[[str, Schema | None], None]) -> None:
        """Call `callback(room, protocol)` when the last client of a protocol in this process has left a room."""
        self._on_emptying.append(callback)

    def members(self, room_id: str, protocol: Schema) -> Members | None:
        """Return a room's members of one protocol, None if it has none."""
        room = self.rooms.get(room_id)
        return room.members.get(protocol) if room else None

    def update_user(self, client: Client, user: User) -> None:
        """Update a client's user record in all its rooms; see `ClientsManager.on_user_change`."""
        if client.open:
            for members in client.joined.values():
                members.presence.update(user)
            self._brokers.renamed(user)

    def change_dialect(self, client: Client, dialect: object) -> None:
        """Change the dialect in which a client's events are written."""
        if dialect is not client.dialect:
            for members in client.joined.values():
                members.change_dialect(client, dialect)
            write(client, "dialect", dialect)

    def change_protocol(self, client: Client, change: Callable[[], None]) -> None:
        """Change a client's protocol while it stays in its rooms; `change` sets the protocol."""
        former = dict(client.joined)
        for members in former.values():
            self._leave_members(members, client)
        change()
        for room_id in former:
            self._join_members(self.rooms[room_id], client)

    def forget(self, client: Client) -> None:
        """Remove a disconnected client from all rooms; `client.rooms` still holds the rooms it was in."""
        for members in client.joined.values():
            self._leave(client, members)
        self._brokers.gone(client.user)

    def _leave(self, client: Client, members: Members) -> None:
        self._leave_members(members, client)
        room = self.rooms[members.room]
        if not room.members and not room.kept:
            del self.rooms[members.room]

    def _join_members(self, room: Room, client: Client) -> None:
        protocol = client.protocol
        members = room.members.get(protocol)
        if members is None:
            presence = self._directory.open_presence(room.id, protocol)
            members = room.members[protocol] = Members(room.id, protocol, presence, self._delivery)
            self.counts[protocol] += 1
        members.add(client)
        _list(client, members)
        self._brokers.joined(client.user, room.id, protocol)

    def _leave_members(self, members: Members, client: Client) -> None:
        members.remove(client)
        if not members.clients:
            members.retire()
            del self.rooms[members.room].members[members.protocol]
            self.counts[members.protocol] -= 1
            self._directory.drop_empty(members.room, members.protocol)
            for callback in self._on_emptying:
                callback(members.room, members.protocol)


# Nearly all clients are in one room or none, so their `joined` is one dict for all of that room, or of none.


def _list(client: Client, members: Members) -> None:
    """Add a room to `client.joined`, or replace its members there."""
    joined = client.joined
    if not joined:
        write(client, "joined", members.alone)
    elif len(joined) == 1:  # it may be shared
        write(client, "joined", {**joined, members.room: members})
    else:
        joined[members.room] = members


def _unlist(client: Client, members: Members) -> None:
    """Remove a room from `client.joined`."""
    if len(client.joined) == 1:
        write(client, "joined", NOWHERE)
    else:
        del client.joined[members.room]


def _record(members: Members) -> Record:
    """Return a snapshot of members in the form that CloudLink 0.2.0 shows to plugins."""
    by_id: dict[str, Client] = {client.snowflake: client for client in members.clients}
    names = members.presence.names()
    return {
        "all": set(members.clients),
        "uuids": {client.uuid: client for client in members.clients},
        "snowflakes": by_id,
        "usernames": {
            name: {by_id[user.id] for user in users if user.id in by_id} for name, users in names.items()
        },
    }
