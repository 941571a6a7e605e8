"""The events that a client reports: one frozen dataclass for each kind.

Values are decoded JSON. Rooms are names. How an event looks on the wire is in `packets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Listener = str | int | float | bool
"""A tag that an answer repeats (protocol, section 1.2)."""


@dataclass(frozen=True, slots=True)
class User:
    """A client of the server, as others see it.

    Attributes:
        id: Its snowflake, a decimal text, unique among all clients the server has ever had.
        uuid: The UUID of its connection.
        username: Its name; None while it has none.
    """

    id: str
    uuid: str
    username: str | None = None

    def __str__(self) -> str:
        return self.username if self.username is not None else self.id


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events."""


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """Name and rooms are in place, and packets can be sent.

    Attributes:
        user: This client as the server knows it; its ids change with every reconnection.
        again: Whether this is a reconnection.
        rooms: The rooms this client is in.
    """

    user: User
    again: bool
    rooms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Disconnected(Event):
    """The connection has ended, and the client will connect again.

    Attributes:
        reason: One sentence that says why.
        retry_in: Seconds until the next attempt.
    """

    reason: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class MessageOfTheDay(Event):
    """The host's greeting."""

    text: str


@dataclass(frozen=True, slots=True)
class GlobalMessage(Event):
    """A message to a room (gmsg). The server sends all of them, this client's own included.

    Attributes:
        value: The value that was sent.
        room: The room it was sent to.
        listener: The tag of this client's own message, if it had one; the messages of others have none.
    """

    value: Any
    room: str
    listener: Listener | None = None


@dataclass(frozen=True, slots=True)
class GlobalVariable(Event):
    """A value for a variable of a room (gvar); otherwise like `GlobalMessage`."""

    name: str
    value: Any
    room: str
    listener: Listener | None = None


@dataclass(frozen=True, slots=True)
class PrivateMessage(Event):
    """A message to this client (pmsg).

    Attributes:
        value: The value that was sent.
        sender: The client that sent it.
        room: A room that sender and recipient share.
    """

    value: Any
    sender: User
    room: str


@dataclass(frozen=True, slots=True)
class PrivateVariable(Event):
    """A value for a variable of this client (pvar); otherwise like `PrivateMessage`."""

    name: str
    value: Any
    sender: User
    room: str


@dataclass(frozen=True, slots=True)
class DirectMessage(Event):
    """A message from a client anywhere on the server (direct).

    Attributes:
        value: The value that was sent.
        sender: The client that sent it; may have no name.
        listener: The sender's tag, to be sent back with an answer.
    """

    value: Any
    sender: User
    listener: Listener | None = None


@dataclass(frozen=True, slots=True)
class UserList(Event):
    """All users with a name in a room that this client has joined, this client included."""

    users: tuple[User, ...]
    room: str


@dataclass(frozen=True, slots=True)
class UserJoined(Event):
    """A user has joined a room, or has set a name there."""

    user: User
    room: str


@dataclass(frozen=True, slots=True)
class UserLeft(Event):
    """A user has left a room."""

    user: User
    room: str


@dataclass(frozen=True, slots=True)
class StatusCode(Event):
    """A status code (protocol, section 1.3). As an event, it is one that no request waits for.

    Attributes:
        code: Letter, number and text, such as `E:103 | ID not found`.
        code_id: The number.
        details: An explanation for a person, if there is one: text, or texts by key.
        listener: The tag of the packet it answers, if that had one.
        value: Its `val`: the user object after `setid`, usually None otherwise.
    """

    code: str
    code_id: int
    details: Any = None
    listener: Listener | None = None
    value: Any = None

    @property
    def ok(self) -> bool:
        """Whether it reports success: its letter is I, not E."""
        return self.code.startswith("I:")


@dataclass(frozen=True, slots=True)
class OtherPacket(Event):
    """A packet of a command that this client does not know, such as a plugin's, as it came.

    A `pmsg`, `pvar` or `direct` without a sender is one too: it comes from the server or a plugin.
    """

    packet: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable(Event):
    """A message that is not a packet."""

    text: str


@dataclass(frozen=True, slots=True)
class CloudChange:
    """Another client has set a cloud variable.

    Attributes:
        name: Its full name, such as `☁ score`.
        value: A number, or text of digits, as it was set.
    """

    name: str
    value: int | float | str
