"""The connected clients in the order of their ids, for work that goes through all of them while they come and go.

Copying a list of clients touches each of them in one turn of the event loop, which takes long for thousands. A walk finds its
place again by the id of the last client, so that a turn touches only the clients that it looks at.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class Numbered(Protocol):
    """A client, as far as it has an id."""

    @property
    def snowflake(self) -> str:
        """The id, decimal."""
        ...


C = TypeVar("C", bound=Numbered)

_PORTION = 100
"""Clients that a walk takes out of the list at a time."""


def number_of(client: Numbered) -> int:
    """Return the id of a client as a number; it grows from client to client."""
    return int(client.snowflake)


class Arrivals(Generic[C]):
    """The clients, the earliest first."""

    __slots__ = ("_clients",)

    def __init__(self) -> None:
        self._clients: list[C] = []

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, client: C) -> None:
        """Add a client that is not there yet."""
        insort(self._clients, client, key=number_of)

    def remove(self, client: C) -> None:
        """Remove a client that is there."""
        del self._clients[bisect_left(self._clients, number_of(client), key=number_of)]

    def walk(self, after: int | None = None, *, reverse: bool = False) -> Iterator[C]:
        """Yield the clients, the earliest first or last; clients may come and go meanwhile.

        No client is yielded twice. A client that leaves may still be yielded, unless its place is at least 100 clients away. A
        client that comes is yielded if the walk has not passed its place.

        Args:
            after: The id of the client after which to begin, None for the beginning. It need not be connected.
            reverse: Whether to begin with the latest.
        """
        clients = self._clients
        while True:
            if reverse:
                end = len(clients) if after is None else bisect_left(clients, after, key=number_of)
                part = clients[max(0, end - _PORTION) : end][::-1]
            else:
                start = 0 if after is None else bisect_right(clients, after, key=number_of)
                part = clients[start : start + _PORTION]
            if not part:
                return
            yield from part
            after = number_of(part[-1])
