"""The base class of dialects: reads the packets of one era's clients, and writes events for them.

A dialect does no I/O and holds no client state. It parses a message into a packet and encodes an event
as a frame, once per event and not once per recipient. If an era cannot express an event, the frame is
empty and is not sent.

Most differences between the eras are in the encoding. The few differences in behaviour are attributes
of the dialect, so that commands test these attributes and never compare dialects.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec

from cloudlink import jsontext
from cloudlink.delivery import text_frame
from cloudlink.jsontext import JSONTextError
from cloudlink.server.events import (
    Announcement,
    ChannelMessage,
    ChannelVariable,
    Custom,
    Direct,
    Joined,
    Left,
    LinkedMessage,
    LinkedVariable,
    Message,
    PrivateMessage,
    PrivateVariable,
    Renamed,
    User,
    Variable,
)
from cloudlink.server.eventwriter import EventWriter
from cloudlink.server.protocols.clpv4.packet import SyntaxProblem, names, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.server.protocols.clpv4.packet import Packet
    from cloudlink.server.protocols.clpv4.statuscodes import StatusCode

DEFAULT_ROOM = "default"
"""The room of a client that has not joined another one."""

NOTHING = b""
"""The frame of an event that a dialect cannot express."""

_READ_OFTEN = ("is_settled", "own_commands", "routes_unknown", "confirms_all", "may_miss")
"""The attributes that each packet reads. Instances have copies, because Python 3.11 reads those faster than a class's own."""


class Greeting(msgspec.Struct, frozen=True, gc=False):
    """The contents of a greeting.

    Attributes:
        user: The client as others see it.
        address: The address shown to the client as its own, empty if it is unknown or private.
        version: The version that the server reports.
        motd: The message of the day, empty for none.
        lists: A user list frame for each of the client's rooms.
    """

    user: User
    address: str
    version: str
    motd: str
    lists: list[bytes]


class Signs(msgspec.Struct, gc=False):
    """The keys that identify a packet's era, empty if missing; all but the command are JSON text."""

    cmd: str = ""
    val: msgspec.Raw = msgspec.Raw()  # immutable
    id: msgspec.Raw = msgspec.Raw()
    listener: msgspec.Raw = msgspec.Raw()
    origin: msgspec.Raw = msgspec.Raw()


_decode_signs = msgspec.json.Decoder(Signs).decode


def read_signs(data: bytes) -> Signs:
    """Return the signs of a message's era, empty if not a packet; accept everything that `parse` accepts."""
    try:
        return _decode_signs(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if not jsontext.may_hold_half_pair(data):
            return Signs()
    try:
        found = jsontext.pick(data, *Signs.__struct_fields__) or {}
        cmd = jsontext.loads(found.pop("cmd", b"null"))
    except jsontext.JSONTextError:
        return Signs()
    return (
        Signs(cmd, **{key: msgspec.Raw(raw) for key, raw in found.items()})
        if isinstance(cmd, str)
        else Signs()
    )


class Opening(msgspec.Struct, frozen=True, gc=False):
    """The input of dialect detection (protocol, section 4.7). JSON texts are empty if the key is missing.

    Attributes:
        cmd: The command, empty if the message is not a CL4 or CL3 packet.
        val: JSON text of the payload.
        id: JSON text of the recipients.
        listener: JSON text of the echo tag.
        origin: JSON text of the name that the client claims to have.
        text: The message itself.
        is_first: Whether the client's dialect is still undecided.
        prefers_cl3: Whether a client that may be CL3 0.1.5 or CL4 without listeners is treated as CL3.
    """

    cmd: str
    val: bytes
    id: bytes
    listener: bytes
    origin: bytes
    text: bytes
    is_first: bool
    prefers_cl3: bool


class UserList(Protocol):
    """The named users of a room, in the order in which they joined."""

    def users(self) -> Iterable[User]:
        """Return the users."""
        ...

    def objects(self) -> bytes | bytearray:
        """Return the CL4 user objects as JSON texts, separated by commas."""
        ...


class Dialect(EventWriter, ABC):
    """A dialect that sends nothing; subclasses override the methods for what their era can express.

    `write` encodes an event by calling the method for the event's class. Each such method takes the event,
    the room's name, the JSON text of the sender's listener (empty in copies for others), and the recipient of
    an event for one user (None for all members of the room). It returns a frame.

    Attributes:
        name: The dialect's name, for logs and plugins.
        greets_as: The form of the greeting; a client is greeted again when it changes.
        is_settled: Whether only a handshake, and no other later message, can change the client's dialect.
        is_modern: Whether a handshake changes nothing.
        has_rooms: Whether the client can be in rooms other than `default`.
        has_status: Whether the dialect has status codes to report failures.
        confirms_all: Whether gmsg and gvar are confirmed, too.
        confirms_first: Whether a command is confirmed before the changed user lists are sent.
        replaces_rooms: Whether `link` leaves the rooms that it does not name.
        renames: Whether a client can change its name.
        unique_names: Whether a name that is already taken is refused.
        whole_lists: Whether each change of a user list is sent as the whole list.
        repeats_list: Whether each `remove` is followed by the whole list, because the client does not
            remove users from its own list (protocol, decision D4).
        routes_unknown: Whether an unknown command is routed to the user named in `id`.
        tells_origin: Whether gmsg and gvar can carry their sender (`Message.attributed`).
        repeats_message: Whether a newcomer expects the last message of its room, if it is kept.
        list_form: Dialects with the same form share the frame of a user list.
        loop: The status of a message to oneself, None if it is delivered.
        own_commands: Commands that exist only in this era.
        translate: Translates a CL4 packet of a plugin to this dialect, None if no translation is needed.
    """

    name: str = ""
    greets_as: str = ""
    is_settled: bool = True
    is_modern: bool = False
    has_rooms: bool = False
    has_status: bool = False
    confirms_all: bool = False
    confirms_first: bool = False
    replaces_rooms: bool = False
    renames: bool = False
    unique_names: bool = False
    whole_lists: bool = True
    repeats_list: bool = False
    routes_unknown: bool = False
    tells_origin: bool = False
    repeats_message: bool = False
    list_form: str = ""
    loop: StatusCode | None = None
    own_commands: ClassVar[frozenset[str]] = frozenset()
    translate: Callable[[bytes], bytes] | None = None

    def __init__(self) -> None:
        super().__init__(
            {
                Message: self.message,
                Variable: self.variable,
                PrivateMessage: self.private_message,
                PrivateVariable: self.private_variable,
                Direct: self.direct,
                Custom: self.custom,
                Announcement: self.announcement,
                ChannelMessage: self.channel_message,
                ChannelVariable: self.channel_variable,
                LinkedMessage: self.linked_message,
                LinkedVariable: self.linked_variable,
                Joined: self.joined,
                Left: self.left,
                Renamed: self.renamed,
            }
        )
        for name in _READ_OFTEN:
            setattr(self, name, getattr(self, name))

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Dialect {self.name}>"

    # From the client.

    @abstractmethod
    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Return whether a message shows that its client speaks this dialect; `current` is the one assumed so far."""

    @abstractmethod
    def read(self, data: bytes) -> Packet | None:
        """Return the CL4 packet equivalent to a message, None if the message has no meaning.

        Raises:
            JSONTextError: The message, or a part that must be JSON, is not JSON.
            SyntaxProblem: The message is JSON but not a packet.
        """

    def refuses_name(self, raw: bytes) -> StatusCode | None:
        """Return the status that refuses this JSON text as a username, None if it is acceptable."""
        return None

    # To the client.

    def before_and_after(self, confirmation: bytes) -> tuple[bytes, bytes]:
        """Return the frames to send before and after the user lists that a confirmed command changes."""
        return (confirmation, NOTHING) if self.confirms_first else (NOTHING, confirmation)

    def greeting(self, facts: Greeting) -> list[bytes]:
        """Return the frames of the greeting."""
        return facts.lists

    def user_list(self, room: str, users: UserList) -> bytes:
        """Return the whole user list of a room as a frame; called once per change of the list."""
        return NOTHING

    def status(
        self,
        code: StatusCode,
        listener: bytes = b"",
        details: bytes = b"",
        val: bytes = b"",
    ) -> bytes:
        """Return a status code frame; empty `details` and `val` are omitted."""
        return NOTHING

    # Events, called by `write`.

    def message(
        self, event: Message, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gmsg frame; only the sender's copy carries the listener."""
        return NOTHING

    def variable(
        self, event: Variable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gvar frame; only the sender's copy carries the listener."""
        return NOTHING

    def joined(self, event: Joined, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return a frame that adds a named user to the user list."""
        return NOTHING

    def left(self, event: Left, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return a frame that removes a named user from the user list."""
        return NOTHING

    def renamed(
        self, event: Renamed, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a frame that renames a user in the user list: by default, the frames of `left` and `joined`."""
        return self.left(Left(event.former), room) + self.joined(Joined(event.user), room)

    def private_message(
        self, event: PrivateMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a pmsg frame."""
        return NOTHING

    def private_variable(
        self, event: PrivateVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a pvar frame."""
        return NOTHING

    def direct(self, event: Direct, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return a direct frame; the recipient gets the listener of the event."""
        return NOTHING

    def custom(self, event: Custom, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return the frame of a project's custom command."""
        return NOTHING

    def announcement(
        self, event: Announcement, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return the frame of a text of the host."""
        return NOTHING

    # Linked channels, which only CloudLink 2 with special features supports.

    def channel_message(
        self, event: ChannelMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return the frame of a message to all members of a linked channel."""
        return NOTHING

    def linked_message(
        self, event: LinkedMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return the frame of a message to one user of a linked channel."""
        return NOTHING

    def channel_variable(
        self, event: ChannelVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return the frame of a variable for all members of a linked channel."""
        return NOTHING

    def linked_variable(
        self, event: LinkedVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return the frame of a variable for one user of a linked channel."""
        return NOTHING


def translate(dialect: Dialect, data: bytes) -> bytes:
    """Translate a plugin's gmsg or gvar to a dialect; return other packets unchanged."""
    try:
        packet = parse(data)
        rooms = names(packet.rooms, "rooms", packet.listener, math.inf) if packet.rooms else []
    except (JSONTextError, SyntaxProblem):
        return text_frame(data)
    # If a plugin lists several rooms, the first is used: older clients support one room per packet.
    room = rooms[0] if rooms else DEFAULT_ROOM
    if packet.cmd == "gmsg" and packet.val:
        return dialect.write(Message(packet.val), room, packet.listener)
    if packet.cmd == "gvar" and packet.name and packet.val:
        return dialect.write(Variable(packet.name, packet.val), room, packet.listener)
    return text_frame(data)


def as_flat(val: bytes) -> bytes:
    """Convert a JSON list or object to a JSON string of its text, for clients that support only scalars."""
    return jsontext.dumps(val.decode()) if val[0] in b"{[" else val


room_text = lru_cache(maxsize=512)(jsontext.dumps)
"""Return a room's name as JSON text."""


def names_list(users: UserList, hidden: str = "") -> bytes:
    """Return the JSON string `alice;bob;` of the names in a room (protocol, section 4.8).

    Args:
        users: The users in the room.
        hidden: Names that begin and end with this character are omitted; empty for none.
    """
    found = ((user.username or "").replace(";", "") for user in users.users())
    shown = (name for name in found if not (hidden and len(name) > 1 and name[0] == name[-1] == hidden))
    return jsontext.dumps("".join(f"{name};" for name in shown if name))
