"""Who is in which room, kept so that delivering to a room costs nothing per recipient.

A room holds its members per protocol, and per protocol an audience per dialect: the outboxes of all
members who are sent the very same bytes. A room exists while somebody is in it, or while a plugin
that created it keeps it.

Nothing here sends, and nothing here knows a protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.delivery import Audience

from .clients import NoResultsFound
from .userlistcache import UserListCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.delivery import Delivery

    from .clients import Client, Schema

Record = dict[str, Any]
"""A room as CloudLink 0.2.0 shows it to plugins (protocol, section 2.4)."""


class RoomDoesNotExist(Exception):  # noqa: N818  # the names are CloudLink 0.2.0's
    """There is no room of that name."""


class RoomAlreadyExists(Exception):  # noqa: N818
    """There is a room of that name."""


class RoomNotEmpty(Exception):  # noqa: N818
    """Clients are in the room."""


class RoomUnsupportedProtocol(Exception):  # noqa: N818
    """The room has no clients of that protocol."""


class RoomsExceptions:
    """The exceptions of the rooms manager, reachable as `server.rooms_manager.exceptions`."""

    RoomDoesNotExist = RoomDoesNotExist
    RoomAlreadyExists = RoomAlreadyExists
    RoomNotEmpty = RoomNotEmpty
    NoResultsFound = NoResultsFound
    RoomUnsupportedProtocol = RoomUnsupportedProtocol


class Members:
    """The members of a room who speak one protocol.

    Attributes:
        all: The members in the order they joined, each with its place in that order.
        usernames: Members by name, in the order they joined.
        audiences: Per dialect, the members who speak it.
        userlists: The user list as a dialect last encoded it; emptied when the list changes.
        listing: What the dialects of today make their user list of.
    """

    __slots__ = ("_delivery", "_joined", "all", "audiences", "listing", "userlists", "usernames")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._joined = 0
        self.all: dict[Client, int] = {}
        self.usernames: dict[str, dict[Client, None]] = {}
        self.audiences: dict[Any, Audience] = {}
        self.userlists: dict[Any, bytes] = {}
        self.listing = UserListCache()

    def add(self, client: Client) -> None:
        """Take in a client."""
        self.all[client] = self._joined
        self._joined += 1
        self._join_audience(client, client.dialect)
        if client.username_set:
            self.add_name(client)

    def add_name(self, client: Client) -> None:
        """Take note that a member now has a username."""
        self.usernames.setdefault(client.username, {})[client] = None
        self.userlists.clear()
        self.listing.add(client, self.all[client])

    def remove_name(self, client: Client) -> None:
        """Take note that a member is about to lose its username."""
        namesakes = self.usernames[client.username]
        del namesakes[client]
        if not namesakes:
            del self.usernames[client.username]
        self.forget_lists()

    def forget_lists(self) -> None:
        """Let go of the encoded user lists."""
        self.userlists.clear()
        self.listing.forget()

    def remove(self, client: Client) -> None:
        """Let a client go."""
        del self.all[client]
        self._leave_audience(client)
        if client.username_set:
            self.remove_name(client)

    def change_dialect(self, client: Client, dialect: object) -> None:
        """Move a member to the audience of another dialect; `client.dialect` is still the old one."""
        self._leave_audience(client)
        self._join_audience(client, dialect)

    def _join_audience(self, client: Client, dialect: object) -> None:
        if dialect not in self.audiences:
            self.audiences[dialect] = Audience(self._delivery, self)
        self.audiences[dialect].add(client.outbox)

    def _leave_audience(self, client: Client) -> None:
        audience = self.audiences[client.dialect]
        audience.remove(client.outbox, is_gone=not client.open)
        if not audience:
            del self.audiences[client.dialect]

    def named(self) -> list[Client]:
        """Return the members who have a username, in the order they joined."""
        return [client for client in self.all if client.username_set]

    def record(self) -> Record:
        """Return the members as CloudLink 0.2.0 shows them to plugins; a snapshot."""
        return {
            "all": set(self.all),
            "uuids": {client.uuid: client for client in self.all},
            "snowflakes": {client.snowflake: client for client in self.all},
            "usernames": {name: set(clients) for name, clients in self.usernames.items()},
        }


class Room:
    """A room: its name, its members per protocol, and what plugins keep in it."""

    __slots__ = ("global_vars", "id", "json_id", "kept", "members", "private_vars")

    def __init__(self, room_id: str, *, kept: bool = False) -> None:
        self.id = room_id
        self.json_id = jsontext.dumps(room_id)
        self.kept = kept
        self.members: dict[Schema | None, Members] = {}
        self.global_vars: dict[str, Any] = {}
        self.private_vars: dict[str, Any] = {}

    def record(self) -> Record:
        """Return the room as CloudLink 0.2.0 shows it; the members are a snapshot."""
        return {
            "clients": {schema: members.record() for schema, members in self.members.items()},
            "global_vars": self.global_vars,
            "private_vars": self.private_vars,
        }


class RoomsManager:
    """All rooms (protocol, section 2.4)."""

    exceptions = RoomsExceptions

    def __init__(self, delivery: Delivery) -> None:
        self.rooms: dict[str, Room] = {}
        self._delivery = delivery

    # What plugins call.

    def create(self, room_id: str) -> None:
        """Create an empty room that stays until `delete`. Raises `RoomAlreadyExists`, `TypeError`."""
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
        """Tell whether there is a room of that name. Raises `TypeError` for a name that is no text."""
        if not isinstance(room_id, str):
            raise TypeError(f"a room's name is text, not {type(room_id).__name__}")
        return room_id in self.rooms

    def get(self, room_id: str) -> Record:
        """Return a room's record, or an empty record that is kept nowhere."""
        return self.rooms[room_id].record() if self.exists(room_id) else Room(room_id).record()

    def find_room(self, query: str) -> Record:
        """Return a room's record. Raises `NoResultsFound`."""
        if not self.exists(query):
            raise NoResultsFound(query)
        return self.rooms[query].record()

    def find_obj(self, query: str, room: Record) -> set[Client] | Client:
        """Find clients in one protocol's part of a record, by username, UUID or snowflake.

        Args:
            query: What to look for.
            room: A value of the record's `clients`.

        Raises:
            NoResultsFound: Nobody matches.
            TypeError: The query is no text.
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
            {"id": client.snowflake, "username": client.username, "uuid": client.uuid}
            for client in (members.named() if members else ())
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
        return {client for part in parts if part for client in part.all}

    async def get_specific_in_room(
        self, room: str, protocol: Schema, queries: str | Iterable[str]
    ) -> set[Client]:
        """Return the clients of a room that match any of the queries."""
        members = self.members(room, protocol)
        found: set[Client] = set()
        if members is None:
            return found
        record = members.record()
        for query in [queries] if isinstance(queries, str) else queries:
            try:
                match = self.find_obj(query, record)
            except NoResultsFound:
                continue
            found |= match if isinstance(match, set) else {match}
        return found

    def subscribe(self, obj: Client, room_id: str) -> None:
        """Put a client into a room, creating the room if need be.

        Does nothing if it is inside, or has disconnected.
        """
        if not obj.open:
            return
        if not self.exists(room_id):
            self.rooms[room_id] = Room(room_id)
        if room_id in obj.rooms:
            return
        obj.rooms.add(room_id)
        self._join_members(self.rooms[room_id], obj)

    def unsubscribe(self, obj: Client, room_id: str) -> None:
        """Take a client out of a room, and drop the room if that empties it.

        Does nothing if the client is not inside. A client that has disconnected is inside no room any
        more; for it, this only corrects `client.rooms`. Raises `RoomDoesNotExist`.
        """
        if room_id not in obj.rooms:
            if not self.exists(room_id):
                raise RoomDoesNotExist(room_id)
            return
        obj.rooms.discard(room_id)
        if obj.open:
            self._leave(obj, room_id)

    # What the server and the protocols call.

    def members(self, room_id: str, protocol: Schema) -> Members | None:
        """Return a room's members of one protocol, None if there are none."""
        room = self.rooms.get(room_id)
        return room.members.get(protocol) if room else None

    def note_name(self, client: Client) -> None:
        """Enter a client's new username in all its rooms."""
        for room_id in client.rooms:
            self.rooms[room_id].members[client.protocol].add_name(client)

    def forget_name(self, client: Client) -> None:
        """Take out of all rooms the username that a client is about to lose."""
        for room_id in client.rooms:
            self.rooms[room_id].members[client.protocol].remove_name(client)

    def change_dialect(self, client: Client, dialect: object) -> None:
        """Have a client's events written in another dialect from now on."""
        if dialect is not client.dialect:
            for room_id in client.rooms:
                self.rooms[room_id].members[client.protocol].change_dialect(client, dialect)
            client.dialect = dialect

    def change_protocol(self, client: Client, change: Callable[[], None]) -> None:
        """Have a client's protocol changed while it stays in its rooms."""
        rooms = [self.rooms[room_id] for room_id in client.rooms]
        for room in rooms:
            self._leave_members(room, client)
        change()
        for room in rooms:
            self._join_members(room, client)

    def forget(self, client: Client) -> None:
        """Take a client that is gone out of every room; `client.rooms` still tells where it was."""
        for room_id in client.rooms:
            self._leave(client, room_id)

    def _leave(self, client: Client, room_id: str) -> None:
        room = self.rooms[room_id]
        self._leave_members(room, client)
        if not room.members and not room.kept:
            del self.rooms[room_id]

    def _join_members(self, room: Room, client: Client) -> None:
        if client.protocol not in room.members:
            room.members[client.protocol] = Members(self._delivery)
        room.members[client.protocol].add(client)

    def _leave_members(self, room: Room, client: Client) -> None:
        members = room.members[client.protocol]
        members.remove(client)
        if not members.all:
            del room.members[client.protocol]
