"""Who is connected: one `Client` per connection, and the manager that finds them.

All look-ups are by dictionary. Nothing here sends, and nothing here knows a protocol: a protocol is
whatever schema class a client was given.
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

from cloudlink import closecodes, jsontext
from cloudlink.delivery import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cloudlink.buckets import Bucket
    from cloudlink.delivery import Connection

    from .session import NullSession, Session

logger = logging.getLogger("cloudlink.server")

Schema = type
"""A protocol's identity: the class that holds its `command_key` and its validation schemas."""


class ClientDoesNotExist(Exception):  # noqa: N818  # the names are CloudLink 0.2.0's
    """The client is not, or no longer, connected."""


class ClientAlreadyExists(Exception):  # noqa: N818
    """The client was added before."""


class ClientUsernameAlreadySet(Exception):  # noqa: N818
    """The client has a username; it keeps it until it disconnects."""


class ClientUsernameNotSet(Exception):  # noqa: N818
    """The client has no username yet."""


class NoResultsFound(Exception):  # noqa: N818
    """Nothing matches the query."""


class ProtocolAlreadySet(Exception):  # noqa: N818
    """The client's protocol was decided before; that decision is final."""


class ClientsExceptions:
    """The exceptions of the clients manager, reachable as `server.clients_manager.exceptions`."""

    ClientDoesNotExist = ClientDoesNotExist
    ClientAlreadyExists = ClientAlreadyExists
    ClientUsernameAlreadySet = ClientUsernameAlreadySet
    ClientUsernameNotSet = ClientUsernameNotSet
    NoResultsFound = NoResultsFound
    ProtocolAlreadySet = ProtocolAlreadySet


class Client:
    """One connected client, as plugins see it (protocol, section 2.2).

    Attributes:
        snowflake: Decimal text of a 64-bit id, unique among all clients ever.
        id: Random UUID of the connection.
        protocol: Schema class of the client's protocol, None until its first message.
        dialect: How packets are read from and written for this client; `str()` of it is its name, such as
            `CL3 0.1.7`. Chosen by its protocol.
        rooms: Names of the rooms the client is in. After a disconnect, those it was in.
        username: Name, `""` while none is set.
        username_set: Whether a name is set.
        handshake: Whether the client has been greeted.
        birth_time: When it connected, in seconds of `time.monotonic()`.
        remote_address: Address and port of the peer as the socket sees it.
        request_headers: Headers of the upgrade request; look-ups ignore case.
        response_headers: Headers of the server's answer to it.
        path: Request target of the upgrade request.
        address: Address that limits and logs go by, behind trusted proxies the real one.
        open: Whether messages can still be sent.
        encoded_user: The client's user object as its protocol last encoded it.
        log_name: Name the log may hold, None for the username.
        identity_bucket: How often it may still change name and rooms, once it has begun to.
        user_list_bucket: How many bytes of user lists it may still cause, once it has caused some.
    """

    __slots__ = (
        "__dict__",  # plugins keep attributes of their own
        "__weakref__",
        "address",
        "birth_time",
        "dialect",
        "encoded_user",
        "handshake",
        "id",
        "identity_bucket",
        "log_name",
        "open",
        "outbox",
        "path",
        "protocol",
        "remote_address",
        "request_headers",
        "response_headers",
        "rooms",
        "session",
        "snowflake",
        "user_list_bucket",
        "username",
        "username_set",
        "uuid",
    )

    def __init__(self, session: Session, connection: Connection, snowflake: int) -> None:
        self.session: Session | NullSession = session
        self.outbox = Outbox(connection, session.close_for_reading_slowly)
        self.snowflake = str(snowflake)
        self.id = uuid.uuid4()
        self.uuid = str(self.id)
        self.protocol: Schema | None = None
        self.dialect: Any = None
        self.rooms: set[str] = set()
        self.username = ""
        self.username_set = False
        self.handshake = False
        self.birth_time = time.monotonic()
        self.remote_address = connection.remote_address
        self.request_headers: Mapping[str, str] = connection.headers
        self.response_headers: Mapping[str, str] = getattr(connection, "response_headers", {})
        self.path = connection.path
        self.address = ""
        self.open = True
        self.encoded_user: bytes | None = None
        self.identity_bucket: Bucket | None = None
        self.user_list_bucket: Bucket | None = None
        self.log_name: str | None = None

    @property
    def protocol_set(self) -> bool:
        """Whether the first message has decided the client's protocol."""
        return self.protocol is not None

    async def send(self, message: str | bytes) -> None:
        """Send one text message; returns at once, the message is queued in order.

        Half a surrogate pair, which UTF-8 cannot hold, is sent as its JSON escape.
        """
        self.session.send_text(jsontext.text(message) if isinstance(message, str) else message)

    async def close(self, code: int = closecodes.CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection.

        Args:
            code: Close code (RFC 6455, section 7.4), 1000 or 3000 to 4999 for your own.
            reason: Text for the client, cut to 123 bytes.

        Raises:
            ValueError: Nobody may send that code.
        """
        closecodes.check(code)
        self.session.close(code, reason)

    def log_fields(self) -> dict[str, str]:
        """Return what structured log lines say about the client: `client`, `name` once it has one, and `address`."""
        fields = {"client": self.snowflake, "address": self.address}
        if self.username_set:
            fields["name"] = self._name_for_log
        return fields

    @property
    def _name_for_log(self) -> str:
        return self.username if self.log_name is None else self.log_name

    def __repr__(self) -> str:
        return f"Client {self.snowflake}" + (f" {self._name_for_log!r}" if self.username_set else "")


class ClientsManager:
    """All connected clients, and indexes to find them by (protocol, section 2.3)."""

    exceptions = ClientsExceptions

    def __init__(self) -> None:
        self.clients: set[Client] = set()
        self.snowflakes: dict[str, Client] = {}
        self.uuids: dict[str, Client] = {}
        self.usernames: dict[str, set[Client]] = {}
        self.protocols: dict[Schema, set[Client]] = {}
        self._named: Callable[[Client], None] = lambda _client: None
        self._unnaming: Callable[[Client], None] = lambda _client: None

    def __len__(self) -> int:
        return len(self.clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(self.clients)

    def when_named(self, named: Callable[[Client], None], unnaming: Callable[[Client], None]) -> None:
        """Have `named(client)` called after a client got its username, `unnaming(client)` before it loses it."""
        self._named = named
        self._unnaming = unnaming

    def get_snowflakes(self) -> set[str]:
        """Return the snowflakes of all clients."""
        return set(self.snowflakes)

    def get_uuids(self) -> set[str]:
        """Return the UUIDs of all clients."""
        return set(self.uuids)

    def exists(self, obj: Client) -> bool:
        """Tell whether the client is connected."""
        return obj in self.clients

    def add(self, obj: Client) -> None:
        """Take in a client. Raises `ClientAlreadyExists`."""
        if obj in self.clients:
            raise ClientAlreadyExists(repr(obj))
        self.clients.add(obj)
        self.snowflakes[obj.snowflake] = obj
        self.uuids[obj.uuid] = obj

    def remove(self, obj: Client) -> None:
        """Forget a client; its own attributes stay. Raises `ClientDoesNotExist`."""
        self._require(obj)
        self.clients.discard(obj)
        del self.snowflakes[obj.snowflake]
        del self.uuids[obj.uuid]
        if obj.username_set:
            _drop(self.usernames, obj.username, obj)
        if obj.protocol is not None:
            _drop(self.protocols, obj.protocol, obj)

    def set_username(self, obj: Client, username: str) -> None:
        """Name a client. Raises `ClientDoesNotExist`, `ClientUsernameAlreadySet`."""
        self._require(obj)
        if obj.username_set:
            raise ClientUsernameAlreadySet(obj.username)
        obj.username = username
        obj.username_set = True
        obj.encoded_user = None
        self.usernames.setdefault(username, set()).add(obj)
        logger.info("%s has this name now.", obj, extra={"event": "named"})
        self._named(obj)

    def clear_username(self, obj: Client) -> None:
        """Take a client's name, so that it can get another; CloudLink 0.1.5 allows that.

        Raises `ClientDoesNotExist`, `ClientUsernameNotSet`.
        """
        self._require(obj)
        if not obj.username_set:
            raise ClientUsernameNotSet(repr(obj))
        self._unnaming(obj)
        _drop(self.usernames, obj.username, obj)
        obj.username = ""
        obj.username_set = False
        obj.encoded_user = None

    def set_protocol(self, obj: Client, schema: Schema) -> None:
        """Decide a client's protocol. Raises `ClientDoesNotExist`, `ProtocolAlreadySet`."""
        self._require(obj)
        if obj.protocol is not None:
            raise ProtocolAlreadySet(repr(obj.protocol))
        obj.protocol = schema
        self.protocols.setdefault(schema, set()).add(obj)

    def find_obj(self, query: str | dict[str, Any]) -> set[Client] | Client:
        """Find clients by username, UUID or snowflake, or one by its user object.

        Returns:
            The set of clients of that username, or the one client of that UUID or snowflake.

        Raises:
            NoResultsFound: Nobody matches.
            TypeError: The query is neither text nor a user object.
        """
        if isinstance(query, dict):
            return self._find_user(query)
        if not isinstance(query, str):
            raise TypeError(f"a client is found by text or user object, not by {type(query).__name__}")
        found = self.usernames.get(query) or self.uuids.get(query) or self.snowflakes.get(query)
        if found is None:
            raise NoResultsFound(query)
        return set(found) if isinstance(found, set) else found

    def _find_user(self, user: dict[str, Any]) -> set[Client] | Client:
        # Each key is looked up as what it is: nobody takes another's place by a name that is an id.
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
                found = index[text]
                return set(found) if isinstance(found, set) else found
        raise NoResultsFound(repr(user))

    def _require(self, obj: Client) -> None:
        if obj not in self.clients:
            raise ClientDoesNotExist(repr(obj))


def _drop(index: dict[Any, set[Client]], key: Any, client: Client) -> None:
    members = index[key]
    members.discard(client)
    if not members:
        del index[key]
