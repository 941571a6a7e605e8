"""The named users of each room, kept up to date from the user lists of the server (protocol, section 1.8)."""

from __future__ import annotations

from cloudlink.client.events import Event, User, UserJoined, UserLeft, UserList


def _key(user: User) -> str:
    return user.uuid or user.id


class UserLists:
    """The named users of each room this client is in."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[str, User]] = {}

    @property
    def by_room(self) -> dict[str, tuple[User, ...]]:
        """The current users of each room, in the order in which they joined."""
        return {room: tuple(users.values()) for room, users in self._rooms.items()}

    def apply(self, event: Event) -> bool:
        """Apply a `UserList`, `UserJoined` or `UserLeft`.

        Returns:
            Whether it changed anything. A `UserJoined` of a user who is there already and a `UserLeft` of an unknown
            user do not.
        """
        if isinstance(event, UserList):
            self._rooms[event.room] = {_key(user): user for user in event.users}
        elif isinstance(event, UserJoined):
            users = self._rooms.setdefault(event.room, {})
            if users.get(_key(event.user)) == event.user:
                return False
            users[_key(event.user)] = event.user
        elif isinstance(event, UserLeft):
            return self._rooms.get(event.room, {}).pop(_key(event.user), None) is not None
        return True

    def keep_only(self, rooms: set[str]) -> None:
        """Forget all rooms but these."""
        self._rooms = {room: users for room, users in self._rooms.items() if room in rooms}
