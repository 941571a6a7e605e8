"""Whom a pmsg, pvar or direct is for (protocol, section 1.7).

A recipient is named by UUID, snowflake or username, by a user object, by a list of these, or by the
JSON text of an object or list, which is what some Scratch extensions send.

UUIDs and snowflakes are tried before usernames: nobody can take over another's messages by taking
their UUID as a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cloudlink import jsontext

from .packet import SyntaxProblem, as_name, decode_scalar, split_list

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudlink.server.clients import Client, ClientsManager, Schema
    from cloudlink.server.rooms import Members

_LIST = b"["
_OBJECT = b"{"
_NOT_RECIPIENT = "must be of ['string', 'dict', 'list', 'set'] type"


class AmbiguousName(Exception):  # noqa: N818  # it is answered, not raised to anybody
    """A username stands for several clients."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name, count)
        self.name = name
        self.count = count


class Scope(Protocol):
    """Where recipients are looked for."""

    def by_id(self, text: str) -> Client | None:
        """Return the client of that UUID or snowflake."""
        ...

    def by_name(self, text: str) -> Iterable[Client]:
        """Return the clients of that username."""
        ...


class RoomScope:
    """The members of one room."""

    def __init__(self, members: Members, clients: ClientsManager) -> None:
        self._members = members
        self._clients = clients

    def by_id(self, text: str) -> Client | None:
        """Return the member of that UUID or snowflake."""
        client = self._clients.uuids.get(text) or self._clients.snowflakes.get(text)
        return client if client in self._members.all else None

    def by_name(self, text: str) -> Iterable[Client]:
        """Return the members of that username."""
        return self._members.usernames.get(text, ())


class ServerScope:
    """All clients of one protocol."""

    def __init__(self, clients: ClientsManager, schema: Schema) -> None:
        self._clients = clients
        self._schema = schema

    def by_id(self, text: str) -> Client | None:
        """Return the client of that UUID or snowflake."""
        client = self._clients.uuids.get(text) or self._clients.snowflakes.get(text)
        return client if client is not None and client.protocol is self._schema else None

    def by_name(self, text: str) -> Iterable[Client]:
        """Return the clients of that username."""
        return [client for client in self._clients.usernames.get(text, ()) if client.protocol is self._schema]


class Recipients:
    """The recipients a packet names, parsed once and looked up in each scope."""

    def __init__(self, raw: bytes, listener: bytes, *, refuse_ambiguous: bool) -> None:
        """Parse a packet's `id`.

        Args:
            raw: JSON text of it.
            listener: The packet's echo tag.
            refuse_ambiguous: Whether a name that several clients have is refused.

        Raises:
            SyntaxProblem: A list holds lists.
        """
        self._refuse_ambiguous = refuse_ambiguous
        items = split_list(raw) if raw.startswith(_LIST) else [raw]
        if any(item.startswith(_LIST) for item in items):
            raise SyntaxProblem({"id": [_NOT_RECIPIENT]}, listener)
        self._queries = [
            jsontext.loads(item) if item.startswith(_OBJECT) else decode_scalar(item) for item in items
        ]
        self._is_list = raw.startswith(_LIST)

    def __str__(self) -> str:
        return str(self._queries if self._is_list else self._queries[0])

    def find(self, scope: Scope) -> dict[Client, None]:
        """Return whoever is named, each once. Raises `AmbiguousName`."""
        found: dict[Client, None] = {}
        for query in self._queries:
            matches = self._match_user(query, scope) if isinstance(query, dict) else self._match(query, scope)
            found.update(dict.fromkeys(matches))
        return found

    def _match(self, text: str, scope: Scope) -> Iterable[Client]:
        return self._match_literally(text, scope) or self._match_json(text, scope)

    def _match_literally(self, text: str, scope: Scope) -> Iterable[Client]:
        client = scope.by_id(text)
        if client is not None:
            return (client,)
        namesakes = tuple(scope.by_name(text))
        if len(namesakes) > 1 and self._refuse_ambiguous:
            raise AmbiguousName(text, len(namesakes))
        return namesakes

    def _match_json(self, text: str, scope: Scope) -> Iterable[Client]:
        if not text.startswith(("{", "[")):
            return ()
        try:
            parsed = jsontext.loads(text.encode())
        except ValueError:  # no JSON, or no UTF-8
            return ()
        found: dict[Client, None] = {}
        for item in parsed if isinstance(parsed, list) else [parsed]:
            if isinstance(item, dict):
                found.update(dict.fromkeys(self._match_user(item, scope)))
            elif not isinstance(item, list):
                found.update(dict.fromkeys(self._match_literally(as_name(item), scope)))
        return found

    def _match_user(self, user: dict[str, Any], scope: Scope) -> Iterable[Client]:
        # The most exact key given decides: a stale UUID must not reach whoever has the name today.
        for key in ("uuid", "id"):
            if key in user:
                client = scope.by_id(as_name(user[key]))
                return () if client is None else (client,)
        return self._match_literally(as_name(user["username"]), scope) if "username" in user else ()
