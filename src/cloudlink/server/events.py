"""Events: what happens in rooms and between users, before a dialect puts it into words.

An event is an immutable record without any live object, so that it can be handed to every audience, to subscribers
and to other processes. Values and names are raw JSON text, as the sender wrote them. Nothing here sends.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class User(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Who a client is to others.

    Attributes:
        node: The server process that the client is connected to, empty for this one.
        id: The client's snowflake, unique among all clients ever.
        uuid: UUID of its connection.
        username: Its name, None while it has none.
    """

    node: str
    id: str
    uuid: str
    username: str | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that the members of a room, or one user, are told.

    Attributes:
        deferrable: Whether it may reach clients some milliseconds late, together with others of its kind.
    """

    deferrable: ClassVar[bool] = False


class Message(Event, frozen=True, gc=False):
    """A gmsg.

    Attributes:
        val: JSON text of the payload.
        origin: The sender, None where the server itself sends.
        via: What carried it here: empty for a client of this protocol, else the name of a bridge.
        attributed: Whether recipients are sent the origin, in dialects that have a place for it.
        left_out: Ids of the users who are not sent it.
    """

    val: bytes
    origin: User | None = None
    via: str = ""
    attributed: bool = False
    left_out: tuple[str, ...] = ()


class Variable(Event, frozen=True, gc=False):
    """A gvar, or a cloud variable's new value.

    Attributes:
        name: JSON text of the variable's name, a JSON string.
        val: JSON text of the value.
        origin: As in `Message`, like all that follow.
        via: What carried it here.
        attributed: Whether recipients are sent the origin.
        left_out: Ids of the users who are not sent it.
    """

    name: bytes
    val: bytes
    origin: User | None = None
    via: str = ""
    attributed: bool = False
    left_out: tuple[str, ...] = ()


class PrivateMessage(Event, frozen=True, gc=False):
    """A pmsg: the JSON text of its payload, and its sender."""

    val: bytes
    origin: User


class PrivateVariable(Event, frozen=True, gc=False):
    """A pvar: the JSON texts of the variable's name and value, and its sender."""

    name: bytes
    val: bytes
    origin: User


class Direct(Event, frozen=True, gc=False):
    """A direct: the JSON text of its payload, its sender, and the JSON text of its listener, empty for none."""

    val: bytes
    origin: User
    listener: bytes = b""


class Custom(Event, frozen=True, gc=False):
    """A command of a project's own making, for clients of an era that routed such commands."""

    cmd: str
    val: bytes
    origin: User


class ChannelMessage(Event, frozen=True, gc=False):
    """Data sent to everybody in a linked channel (protocol, section 4.2)."""

    val: bytes


class ChannelVariable(Event, frozen=True, gc=False):
    """A variable sent to everybody in a linked channel (protocol, section 4.2)."""

    name: bytes
    val: bytes


class LinkedMessage(Event, frozen=True, gc=False):
    """Data sent to one user of a linked channel (protocol, section 4.2)."""

    val: bytes


class LinkedVariable(Event, frozen=True, gc=False):
    """A variable sent to one user of a linked channel (protocol, section 4.2)."""

    name: bytes
    val: bytes


class Joined(Event, frozen=True, gc=False):
    """A user with a name is new in a room's user list."""

    user: User
    deferrable: ClassVar[bool] = True


class Left(Event, frozen=True, gc=False):
    """A user with a name is no longer in a room's user list."""

    user: User
    deferrable: ClassVar[bool] = True


class Renamed(Event, frozen=True, gc=False):
    """A user in a room's user list has another name now.

    Attributes:
        user: The user under its new name.
        former: The user as it was listed before.
    """

    user: User
    former: User
    deferrable: ClassVar[bool] = True
