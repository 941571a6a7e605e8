"""Whom a pmsg, pvar or direct is for (protocol, section 1.7).

A recipient is named by UUID, snowflake or username, by a user object, by a list of these, or by the
JSON text of an object or list, which is what some Scratch extensions send.

UUIDs and snowflakes are tried before usernames: nobody can take over another's messages by taking
their UUID as a name.

Each name is parsed once and looked up once on the whole server, however many rooms a packet is for:
what a packet costs grows with the names it lists plus the copies it causes, not with one times the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cloudlink import jsontext

from .packet import SyntaxProblem, TooMany, as_name, decode_scalar, split_list

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudlink.server.clients import Client, ClientsManager, Schema
    from cloudlink.server.rooms import Members, Room

_LIST = b"["
_OBJECT = b"{"
_NOT_RECIPIENT = "must be of ['string', 'dict', 'list', 'set'] type"

User = dict[str, Any]
Found = dict[str, tuple["Client", ...]]
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
        """Return the client of that UUID or snowflake, for each place it is in."""
        ...

    def by_name(self, text: str) -> Found:
        """Return the clients of that username, for each place where there are any."""
        ...


class RoomsScope:
    """The members of some rooms, each room a place."""

    def __init__(self, rooms: Iterable[tuple[Room, Members]], clients: ClientsManager) -> None:
        self._rooms = {room.id: members for room, members in rooms}
        self._clients = clients

    def by_id(self, text: str) -> Found:
        """Return the member of that UUID or snowflake, for each room it is in."""
        client = self._clients.uuids.get(text) or self._clients.snowflakes.get(text)
        return {} if client is None else dict.fromkeys(self._rooms_of(client), (client,))

    def by_name(self, text: str) -> Found:
        """Return the members of that username, for each room where there are any."""
        namesakes = self._clients.usernames.get(text, ())
        if len(namesakes) > len(self._rooms):
            there = ((room, members.usernames.get(text)) for room, members in self._rooms.items())
            return {room: tuple(clients) for room, clients in there if clients}
        found: Found = {}
        for client in namesakes:
            for room in self._rooms_of(client):
                found[room] = (*found.get(room, ()), client)
        return found

    def _rooms_of(self, client: Client) -> list[str]:
        return [room for room in self._rooms.keys() & client.rooms if client in self._rooms[room].all]


class ServerScope:
    """All clients of one protocol; the server is one place."""

    def __init__(self, clients: ClientsManager, schema: Schema) -> None:
        self._clients = clients
        self._schema = schema

    def by_id(self, text: str) -> Found:
        """Return the client of that UUID or snowflake."""
        client = self._clients.uuids.get(text) or self._clients.snowflakes.get(text)
        return {"": (client,)} if client is not None and client.protocol is self._schema else {}

    def by_name(self, text: str) -> Found:
        """Return the clients of that username."""
        namesakes = self._clients.usernames.get(text, ())
        clients = tuple(client for client in namesakes if client.protocol is self._schema)
        return {"": clients} if clients else {}


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
        items = split_list(raw, most) if raw.startswith(_LIST) else [raw]
        if any(item.startswith(_LIST) for item in items):
            raise SyntaxProblem({"id": [_NOT_RECIPIENT]}, listener)
        self._queries: list[str | User] = [
            jsontext.loads(item) if item.startswith(_OBJECT) else decode_scalar(item) for item in items
        ]
        self._is_list = raw.startswith(_LIST)
        self._within: dict[str, list[str | User]] = {}
        count = len(self._queries)
        for query in self._queries:
            if isinstance(query, str) and query.startswith(("{", "[")) and query not in self._within:
                self._within[query] = within = _names_within(query)
                count += max(0, len(within) - 1)
                if count > most:
                    raise TooMany(most)

    def __str__(self) -> str:
        return str(self._queries if self._is_list else self._queries[0])

    def find(self, scope: Scope, most: float) -> dict[str, dict[Client, None]]:
        """Return whoever is named, once for each place they are in.

        Args:
            scope: Where to look.
            most: How many may be found, counted once per place.

        Raises:
            AmbiguousName: A username stands for several clients in one place.
            TooMany: More are found.
        """
        found: dict[str, dict[Client, None]] = {}
        count = 0
        for query in self._queries:
            for place, clients in self._match(query, scope):
                there = found.setdefault(place, {})
                count -= len(there)
                there.update(dict.fromkeys(clients))
                count += len(there)
            if count > most:
                raise TooMany(most)
        return found

    def _match(self, query: str | User, scope: Scope) -> Iterable[tuple[str, tuple[Client, ...]]]:
        matches = self._match_one(query, scope)
        yield from matches.items()
        # A text that is nobody's name in a place may be the JSON text of names there.
        for name in self._within.get(query, ()) if isinstance(query, str) else ():
            for place, clients in self._match_one(name, scope).items():
                if place not in matches:
                    yield place, clients

    def _match_one(self, name: str | User, scope: Scope) -> Found:
        return self._match_literally(name, scope) if isinstance(name, str) else self._match_user(name, scope)

    def _match_literally(self, text: str, scope: Scope) -> Found:
        found = scope.by_id(text)
        for place, namesakes in scope.by_name(text).items():
            if place not in found:
                if len(namesakes) > 1 and self._refuse_ambiguous:
                    raise AmbiguousName(text, len(namesakes))
                found[place] = namesakes
        return found

    def _match_user(self, user: User, scope: Scope) -> Found:
        # The most exact key given decides: a stale UUID must not reach whoever has the name today.
        for key in ("uuid", "id"):
            if key in user:
                return scope.by_id(_name(user[key]))
        return self._match_literally(_name(user["username"]), scope) if "username" in user else {}


def _names_within(text: str) -> list[str | User]:
    """Return the names in the JSON text of an object or list, none if it is no such text."""
    try:
        parsed = jsontext.loads(jsontext.text(text))
    except jsontext.JSONTextError:
        return []
    items = parsed if isinstance(parsed, list) else [parsed]
    return [item if isinstance(item, dict) else _name(item) for item in items]


def _name(value: Any) -> str:
    """Return a decoded value as a name, which a list or an object is not: nobody has an empty one."""
    return "" if isinstance(value, (list, dict)) else as_name(value)
