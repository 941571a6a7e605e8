"""The recipients of a pmsg, pvar or direct (protocol, section 1.7).

A recipient is named by UUID, snowflake or username, by a user object, by a list of these, or by the
JSON text of an object or list, which is what some Scratch extensions send.

UUIDs and snowflakes are tried before usernames: nobody can take over another's messages by taking
their UUID as a name.

Each name is parsed once and looked up once on the whole server, however many rooms a packet is for:
what a packet costs grows with the names it lists plus the copies it causes, not with one times the other.
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
"""A UUID, snowflake or username, and whether it is certainly not the latter."""
Named = str | dict[str, str]
"""How a packet names a client: by a text, or by a user object."""
Found = dict[str, tuple["User", ...]]
"""Who was found, by place: a room's name, or `""` for the server."""


class AmbiguousName(Exception):  # noqa: N818  # it is answered, not raised to anybody
    """A username stands for several clients."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name, count)
        self.name = name
        self.count = count


class Scope(Protocol):
    """The places in which recipients are looked for."""

    def by_id(self, text: str) -> Found:
        """Return the user of that UUID or snowflake, for each place it is in."""
        ...

    def by_name(self, text: str) -> Found:
        """Return the users of that username, for each place where there are any."""
        ...


class RoomsScope:
    """The CloudLink 4 users of some rooms, each room a place."""

    def __init__(self, rooms: Mapping[str, Presence], directory: Directory) -> None:
        """Args: rooms: who is in each room, by its name."""
        self._rooms = rooms
        self._directory = directory

    def by_id(self, text: str) -> Found:
        """Return the user of that UUID or snowflake, for each room it is in."""
        user = self._directory.by_id(text, Schema)
        return {} if user is None else dict.fromkeys(self._rooms_of(user), (user,))

    def by_name(self, text: str) -> Found:
        """Return the users of that username, for each room where there are any."""
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
    """All users of CloudLink 4; the server is one place."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def by_id(self, text: str) -> Found:
        """Return the user of that UUID or snowflake."""
        user = self._directory.by_id(text, Schema)
        return {} if user is None else {"": (user,)}

    def by_name(self, text: str) -> Found:
        """Return the users of that username."""
        users = tuple(self._directory.by_name(text, Schema))
        return {"": users} if users else {}


class Recipients:
    """The recipients a packet names."""

    def __init__(self, raw: bytes, listener: bytes, *, refuse_ambiguous: bool, most: float) -> None:
        """Parse the JSON text of an `id`, and the JSON texts within it.

        Args:
            raw: JSON text of it.
            listener: The packet's echo tag.
            refuse_ambiguous: Whether a name that several clients have is refused.
            most: How many names are allowed, those within JSON texts counted too.

        Raises:
            SyntaxProblem: A list holds lists.
            JSONTextError: A user object is one that cannot be decoded.
            TooMany: There are more names.
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
        self._within: dict[Name, tuple[Name, ...]] = {}  # each name once, with those in the text it may be
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
        """Return whoever is named, by id, once for each place they are in.

        Args:
            scope: Where to look.
            most: How many may be found, counted once per place and name: who is named three ways counts thrice.

        Raises:
            AmbiguousName: A username stands for several clients in one place.
            TooMany: More are found.
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
        # A text that is nobody's name in a place may be the JSON text of names there.
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
    """Return a user object with what tells who it is; a list or an object tells nothing."""
    members = jsontext.pick(raw, *_USER_KEYS) or {}
    return {key: "" if text[0] in _NESTED_STARTS else decode_scalar(text) for key, text in members.items()}


def _as_name(named: Named) -> Name:
    """Return what to look for."""
    if isinstance(named, str):
        return named, False
    # The most exact key given decides: a stale UUID must not reach whoever has the name today.
    for key in ("uuid", "id", "username"):
        if key in named:
            return named[key], key != "username"
    return "", False  # nobody is called like nothing


def _within(named: Named, most: float) -> tuple[Name, ...]:
    """Return the names in the JSON text of an object or list, none if it is no such text."""
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
