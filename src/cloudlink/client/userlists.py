"""Who is in which room: the user lists that a server keeps its clients informed of (protocol, section 1.8)."""

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
        """The users of each room, in the order in which they came, as they are now."""
        return {room: tuple(users.values()) for room, users in self._rooms.items()}

    def take(self, event: Event) -> bool:
        """Follow a `UserList`, `UserJoined` or `UserLeft`.

        Returns:
            Whether it changed anything: a `UserJoined` of somebody already there or a `UserLeft` of somebody
            unknown does not.
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
