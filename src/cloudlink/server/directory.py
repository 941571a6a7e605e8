"""The directory: finds users by name, by id and by room.

Recipients, name conflicts and user lists are looked up only here. The directory covers the users of this
process, whose indexes the clients manager keeps, and those of other servers. Look-ups never block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .presence import Presence
from .remoteusers import RemoteUsers

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from .client import Schema
    from .clients import ClientsManager
    from .events import User


class Directory:
    """All users, and their presence in rooms.

    Attributes:
        remote: The users of other servers; changed only by `federation`.
    """

    def __init__(self, clients: ClientsManager) -> None:
        """Args: clients: The clients of this process."""
        self.remote = RemoteUsers()
        self._clients = clients
        self._rooms: dict[Schema | None, dict[str, Presence]] = {}

    def by_id(self, text: str, protocol: Schema) -> User | None:
        """Return the user of a protocol with that UUID or snowflake, None if it does not exist."""
        client = self._clients.uuids.get(text) or self._clients.snowflakes.get(text)
        found = client or self.remote.uuids.get(text) or self.remote.ids.get(text)
        return found.user if found is not None and found.protocol is protocol else None

    def holds(self, text: str) -> bool:
        """Return whether a user of any protocol has that UUID or snowflake."""
        clients, remote = self._clients, self.remote
        return any(text in index for index in (clients.uuids, clients.snowflakes, remote.uuids, remote.ids))

    def by_name(self, username: str, protocol: Schema) -> list[User]:
        """Return the users of a protocol with that name, those of this process first."""
        namesakes = self._clients.usernames.of(username)
        found = [client.user for client in namesakes if client.protocol is protocol]
        if self.remote:
            found += [each.user for each in self.remote.named(username) if each.protocol is protocol]
        return found

    def rooms_of(self, user: User) -> AbstractSet[str]:
        """Return the names of the rooms that a user is in."""
        client = self._clients.snowflakes.get(user.id)
        if client is not None:
            return client.joined.keys()
        remote = self.remote.ids.get(user.id)
        return remote.rooms.keys() if remote is not None else frozenset()

    def presence(self, room: str, protocol: Schema | None) -> Presence | None:
        """Return the presence of a room, None if it has no members of that protocol."""
        return self._rooms.get(protocol, {}).get(room)

    def open_presence(self, room: str, protocol: Schema | None) -> Presence:
        """Return the presence of a room, creating it if it has no members of that protocol."""
        return self._rooms.setdefault(protocol, {}).setdefault(room, Presence())

    def drop_empty(self, room: str, protocol: Schema | None) -> None:
        """Remove the presence of a room that has become empty."""
        if not self._rooms[protocol][room]:
            del self._rooms[protocol][room]
