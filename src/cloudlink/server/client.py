"""One connected client, as plugins see it.

This module sends nothing and knows no protocol: a client's protocol is the schema class that was set on it. The server
keeps the clients in `clients.ClientsManager`.
"""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from uuid import UUID, uuid4

from cloudlink import closecodes, jsontext

from .events import User

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudlink.delivery import Outbox

    from .limits import Traffic
    from .members import Members
    from .meter import Meter

Schema = type
"""A protocol's identity: the class that holds its `command_key` and its validation schemas."""


NOWHERE: dict[str, Members] = {}
"""The `joined` of every client that is in no room."""


class State(Enum):
    """The state of a session. Transitions: CONNECTED → IDENTIFIED → CLOSED, or CONNECTED → CLOSED."""

    CONNECTED = "connected"
    IDENTIFIED = "identified"
    CLOSED = "closed"


class ClientSession(Protocol):
    """The part of a session that its client uses; see `session.Session`."""

    @property
    def state(self) -> State:
        """The stage of the session."""
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
