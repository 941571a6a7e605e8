"""The connected clients: the manager that keeps and finds them.

All look-ups use dictionaries. This module sends nothing and knows no protocol.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cloudlink.admin.names import fold
from cloudlink.slices import finish, sliced

from .arrivals import Arrivals, number_of
from .client import write
from .connectionlog import ConnectionLog
from .events import User
from .limits import Traffic
from .namesakes import Namesakes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cloudlink.slices import Slices

    from .client import Client, Schema

logger = logging.getLogger("cloudlink.server")

_COUNTED_AT_ONCE = 100
"""Clients whose counters are added up in one slice."""


class ClientDoesNotExist(Exception):  # noqa: N818  # the names are CloudLink 0.2.0's
    """The client is not connected, or no longer connected."""


class ClientAlreadyExists(Exception):  # noqa: N818
    """The client has already been added."""


class ClientUsernameAlreadySet(Exception):  # noqa: N818
    """The client already has a username and keeps it until it disconnects."""


class ClientUsernameNotSet(Exception):  # noqa: N818
    """The client has no username yet."""


class NoResultsFound(Exception):  # noqa: N818
    """Nothing matches the query."""


class ProtocolAlreadySet(Exception):  # noqa: N818
    """The client's protocol is already set and cannot change."""


class ClientsExceptions:
    """The exceptions of the clients manager, reachable as `server.clients_manager.exceptions`."""

    ClientDoesNotExist = ClientDoesNotExist
    ClientAlreadyExists = ClientAlreadyExists
    ClientUsernameAlreadySet = ClientUsernameAlreadySet
    ClientUsernameNotSet = ClientUsernameNotSet
    NoResultsFound = NoResultsFound
    ProtocolAlreadySet = ProtocolAlreadySet


class ClientsManager:
    """All connected clients, and indexes to find them by (protocol, section 2.3).

    Attributes:
        log: Bounds the lines about the clients of each address.
        by_arrival: The clients in the order of their ids, for work that goes through all of them.
    """

    exceptions = ClientsExceptions

    def __init__(self, log: ConnectionLog | None = None) -> None:
        """Args: log: Bounds the lines about the clients of each address, None for one that names no addresses."""
        self.log = log or ConnectionLog()
        self.clients: set[Client] = set()
        self.by_arrival: Arrivals[Client] = Arrivals()
        self.snowflakes: dict[str, Client] = {}
        self.uuids: dict[str, Client] = {}
        self.usernames: Namesakes[Client] = Namesakes()
        self._folded: Namesakes[Client] = Namesakes()  # without the names that folding does not change
        self.protocols: dict[Schema, set[Client]] = {}
        self._departed: dict[Schema | None, Traffic] = {}
        self._counts: list[_Count] = []  # those that are not finished
        self._on_user_change: Callable[[Client, User], None] = lambda _client, _user: None
        self._on_count: Callable[[int], None] | None = None

    def __len__(self) -> int:
        return len(self.clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(self.clients)

    def on_user_change(self, callback: Callable[[Client, User], None]) -> None:
        """Call `callback(client, user)` when a client's name changes; `user` is the client as others now see it."""
        self._on_user_change = callback

    def watch_count(self, callback: Callable[[int], None]) -> None:
        """Call `callback(count)` with the number of clients whenever it has changed."""
        self._on_count = callback

    def get_snowflakes(self) -> set[str]:
        """Return the snowflakes of all clients."""
        return set(self.snowflakes)

    def get_uuids(self) -> set[str]:
        """Return the UUIDs of all clients."""
        return set(self.uuids)

    def exists(self, obj: Client) -> bool:
        """Return whether the client is connected."""
        return obj in self.clients

    def add(self, obj: Client) -> None:
        """Add a client. Raises `ClientAlreadyExists`."""
        if obj in self.clients:
            raise ClientAlreadyExists(repr(obj))
        self.clients.add(obj)
        self.by_arrival.add(obj)
        self.snowflakes[obj.snowflake] = obj
        self.uuids[obj.uuid] = obj
        if self._on_count is not None:
            self._on_count(len(self.clients))

    def discard(self, obj: Client) -> None:
        """Remove a client if it is present; its attributes keep their values."""
        if obj in self.clients:
            self.remove(obj)

    def remove(self, obj: Client) -> None:
        """Remove a client; its attributes keep their values. Raises `ClientDoesNotExist`."""
        self._require(obj)
        self.clients.discard(obj)
        self.by_arrival.remove(obj)
        del self.snowflakes[obj.snowflake]
        del self.uuids[obj.uuid]
        if obj.username_set:
            self._drop_name(obj)
        if obj.protocol is not None:
            _drop(self.protocols, obj.protocol, obj)
        if self._on_count is not None:
            self._on_count(len(self.clients))

    def set_username(self, obj: Client, username: str) -> None:
        """Name a client. Raises `ClientDoesNotExist`, `ClientUsernameAlreadySet`."""
        self._require(obj)
        if obj.username_set:
            raise ClientUsernameAlreadySet(obj.username)
        self.rename(obj, username)

    def clear_username(self, obj: Client) -> None:
        """Remove a client's name so that it can set another one, as CloudLink 0.1.5 allows.

        Raises `ClientDoesNotExist`, `ClientUsernameNotSet`.
        """
        self._require(obj)
        if not obj.username_set:
            raise ClientUsernameNotSet(repr(obj))
        self._drop_name(obj)
        self._write_name(obj, None)

    def rename(self, obj: Client, username: str) -> None:
        """Name or rename a client. Raises `ClientDoesNotExist`."""
        self._require(obj)
        if obj.username_set:
            self._drop_name(obj)
        self._write_name(obj, username)
        self.usernames.add(username, obj)
        folded = fold(username)
        if folded != username:
            self._folded.add(folded, obj)
        if self.log.should_log(obj.address):
            logger.info("%s has this name now.", obj, extra={"event": "named"})

    def alike(self, username: str) -> list[Client]:
        """Return the clients whose name reads the same; see `cloudlink.admin.names.fold`."""
        folded = fold(username)
        return [*self.usernames.of(folded), *self._folded.of(folded)]

    def _drop_name(self, client: Client) -> None:
        self.usernames.drop(client.username, client)
        folded = fold(client.username)
        if folded != client.username:
            self._folded.drop(folded, client)

    def _write_name(self, client: Client, username: str | None) -> None:
        user = User(client.user.node, client.snowflake, client.uuid, username)
        self._on_user_change(client, user)
        write(client, "user", user)
        write(client, "username", username or "")
        write(client, "username_set", username is not None)

    def set_protocol(self, obj: Client, schema: Schema) -> None:
        """Set a client's protocol. Raises `ClientDoesNotExist`, `ProtocolAlreadySet`."""
        self._require(obj)
        if obj.protocol is not None:
            raise ProtocolAlreadySet(repr(obj.protocol))
        write(obj, "protocol", schema)
        self.protocols.setdefault(schema, set()).add(obj)

    def count_departed(self, obj: Client, received: Traffic) -> None:
        """Keep what a client has sent in the total of `received`, after its disconnect."""
        self._departed[obj.protocol] = self._departed.get(obj.protocol, Traffic()).plus(received)
        for count in self._counts:
            if number_of(obj) > count.reached:
                count.add(obj.protocol, *received)

    def received(self) -> dict[Schema | None, Traffic]:
        """Return what all clients have sent since the start, by protocol; None for clients without one."""
        return finish(self.count_received())

    def count_received(self) -> Slices[dict[Schema | None, Traffic]]:
        """Return the same in slices. Each client counts once, whether it leaves or comes meanwhile.

        This adds up the counters of all connected clients, so it should not be done much more than once a second.
        """
        count = _Count(self._departed)
        self._counts.append(count)
        try:
            for part in sliced(self.by_arrival.walk(), _COUNTED_AT_ONCE):
                for client in part:
                    count.add(client.protocol, *client.session.tally())
                count.reached = number_of(part[-1])
                yield
        finally:
            self._counts.remove(count)
        return count.totals()

    def find_obj(self, query: str | dict[str, Any]) -> set[Client] | Client:
        """Find clients by username, UUID or snowflake, or one by its user object.

        Returns:
            The set of clients with that username, or the client with that UUID or snowflake.

        Raises:
            NoResultsFound: No client matches.
            TypeError: The query is neither text nor a user object.
        """
        if isinstance(query, dict):
            return self._find_user(query)
        if not isinstance(query, str):
            raise TypeError(f"a client is found by text or user object, not by {type(query).__name__}")
        found = self.usernames.get(query) or self.uuids.get(query) or self.snowflakes.get(query)
        if found is None:
            raise NoResultsFound(query)
        return found

    def _find_user(self, user: dict[str, Any]) -> set[Client] | Client:
        # Each key has its own index, so a username that looks like an id cannot impersonate another client.
        indexes: tuple[tuple[str, Mapping[str, set[Client] | Client]], ...] = (
            ("uuid", self.uuids),
            ("id", self.snowflakes),
            ("username", self.usernames),
        )
        for key, index in indexes:
            text = user.get(key)
            if isinstance(text, str):
                if text not in index:
                    break
                return index[text]
        raise NoResultsFound(repr(user))

    def _require(self, obj: Client) -> None:
        if obj not in self.clients:
            raise ClientDoesNotExist(repr(obj))


def _drop(index: dict[Any, set[Client]], key: Any, client: Client) -> None:
    members = index[key]
    members.discard(client)
    if not members:
        del index[key]


class _Count:
    """A total of the messages of all clients, while it is added up in the order of their ids.

    Attributes:
        reached: The id of the last client that is counted; those after it are counted when they leave, or when it is their turn.
    """

    def __init__(self, departed: Mapping[Schema | None, Traffic]) -> None:
        self.reached = -1
        self._sums: dict[Schema | None, tuple[float, float]] = {None: (0, 0), **departed}

    def add(self, protocol: Schema | None, messages: float, size: float) -> None:
        """Add what a client has sent."""
        sums = self._sums.get(protocol, (0, 0))
        self._sums[protocol] = (sums[0] + messages, sums[1] + size)

    def totals(self) -> dict[Schema | None, Traffic]:
        """Return the sums."""
        return {protocol: Traffic(*map(round, sums)) for protocol, sums in self._sums.items()}
