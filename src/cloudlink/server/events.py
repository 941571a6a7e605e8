"""Events in rooms and between users, independent of any dialect.

An event is an immutable record without references to live objects, so that it can be passed to every
audience, to subscribers and to other processes. Values and names are raw JSON text, as the sender wrote them.
This module sends nothing.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class User(msgspec.Struct, frozen=True, gc=False, cache_hash=True, array_like=True):
    """A client as other users see it.

    Attributes:
        node: The server process that the client is connected to, empty for this one.
        id: The client's snowflake, never reused.
        uuid: UUID of its connection.
        username: Its name, None until it has one.
        bridge: The name of the bridge on whose other side it is, empty for a client of this server or its cluster.
    """

    node: str
    id: str
    uuid: str
    username: str | None = None
    bridge: str = ""


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Base class of what is sent to the members of a room, or to one user.

    Attributes:
        deferrable: Whether delivery may be delayed by some milliseconds to combine it with other events.
    """

    deferrable: ClassVar[bool] = False


class Message(Event, frozen=True, gc=False):
    """A gmsg.

    Attributes:
        val: JSON text of the payload.
        origin: The sender, None if the server itself sends.
        via: Name of the bridge that the message came through, empty for a client of this protocol.
        attributed: Whether recipients see the origin, in dialects that can express it.
        left_out: Ids of the users that do not get the message.
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
        origin: As in `Message`.
        via: As in `Message`.
        attributed: As in `Message`.
        left_out: As in `Message`.
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
    """A custom command of a project, for dialects that routed such commands."""

    cmd: str
    val: bytes
    origin: User


class Announcement(Event, frozen=True, gc=False):
    """A text of the host to one user, shown like the message of the day; it does not leave the process."""

    text: str


class ChannelMessage(Event, frozen=True, gc=False):
    """Data sent to all members of a linked channel (protocol, section 4.2)."""

    val: bytes


class ChannelVariable(Event, frozen=True, gc=False):
    """A variable sent to all members of a linked channel (protocol, section 4.2)."""

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
    """A named user was added to a room's user list."""

    user: User
    deferrable: ClassVar[bool] = True


class Left(Event, frozen=True, gc=False):
    """A named user was removed from a room's user list."""

    user: User
    deferrable: ClassVar[bool] = True


class Renamed(Event, frozen=True, gc=False):
    """A user in a room's user list was renamed.

    Attributes:
        user: The user with its new name.
        former: The user as previously listed.
    """

    user: User
    former: User
    deferrable: ClassVar[bool] = True


class Relisted(Event, frozen=True, gc=False):
    """A room's user list has changed so much that its members get the whole list again."""
