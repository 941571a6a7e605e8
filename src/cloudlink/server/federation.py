"""Users of other servers in this server's rooms: adds and removes them, and tells local clients.

A cluster and bridges use this. Their users are in the directory only: lists show them, and packets are
addressed to them, like users of this process. The broker that carries a user's node delivers to it.

Every change is announced to the rooms' local members as the same event as that of a local client, and to
the other brokers. Announcements may be delayed by some milliseconds (`Event.deferrable`), and only what differs
is announced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .events import Joined, Left, Relisted, Renamed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .broker import Broker, Brokers
    from .client import Schema
    from .directory import Directory
    from .events import User
    from .hub import Hub
    from .remoteusers import RemoteUser

    Shown = tuple[User, Schema, Iterable[str]]
    """A user, its protocol, and its rooms."""

_MANY_BYTES = 1 << 16
"""Bytes of changes of one list up to which they are sent one by one."""
_OBJECT_BYTES = 90
"""Approximate bytes of a user object in addition to the name."""
_REMOVE_BYTES = 50
"""Approximate bytes of a frame that removes a user, in addition to the user object and the room's name."""


class Federation:
    """Keeps the users of other servers in the directory."""

    def __init__(self, directory: Directory, hub: Hub, brokers: Brokers) -> None:
        self._directory = directory
        self._remote = directory.remote
        self._hub = hub
        self._brokers = brokers

    def add_broker(self, broker: Broker) -> None:
        """Add a broker; it gets everything that happens from now on."""
        self._brokers.add(broker)

    def remove_broker(self, broker: Broker) -> None:
        """Remove a broker if it is present; its users must have been removed before."""
        self._brokers.remove(broker)

    def join(self, user: User, protocol: Schema, rooms: Iterable[str]) -> bool:
        """Add a user to rooms; rooms that it is in already are ignored.

        Args:
            user: The user; its `node` is not empty. If it is known, its name is not changed.
            protocol: The schema class of its protocol.
            rooms: Names of rooms; without any, the user is only found by name and id.

        Returns:
            Whether the user could be added. It cannot if a local client, or a user of another node, has its
            snowflake or UUID: a server cannot take over users of others.
        """
        remote = self._remote.ids.get(user.id)
        if remote is None:
            if not user.node or self._directory.holds(user.id) or self._directory.holds(user.uuid):
                return False
            remote = self._remote.add(user, protocol)
        elif remote.user.node != user.node or remote.protocol is not protocol:
            return False
        for room in rooms:
            if room not in remote.rooms:
                self._join(remote, room)
        return True

    def leave(self, user_id: str, rooms: Iterable[str]) -> None:
        """Remove a user from rooms; it stays known. Unknown users and rooms are ignored."""
        remote = self._remote.ids.get(user_id)
        if remote is not None:
            for room in [room for room in rooms if room in remote.rooms]:
                self._leave(remote, room)
                self._announce_left(remote.protocol, room, remote.user)
                self._brokers.left(remote.user, room)

    def rename(self, user_id: str, username: str | None) -> None:
        """Name or rename a user, or with None take its name; unknown users are ignored."""
        remote = self._remote.ids.get(user_id)
        if remote is None or remote.user.username == username:
            return
        former = remote.user
        user = type(former)(former.node, former.id, former.uuid, username, former.bridge)
        self._remote.rename(remote, user)
        for room in remote.rooms:
            presence = self._directory.presence(room, remote.protocol)
            if presence is not None:
                presence.update(user)
            if former.username is None:
                self._hub.deliver(room, remote.protocol, Joined(user))
            elif username is None:
                self._hub.deliver(room, remote.protocol, Left(former))
            else:
                self._hub.deliver(room, remote.protocol, Renamed(user, former))
        self._brokers.renamed(user)

    def remove(self, user_ids: Iterable[str]) -> None:
        """Remove users from all rooms and from the directory; unknown ones are ignored.

        Where that changes a list in so many places that the whole list is shorter, the list is sent again.
        """
        left: dict[tuple[Schema, str], list[User]] = {}
        for user_id in user_ids:
            remote = self._remote.ids.get(user_id)
            if remote is None:
                continue
            for room in tuple(remote.rooms):
                self._leave(remote, room)
                left.setdefault((remote.protocol, room), []).append(remote.user)
            self._remote.remove(remote)
            self._brokers.gone(remote.user)
        for (protocol, room), users in left.items():
            if self._is_list_shorter(protocol, room, users):
                self._hub.deliver(room, protocol, Relisted())
            else:
                for user in users:
                    self._announce_left(protocol, room, user)

    def remove_node(self, node: str) -> None:
        """Remove all users of a node."""
        self.remove(tuple(self._remote.of_node(node)))

    def replace(self, node: str, users: Mapping[str, Shown]) -> None:
        """Make the users of a node exactly these; only the difference is announced.

        Args:
            node: The node.
            users: Its users by snowflake.
        """
        known = self._remote.of_node(node)
        self.remove([user_id for user_id in known if user_id not in users])
        for user, protocol, rooms in users.values():
            remote = known.get(user.id)
            if remote is not None and remote.user.uuid != user.uuid:
                self.remove([user.id])
                remote = None
            if remote is not None:
                wanted = frozenset(rooms)
                self.leave(user.id, [room for room in remote.rooms if room not in wanted])
                self.rename(user.id, user.username)
            self.join(user, protocol, rooms)

    # How it is done.

    def _join(self, remote: RemoteUser, room: str) -> None:
        self._remote.join(remote, room)
        self._directory.open_presence(room, remote.protocol).add(remote.user)
        if remote.user.username is not None:
            self._hub.deliver(room, remote.protocol, Joined(remote.user))
        self._brokers.joined(remote.user, room, remote.protocol)

    def _leave(self, remote: RemoteUser, room: str) -> None:
        self._remote.leave(remote, room)
        self._directory.open_presence(room, remote.protocol).remove(remote.user)
        self._directory.drop_empty(room, remote.protocol)

    def _announce_left(self, protocol: Schema, room: str, user: User) -> None:
        if user.username is not None:
            self._hub.deliver(room, protocol, Left(user))

    def _is_list_shorter(self, protocol: Schema, room: str, left: list[User]) -> bool:
        removes = sum(_REMOVE_BYTES + len(room) + _object_bytes(user) for user in left if user.username)
        if removes <= _MANY_BYTES:
            return False
        presence = self._directory.presence(room, protocol)
        return presence is not None and removes > sum(map(_object_bytes, presence.listed()))


def _object_bytes(user: User) -> int:
    return _OBJECT_BYTES + len(user.username or "")
