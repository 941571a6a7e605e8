"""The users on the other side of one bridge, as this server's rooms show them.

When the connection breaks, its users stay for a while; those that the next connection reports again keep their ids, so
that a short interruption changes no user list. Pure, apart from what `Site` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from cloudlink.server.events import User

    from .site import Site

MOST_USERS = 500
"""Most users of one bridge."""


class Seats:
    """The number of users that one bridge may still show; its rooms share it."""

    def __init__(self, most: int = MOST_USERS) -> None:
        self.left = most


class _Guest:
    __slots__ = ("rooms", "user")

    def __init__(self, user: User) -> None:
        self.user = user
        self.rooms: dict[str, bool] = {}  # whether the current connection has reported it there


class Guests:
    """The users of one bridge.

    Attributes:
        prefix: What their names begin with, such as `b/`.
    """

    def __init__(self, site: Site, bridge: str, seats: Seats) -> None:
        self.prefix = f"{bridge}/"
        self._site = site
        self._seats = seats
        self._guests: dict[str, _Guest] = {}  # by id
        self._by_key: dict[object, _Guest] = {}
        self._keys: dict[str, object] = {}
        self._lost: dict[str, list[_Guest]] = {}  # of the former connection, by name

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def keys(self) -> list[object]:
        """The other side's keys of the users that it has reported."""
        return list(self._by_key)

    def user(self, key: object) -> User | None:
        """Return a user by the other side's key for it."""
        guest = self._by_key.get(key)
        return guest.user if guest is not None else None

    def key_of(self, user_id: str) -> object | None:
        """Return the other side's key of a user, None while it is not connected."""
        return self._keys.get(user_id)

    def put(self, key: object, name: str, room: str) -> bool:
        """Show a user in a room, or by another name.

        Returns:
            False if the name is not allowed, or there are too many users.
        """
        if not self._site.is_username(name):
            return False
        shown = self.prefix + name
        guest = self._by_key.get(key)
        if guest is None:
            guest = self._reclaimed(shown, room) or self._new(shown)
            if guest is None:
                return False
            self._by_key[key] = guest
            self._keys[guest.user.id] = key
        elif guest.user.username != shown:
            guest.user = msgspec.structs.replace(guest.user, username=shown)
            self._site.rename(guest.user)
        if room not in guest.rooms:
            self._site.join(guest.user, room)
        guest.rooms[room] = True
        return True

    def drop(self, key: object, room: str) -> None:
        """Remove a user from a room; one that is in no room any more is forgotten."""
        guest = self._by_key.get(key)
        if guest is None or room not in guest.rooms:
            return
        del guest.rooms[room]
        if guest.rooms:
            self._site.leave(guest.user, room)
        else:
            self._forget(guest, key)

    def lose(self) -> None:
        """Note that the connection has ended: its users stay until `settle` or `clear`."""
        self._by_key.clear()
        self._keys.clear()
        self._lost.clear()
        for guest in self._guests.values():
            guest.rooms = dict.fromkeys(guest.rooms, False)
            self._lost.setdefault(guest.user.username or "", []).append(guest)

    def settle(self) -> None:
        """Remove those of the former connection that the current one has not reported."""
        missing = [guest for guests in self._lost.values() for guest in guests]
        self._lost.clear()
        self._expel(missing)
        for key, guest in list(self._by_key.items()):
            for room in [room for room, is_reported in guest.rooms.items() if not is_reported]:
                self.drop(key, room)

    def clear(self) -> None:
        """Remove all users."""
        self._expel(list(self._guests.values()))
        self._by_key.clear()
        self._keys.clear()
        self._lost.clear()

    def _reclaimed(self, shown: str, room: str) -> _Guest | None:
        namesakes = self._lost.get(shown)
        if not namesakes:
            return None
        guest = next((each for each in namesakes if room in each.rooms), namesakes[0])
        namesakes.remove(guest)
        if not namesakes:
            del self._lost[shown]
        return guest

    def _new(self, shown: str) -> _Guest | None:
        if self._seats.left < 1 and not self._forget_lost():
            return None
        self._seats.left -= 1
        guest = _Guest(self._site.new_user(shown))
        self._guests[guest.user.id] = guest
        return guest

    def _forget_lost(self) -> bool:
        """Remove a user of the former connection; return False if there is none."""
        if not self._lost:
            return False
        name, namesakes = next(iter(self._lost.items()))
        guest = namesakes.pop()
        if not namesakes:
            del self._lost[name]
        self._expel([guest])
        return True

    def _forget(self, guest: _Guest, key: object) -> None:
        self._expel([guest])
        del self._by_key[key]
        del self._keys[guest.user.id]

    def _expel(self, guests: list[_Guest]) -> None:
        self._site.remove([guest.user for guest in guests])
        for guest in guests:
            del self._guests[guest.user.id]
        self._seats.left += len(guests)
