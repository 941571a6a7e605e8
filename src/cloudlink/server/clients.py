"""The connected clients: one `Client` per connection, and the manager that finds them.

All look-ups use dictionaries. This module sends nothing and knows no protocol: a client's protocol is
the schema class that was set on it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from uuid import UUID, uuid4

from cloudlink import closecodes, jsontext
from cloudlink.slices import finish, sliced

from .arrivals import Arrivals, number_of
from .connectionlog import ConnectionLog
from .events import User
from .limits import Traffic
from .namesakes import Namesakes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from enum import Enum

    from cloudlink.delivery import Outbox
    from cloudlink.slices import Slices

    from .members import Members
    from .meter import Meter

logger = logging.getLogger("cloudlink.server")

Schema = type
"""A protocol's identity: the class that holds its `command_key` and its validation schemas."""


NOWHERE: dict[str, Members] = {}
"""The `joined` of every client that is in no room."""


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


class ClientSession(Protocol):
    """The part of a session that its client uses; see `session.Session`."""

    @property
    def state(self) -> Enum:
        """Stage of the session."""
        ...

    @property
    def received(self) -> Traffic:
        """The messages of this client that were processed so far."""
        ...

    def tally(self) -> tuple[float, float]:
        """Return the same as `received`, not rounded."""
        ...

    def send_text(self, payload: bytes) -> None:
        """Queue one text message, encoded as UTF-8."""
        ...

    def send_frame(self, frame: bytes) -> None:
        """Queue an encoded frame."""
        ...

    def process(self, message: str | bytes) -> None:
        """Handle one complete message, text or binary."""
        ...

    def rename(self, username: str) -> None:
        """Rename the client and notify its rooms."""
        ...

    def close(self, code: int = ..., reason: str = "", cause: str = ...) -> None:
        """Write the queued frames and close the connection."""
        ...

    def disconnect(self, code: int = ..., reason: str = "") -> None:
        """Close the connection on behalf of a plugin and log the plugin's name."""
        ...

    @property
    def meter(self) -> Meter:
        """Measures what the client has sent and may still send."""
        ...

    def may_keep_more(self) -> bool:
        """Return whether the client may be in many rooms."""
        ...

    def admit_next_packet(self, packet: bytes) -> bool:
        """Return whether the next packet of an admitted message may be processed."""
        ...

    def charge_bytes(self, size: int) -> bool:
        """Charge extra bytes to an admitted packet; return False if over the limit."""
        ...

    def take_answer(self) -> bool:
        """Return whether a refusal without a listener may be answered now."""
        ...

    def throttle(self, data: bytes | None, why: str = ...) -> None:
        """Refuse a packet that exceeds a limit."""
        ...

    def log_limit(self, what: str) -> None:
        """Log that the client has reached a limit."""
        ...

    def should_log(self) -> bool:
        """Return whether to log that the client comes, or what it is called or speaks, or that it leaves."""
        ...

    def should_log_refusal(self) -> bool:
        """Return whether to log that the client is refused something, or is disconnected for it."""
        ...

    def apply_limits(self) -> None:
        """Apply changed limits."""
        ...


class RoomNames(frozenset[str]):
    """The names of the rooms a client is in: a snapshot. Changing it would not move the client."""

    __slots__ = ()

    def _refuse(self, *_names: object) -> NoReturn:
        raise AttributeError(
            "client.rooms is a snapshot: to move a client, call server.rooms_manager.subscribe(client, room) or "
            "server.rooms_manager.unsubscribe(client, room)"
        )

    add = discard = remove = pop = clear = update = _refuse
    difference_update = intersection_update = symmetric_difference_update = _refuse
    __ior__ = __iand__ = __isub__ = __ixor__ = _refuse


_OWN = "the server sets it itself; keep values of your own under another name"
_READ_ONLY = {
    "username": "to rename a client, call client.set_username(name)",
    "username_set": "to name a client, call client.set_username(name)",
    "user": "to name a client, call client.set_username(name)",
    "rooms": "to move a client, call server.rooms_manager.subscribe(client, room)",
    "joined": "to move a client, call server.rooms_manager.subscribe(client, room)",
    "open": "to disconnect a client, call `await client.close()` or server.close_connection(client)",
}
"""What plugins should do instead of writing an attribute; `_OWN` covers the others."""


_ENDED = "whoever closes a client knows both; @server.on_disconnect is called at its end"
_KEEPALIVE = "the server pings clients, see the settings keepalive_interval and keepalive_timeout"
_NO_INSIDE = "the connection belongs to the server; use client.send, client.close and server.send_packet"
_SUCCESSORS = {
    "close_code": _ENDED,
    "close_reason": _ENDED,
    "recv": "messages reach plugins by @server.on_message and @server.on_command",
    "wait_closed": "@server.on_disconnect is called at its end",
    "ping": _KEEPALIVE,
    "pong": _KEEPALIVE,
    "latency": _KEEPALIVE,
    "ping_interval": _KEEPALIVE,
    "ping_timeout": _KEEPALIVE,
    "local_address": "see server.settings.host and server.port",
    "host": "see server.settings.host",
    "port": "see server.port",
    "secure": "see server.ssl_enabled",
    "origin": 'see client.request_headers.get("Origin")',
    "subprotocol": "the server accepts whichever subprotocol is offered first",
    "extensions": "the server agrees to no WebSocket extensions",
    "logger": "see server.logger",
    "loop": "call asyncio.get_running_loop()",
    "max_size": "see the setting max_message_size",
    "transport": _NO_INSIDE,
    "ws_server": _NO_INSIDE,
    "ws_handler": _NO_INSIDE,
}
"""What takes the place of attributes that clients of CloudLink 0.2.0 had."""


class _Former:
    """An attribute that clients of CloudLink 0.2.0 had from their WebSocket library; plugins may set one of that name.

    A `__getattr__` could say the same for all of them, but would make reading every other attribute of a client three
    times as slow.
    """

    def __init__(self, name: str, successor: str) -> None:
        self._name = name
        self._successor = successor

    def __get__(self, client: object, kind: type) -> NoReturn:
        """Raise `AttributeError`, which says what takes the place of the attribute."""
        text = f"{kind.__name__!r} object has no attribute {self._name!r}: {self._successor}"
        raise AttributeError(text, name=self._name, obj=client)


class Client:
    """One connected client, as plugins see it (protocol, section 2.2).

    Plugins may keep attributes of their own on a client. They cannot write those listed here: the rest of the
    server would not notice the change, and user lists would become wrong.

    Attributes:
        snowflake: A 64-bit id as decimal text, never reused.
        id: Random UUID of the connection.
        uuid: `id` as text.
        protocol: Schema class of the client's protocol, None until its first message.
        dialect: Reads and writes packets for this client; chosen by its protocol. `str(dialect)` is its name,
            such as `CL3 0.1.7`.
        username: Name, `""` until one is set.
        username_set: Whether a name is set.
        handshake: Whether the client has been greeted.
        birth_time: Time of the connection, in seconds of `time.monotonic()`.
        remote_address: Address and port of the socket's peer.
        request_headers: Headers of the upgrade request; look-ups ignore case.
        response_headers: Headers of the response to the upgrade request.
        path: Request target of the upgrade request.
        address: Address that limits and logs use; behind trusted proxies, the address of the real client.
        open: Whether messages can still be sent.
        user: The client as other users see it.
        joined: The members of each room that the client is in, by room name. After a disconnect, the rooms
            that it was in. Changed only by the rooms manager: clients may share it.
        state: The protocol's own state for this client.
        log_name: Name to use in the log, None for the username.
    """

    __slots__ = (
        "__dict__",  # plugins keep attributes of their own
        "__weakref__",
        "birth_time",
        "dialect",
        "handshake",
        "joined",
        "log_name",
        "open",
        "outbox",
        "protocol",
        "session",
        "snowflake",
        "state",
        "user",
        "username",
        "username_set",
        "uuid",
    )

    session: ClientSession
    outbox: Outbox
    snowflake: str
    uuid: str
    protocol: Schema | None
    dialect: Any
    joined: dict[str, Members]
    user: User
    state: Any
    username: str
    username_set: bool
    handshake: bool
    birth_time: float
    open: bool
    log_name: str | None

    def __init__(self, session: ClientSession, outbox: Outbox, snowflake: int) -> None:
        write(self, "session", session)
        write(self, "outbox", outbox)
        write(self, "snowflake", str(snowflake))
        write(self, "uuid", str(uuid4()))
        write(self, "protocol", None)
        write(self, "dialect", None)
        write(self, "joined", NOWHERE)
        write(self, "user", User("", self.snowflake, self.uuid))
        write(self, "state", None)
        write(self, "username", "")
        write(self, "username_set", False)
        write(self, "handshake", False)
        write(self, "birth_time", time.monotonic())
        write(self, "open", True)
        write(self, "log_name", None)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _ATTRIBUTES:
            raise AttributeError(f"client.{name} cannot be written: {_READ_ONLY.get(name, _OWN)}")
        write(self, name, value)

    def __dir__(self) -> list[str]:
        """Leave out the names that clients of CloudLink 0.2.0 had."""
        kept = vars(self)
        return [name for name in super().__dir__() if name not in _SUCCESSORS or name in kept]

    def __delattr__(self, name: str) -> None:
        if name in _ATTRIBUTES:
            raise AttributeError(f"client.{name} cannot be deleted: {_READ_ONLY.get(name, _OWN)}")
        object.__delattr__(self, name)

    @property
    def id(self) -> UUID:
        """The random UUID of the connection."""
        return UUID(self.uuid)

    @property
    def remote_address(self) -> tuple[str, int] | None:
        """Address and port of the socket's peer, None if unknown."""
        return self.outbox.connection.remote_address

    @property
    def address(self) -> str:
        """Address that limits and logs use; behind trusted proxies, the address of the real client."""
        return self.outbox.connection.address

    @property
    def path(self) -> str:
        """Request target of the upgrade request."""
        return self.outbox.connection.path

    @property
    def request_headers(self) -> Mapping[str, str]:
        """Headers of the upgrade request; look-ups ignore case."""
        return self.outbox.connection.headers

    @property
    def response_headers(self) -> Mapping[str, str]:
        """Headers of the response to the upgrade request; look-ups ignore case."""
        return getattr(self.outbox.connection, "response_headers", {})

    @property
    def rooms(self) -> RoomNames:
        """Names of the rooms that the client is in. After a disconnect, those that it was in."""
        return RoomNames(self.joined)

    @property
    def protocol_set(self) -> bool:
        """Whether the first message has decided the client's protocol."""
        return self.protocol is not None

    def set_username(self, username: str) -> None:
        """Name or rename the client and notify its rooms.

        Args:
            username: The name; it must follow the same rules as names that clients choose.

        Raises:
            TypeError: The name is not text.
            ValueError: The name is empty, too long, or taken on a server with `unique_usernames`.
            ClientDoesNotExist: The client has disconnected.
        """
        if not isinstance(username, str):
            raise TypeError(f"a username is text, not {type(username).__name__}")
        self.session.rename(username)

    async def send(self, message: str | bytes) -> None:
        """Queue one text message and return immediately; messages are sent in order.

        A lone surrogate, which UTF-8 cannot encode, is sent as its JSON escape.
        """
        self.session.send_text(jsontext.text(message) if isinstance(message, str) else message)

    async def close(self, code: int = closecodes.CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection.

        Args:
            code: Close code (RFC 6455, section 7.4): 1000, or 3000 to 4999 for codes of your own.
            reason: Text for the client, truncated to 123 bytes.

        Raises:
            ValueError: The code must not be sent (RFC 6455).
        """
        closecodes.check(code)
        self.session.disconnect(code, reason)

    @property
    def closed(self) -> bool:
        """Whether the client has disconnected, or is being disconnected."""
        return not self.open

    def log_fields(self) -> dict[str, str]:
        """Return the client's fields for structured log lines: `client`, `address`, and `name` once it has one."""
        fields = {"client": self.snowflake, "address": self.address}
        if self.username_set:
            fields["name"] = self._name_for_log
        return fields

    @property
    def _name_for_log(self) -> str:
        return self.username if self.log_name is None else self.log_name

    def __repr__(self) -> str:
        return f"Client {self.snowflake}" + (f" {self._name_for_log!r}" if self.username_set else "")


for _name, _successor in _SUCCESSORS.items():
    setattr(Client, _name, _Former(_name, _successor))

write = object.__setattr__
"""Write an attribute of a client; for the server itself, not for plugins."""

_COUNTED_AT_ONCE = 100
"""Clients whose counters are added up in one slice."""

_ATTRIBUTES = frozenset(
    (
        *Client.__annotations__,
        "id",
        "address",
        "remote_address",
        "path",
        "request_headers",
        "response_headers",
        "rooms",
        "protocol_set",
        "closed",
    )
)


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
            self.usernames.drop(obj.username, obj)
        if obj.protocol is not None:
            _drop(self.protocols, obj.protocol, obj)
        if self._on_count is not None:
            self._on_count(len(self.clients))

    def set_username(self, obj: Client, username: str) -> None:
        """Name a client. Raises `ClientDoesNotExist`, `ClientUsernameAlreadySet`."""
        self._require(obj)
        if obj.username_set:
            raise ClientUsernameAlreadySet(obj.username)
        self._write_name(obj, username)
        self.usernames.add(username, obj)
        if self.log.should_log(obj.address):
            logger.info("%s has this name now.", obj, extra={"event": "named"})

    def clear_username(self, obj: Client) -> None:
        """Remove a client's name so that it can set another one, as CloudLink 0.1.5 allows.

        Raises `ClientDoesNotExist`, `ClientUsernameNotSet`.
        """
        self._require(obj)
        if not obj.username_set:
            raise ClientUsernameNotSet(repr(obj))
        self.usernames.drop(obj.username, obj)
        self._write_name(obj, None)

    def rename(self, obj: Client, username: str) -> None:
        """Name or rename a client. Raises `ClientDoesNotExist`."""
        self._require(obj)
        if obj.username_set:
            self.usernames.drop(obj.username, obj)
        self._write_name(obj, username)
        self.usernames.add(username, obj)
        if self.log.should_log(obj.address):
            logger.info("%s has this name now.", obj, extra={"event": "named"})

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
