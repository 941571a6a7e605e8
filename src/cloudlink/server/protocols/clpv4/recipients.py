"""Finds the recipients of a pmsg, pvar or direct (protocol, section 1.7).

A recipient is named by UUID, snowflake or username, by a user object, by a list of these, or by the
JSON text of an object or list, as some Scratch extensions send it.

UUIDs and snowflakes are tried before usernames, so that a client cannot intercept another's messages
by choosing that client's UUID as its name.

Each name is parsed once and looked up once on the whole server, regardless of the number of rooms. The
cost of a packet is therefore proportional to its names plus its copies, not to their product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cloudlink import jsontext

from .packet import SyntaxProblem, TooMany, decode_scalar, split_list
from .schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloudlink.server.directory import Directory
    from cloudlink.server.events import User
    from cloudlink.server.presence import Presence

_LIST = b"["
_OBJECT = b"{"
_NESTED_STARTS = b"{["
_USER_KEYS = ("id", "username", "uuid")
_NOT_RECIPIENT = "must be of ['string', 'dict', 'list', 'set'] type"

Name = tuple[str, bool]
"""A UUID, snowflake or username, and whether it is certainly not a username."""
Named = str | dict[str, str]
"""A recipient as a packet names it: a text or a user object."""
Found = dict[str, tuple["User", ...]]
"""The users found, by place: a room's name, or `""` for the server."""


class AmbiguousName(Exception):  # noqa: N818  # it is answered and never reaches a caller of the API
    """A username matches several clients."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name, count)
        self.name = name
        self.count = count


class Scope(Protocol):
    """The places in which recipients are searched."""

    def by_id(self, text: str) -> Found:
        """Return the user with that UUID or snowflake, for each place that it is in."""
        ...

    def by_name(self, text: str) -> Found:
        """Return the users with that username, for each place that has any."""
        ...


class RoomsScope:
    """The CloudLink 4 users of some rooms, each room a place."""

    def __init__(self, rooms: Mapping[str, Presence], directory: Directory) -> None:
        """Args: rooms: The presence of each room, by its name."""
        self._rooms = rooms
        self._directory = directory

    def by_id(self, text: str) -> Found:
        """Return the user with that UUID or snowflake, for each room that it is in."""
        user = self._directory.by_id(text, Schema)
        return {} if user is None else dict.fromkeys(self._rooms_of(user), (user,))

    def by_name(self, text: str) -> Found:
        """Return the users with that username, for each room that has any."""
        found: Found = {}
        if len(self._rooms) > 1:
            namesakes = self._directory.by_name(text, Schema)
            if len(namesakes) < len(self._rooms):
                for user in namesakes:
                    for room in self._rooms_of(user):
                        found[room] = (*found.get(room, ()), user)
                return found
        for room, presence in self._rooms.items():
            if users := presence.named(text):
                found[room] = users
        return found

    def _rooms_of(self, user: User) -> list[str]:
        return list(self._rooms.keys() & self._directory.rooms_of(user))


class ServerScope:
    """All users of CloudLink 4; the server is a single place."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def by_id(self, text: str) -> Found:
        """Return the user with that UUID or snowflake."""
        user = self._directory.by_id(text, Schema)
        return {} if user is None else {"": (user,)}

    def by_name(self, text: str) -> Found:
        """Return the users with that username."""
        users = tuple(self._directory.by_name(text, Schema))
        return {"": users} if users else {}


class Recipients:
    """The recipients that a packet names."""

    def __init__(self, raw: bytes, listener: bytes, *, refuse_ambiguous: bool, most: float) -> None:
        """Parse the JSON text of an `id`, and the JSON texts within it.

        Args:
            raw: JSON text of the `id`.
            listener: The packet's echo tag.
            refuse_ambiguous: Whether a name that several clients have is refused.
            most: The maximum number of names, including those within JSON texts.

        Raises:
            SyntaxProblem: A list holds lists.
            JSONTextError: A user object cannot be decoded.
            TooMany: The `id` holds more names.
        """
        self._refuse_ambiguous = refuse_ambiguous
        self._is_list = raw.startswith(_LIST)
        items = [raw]
        if self._is_list:
            items = split_list(raw, most)
            if any(item.startswith(_LIST) for item in items):
                raise SyntaxProblem({"id": [_NOT_RECIPIENT]}, listener)
        self._named: list[Named] = [
            _user(item) if item.startswith(_OBJECT) else decode_scalar(item) for item in items
        ]
        # Each name once, with the names in its text if it is JSON.
        self._within: dict[Name, tuple[Name, ...]] = {}
        count = 0
        for named in self._named:
            within = _within(named, most)
            count += max(1, len(within))
            if count > most:
                raise TooMany(most)
            self._within.setdefault(_as_name(named), within and tuple(dict.fromkeys(within)))

    def __str__(self) -> str:
        return str(self._named if self._is_list else self._named[0])

    def find(self, scope: Scope, most: float) -> dict[str, dict[str, User]]:
        """Return the named users by id, for each place that they are in.

        Args:
            scope: The places to search.
            most: The maximum number of matches, counted per place and name: a user named in three ways counts
                three times.

        Raises:
            AmbiguousName: A username matches several clients in one place.
            TooMany: There are more matches.
        """
        found: dict[str, dict[str, User]] = {}
        count = 0
        for name, within in self._within.items():
            matches = self._match(name, within, scope) if within else self._match_one(name, scope).items()
            for place, users in matches:
                count += len(users)
                if count > most:
                    raise TooMany(most)
                found.setdefault(place, {}).update({user.id: user for user in users})
        return found

    def _match(
        self, name: Name, within: tuple[Name, ...], scope: Scope
    ) -> Iterator[tuple[str, tuple[User, ...]]]:
        matches = self._match_one(name, scope)
        yield from matches.items()
        # A text that matches no user in a place may be the JSON text of names there.
        for other in within:
            for place, users in self._match_one(other, scope).items():
                if place not in matches:
                    yield place, users

    def _match_one(self, name: Name, scope: Scope) -> Found:
        text, is_id = name
        found = scope.by_id(text)
        for place, namesakes in () if is_id else scope.by_name(text).items():
            if place not in found:
                if len(namesakes) > 1 and self._refuse_ambiguous:
                    raise AmbiguousName(text, len(namesakes))
                found[place] = namesakes
        return found


def _user(raw: bytes) -> dict[str, str]:
    """Return a user object with its identifying keys; keys that hold a list or an object are dropped."""
    members = jsontext.pick(raw, *_USER_KEYS) or {}
    return {key: "" if text[0] in _NESTED_STARTS else decode_scalar(text) for key, text in members.items()}


def _as_name(named: Named) -> Name:
    """Return the name to look up."""
    if isinstance(named, str):
        return named, False
    # The most specific key decides: a stale UUID must not reach the client that has the name now.
    for key in ("uuid", "id", "username"):
        if key in named:
            return named[key], key != "username"
    return "", False  # the empty name matches no user


def _within(named: Named, most: float) -> tuple[Name, ...]:
    """Return the names in the JSON text of an object or list, none if it is not such a text."""
    if not (isinstance(named, str) and named.startswith(("{", "["))):
        return ()
    raw = jsontext.text(named).rstrip(b" \t\n\r")
    try:
        jsontext.check(raw)
        items = split_list(raw, most) if raw.startswith(_LIST) else [raw]
        return tuple(_name_in(item) for item in items)
    except jsontext.JSONTextError:
        return ()


def _name_in(raw: bytes) -> Name:
    if raw.startswith(_OBJECT):
        return _as_name(_user(raw))
    return ("", False) if raw.startswith(_LIST) else (decode_scalar(raw), False)
