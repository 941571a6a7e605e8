"""The users of other servers, by id, by name and by node: an index for the directory.

It only answers queries. Which rooms' lists show a user is kept in `presence`; `federation` keeps both in step
and tells local clients.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from .events import User


class RemoteUser:
    """A user of another server.

    Attributes:
        user: The user as others see it; `user.node` is not empty.
        protocol: The schema class of its protocol.
        rooms: The names of its rooms, in the order in which it joined.
    """

    __slots__ = ("protocol", "rooms", "user")

    def __init__(self, user: User, protocol: type) -> None:
        self.user = user
        self.protocol = protocol
        self.rooms: dict[str, None] = {}


class RemoteUsers:
    """All users of other servers.

    Attributes:
        ids: The users by snowflake.
        uuids: The users by the UUID of their connection.
    """

    def __init__(self) -> None:
        self.ids: dict[str, RemoteUser] = {}
        self.uuids: dict[str, RemoteUser] = {}
        self._names: dict[str, tuple[RemoteUser, ...]] = {}
        self._nodes: dict[str, dict[str, RemoteUser]] = {}
        self._nodes_in: dict[tuple[type, str], Counter[str]] = {}

    def __bool__(self) -> bool:
        return bool(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def named(self, username: str) -> Iterable[RemoteUser]:
        """Return the users with that name."""
        return self._names.get(username, ())

    def of_node(self, node: str) -> Mapping[str, RemoteUser]:
        """Return the users of a node by snowflake; do not modify the result."""
        return self._nodes.get(node, {})

    def nodes_in(self, protocol: type | None, room: str) -> Mapping[str, int]:
        """Return how many users of a protocol each node has in a room; do not modify the result."""
        return self._nodes_in.get((protocol, room), {}) if protocol is not None else {}

    def rooms_of(self, nodes: Container[str]) -> set[str]:
        """Return the rooms with users of some nodes, of all protocols."""
        return {room for (_, room), users in self._nodes_in.items() if any(node in nodes for node in users)}

    def add(self, user: User, protocol: type) -> RemoteUser:
        """Add a user that is not known yet."""
        remote = RemoteUser(user, protocol)
        self.ids[user.id] = remote
        self.uuids[user.uuid] = remote
        self._nodes.setdefault(user.node, {})[user.id] = remote
        self._add_name(remote)
        return remote

    def remove(self, remote: RemoteUser) -> None:
        """Remove a user, which must have left all rooms."""
        user = remote.user
        del self.ids[user.id]
        del self.uuids[user.uuid]
        self._drop_name(remote)
        of_node = self._nodes[user.node]
        del of_node[user.id]
        if not of_node:
            del self._nodes[user.node]

    def rename(self, remote: RemoteUser, user: User) -> None:
        """Replace the record of a user that has another name now."""
        self._drop_name(remote)
        remote.user = user
        self._add_name(remote)

    def join(self, remote: RemoteUser, room: str) -> None:
        """Record that a user is in a room."""
        remote.rooms[room] = None
        self._nodes_in.setdefault((remote.protocol, room), Counter())[remote.user.node] += 1

    def leave(self, remote: RemoteUser, room: str) -> None:
        """Record that a user has left one of its rooms."""
        del remote.rooms[room]
        key, node = (remote.protocol, room), remote.user.node
        nodes = self._nodes_in[key]
        nodes[node] -= 1
        if not nodes[node]:
            del nodes[node]
            if not nodes:
                del self._nodes_in[key]

    def _add_name(self, remote: RemoteUser) -> None:
        if remote.user.username is not None:
            self._names[remote.user.username] = (*self.named(remote.user.username), remote)

    def _drop_name(self, remote: RemoteUser) -> None:
        username = remote.user.username
        if username is not None:
            rest = tuple(each for each in self._names[username] if each is not remote)
            if rest:
                self._names[username] = rest
            else:
                del self._names[username]
