"""The users of one node, as the other nodes learn of them: each change is a record to send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import Gone, Leave, Row, Stamp

if TYPE_CHECKING:
    from collections.abc import Callable


class _OwnUser:
    """A user of this node."""

    __slots__ = ("bridge", "named_at", "protocol", "rooms", "username", "uuid")

    def __init__(self, uuid: str, username: str | None, named_at: Stamp, protocol: str, bridge: str) -> None:
        self.uuid = uuid
        self.username = username
        self.named_at = named_at
        self.protocol = protocol
        self.bridge = bridge
        self.rooms: dict[str, None] = {}

    def row(self, user: str, rooms: list[str]) -> Row:
        """Return the record that adds this user to rooms."""
        return Row(user, self.uuid, self.username, self.named_at, self.protocol, rooms, self.bridge)


class OwnUsers:
    """The users of one node, by id."""

    def __init__(self, stamp: Callable[[], Stamp], *, unique_names: bool) -> None:
        """Args: stamp: Returns a new stamp. unique_names: Whether no two users may have the same name."""
        self._stamp = stamp
        self._unique_names = unique_names
        self._users: dict[str, _OwnUser] = {}
        self._names: dict[str, dict[str, None]] = {}  # ids by name, where names are unique

    def rows(self) -> list[Row]:
        """Return a record for each user, with all its rooms."""
        return [known.row(user, list(known.rooms)) for user, known in self._users.items()]

    def joined(
        self, user: str, uuid: str, username: str | None, protocol: str, room: str, bridge: str = ""
    ) -> Row:
        """Note that a user is in a room now; return the record to send."""
        known = self._users.get(user)
        if known is None:
            known = self._users[user] = _OwnUser(uuid, username, self._stamp(), protocol, bridge)
            self._index_name(user, None, username)
        known.rooms[room] = None
        return known.row(user, [room])

    def left(self, user: str, room: str) -> Leave | None:
        """Note that a user has left a room; return the record to send, None if it was not there."""
        known = self._users.get(user)
        if known is None or room not in known.rooms:
            return None
        del known.rooms[room]
        return Leave(user, room)

    def renamed(self, user: str, username: str | None) -> Row | None:
        """Note that a user has another name; return the record to send, None if it was in no room yet."""
        known = self._users.get(user)
        if known is None:
            return None
        self._index_name(user, known.username, username)
        known.username, known.named_at = username, self._stamp()
        return known.row(user, [])

    def gone(self, user: str) -> Gone | None:
        """Note that a user has disconnected; return the record to send, None if it is unknown."""
        known = self._users.pop(user, None)
        if known is None:
            return None
        self._index_name(user, known.username, None)
        return Gone(user)

    def that_must_yield(self, row: Row) -> list[str]:
        """Return the users whose name another node's user had before them; none where names need not be unique."""
        if row.username is None:
            return []
        namesakes = [(user, self._users[user]) for user in self._names.get(row.username, ())]
        return [
            user for user, own in namesakes if own.protocol == row.protocol and own.named_at > row.named_at
        ]

    def _index_name(self, user: str, former: str | None, username: str | None) -> None:
        if not self._unique_names:
            return
        if former is not None:
            namesakes = self._names[former]
            namesakes.pop(user, None)
            if not namesakes:
                del self._names[former]
        if username is not None:
            self._names.setdefault(username, {})[user] = None
