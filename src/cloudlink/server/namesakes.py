"""The clients by username. Names need not be unique, but most are: a name with one client costs no set of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Client = TypeVar("Client")


class Namesakes(Mapping[str, set[Client]], Generic[Client]):
    """Username to the clients that have it, as sets of their own: changing one changes nothing here."""

    __slots__ = ("_clients",)

    def __init__(self) -> None:
        self._clients: dict[str, Client | set[Client]] = {}

    def __getitem__(self, username: str) -> set[Client]:
        found = self._clients[username]
        return set(found) if isinstance(found, set) else {found}

    def __contains__(self, username: object) -> bool:
        return username in self._clients

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def __repr__(self) -> str:
        return repr(dict(self))

    def of(self, username: str) -> Collection[Client]:
        """Return the clients with a name, not to be changed."""
        found = self._clients.get(username, ())
        return found if isinstance(found, (set, tuple)) else (found,)

    def add(self, username: str, client: Client) -> None:
        """Add a client that does not have this name yet."""
        found = self._clients.setdefault(username, client)
        if isinstance(found, set):
            found.add(client)
        elif found is not client:
            self._clients[username] = {found, client}

    def drop(self, username: str, client: Client) -> None:
        """Remove a client that has this name."""
        found = self._clients[username]
        if isinstance(found, set):
            found.remove(client)
            if len(found) == 1:
                (self._clients[username],) = found
        else:
            del self._clients[username]
