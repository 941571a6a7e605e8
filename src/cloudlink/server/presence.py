"""The users in a room, in the order in which they joined, connected to this process or to another.

This module only answers queries and delivers nothing. The recipients of a room's frames are kept in
`members`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import User


class Presence:
    """The users of one protocol in one room.

    Attributes:
        users: All users by id, in the order in which they joined.
        version: Changes whenever the list of named users changes, except when a user is appended.
    """

    __slots__ = ("_ids", "_listed", "users", "version")

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.version = 0
        self._ids: dict[str, tuple[str, ...]] = {}  # by username
        self._listed: list[User] | None = None  # None: collected on the next query

    def __bool__(self) -> bool:
        return bool(self.users)

    def add(self, user: User) -> None:
        """Append a user."""
        self.users[user.id] = user
        if user.username is not None:
            self._add_name(user, user.username)

    def remove(self, user: User) -> None:
        """Remove a user that is present."""
        known = self.users.pop(user.id)
        if known.username is not None:
            self._drop_name(known, known.username)

    def update(self, user: User) -> None:
        """Replace the record of a present user, whose name may have changed; the user keeps its position."""
        known = self.users[user.id]
        self.users[user.id] = user
        if known.username is not None:
            self._drop_name(known, known.username)
        if user.username is not None:
            self._add_name(user, user.username)

    def named(self, username: str) -> tuple[User, ...]:
        """Return the users with that name, in the order in which they got it here."""
        ids = self._ids.get(username)
        return tuple([self.users[each] for each in ids]) if ids is not None else ()

    def names(self) -> dict[str, tuple[User, ...]]:
        """Return the users by name; a copy."""
        return {name: self.named(name) for name in self._ids}

    def listed(self) -> list[User]:
        """Return the users that have a name, in the order in which they joined.

        The list belongs to this object; do not modify it. While `version` stays the same, users are only
        appended.
        """
        if self._listed is None:
            self._listed = [user for user in self.users.values() if user.username is not None]
        return self._listed

    def _add_name(self, user: User, username: str) -> None:
        self._ids[username] = (*self._ids.get(username, ()), user.id)
        if self._listed is not None:
            # Most users get their name soon after they have joined, so this looks at few of them.
            latest = next(
                one for one in reversed(self.users.values()) if one is user or one.username is not None
            )
            if latest is user:  # behind all others that have a name
                self._listed.append(user)
            else:
                self._forget_list()

    def _drop_name(self, user: User, username: str) -> None:
        rest = tuple(each for each in self._ids[username] if each != user.id)
        if rest:
            self._ids[username] = rest
        else:
            del self._ids[username]
        self._forget_list()

    def _forget_list(self) -> None:
        self._listed = None
        self.version += 1
