"""What every dialect is: how one era's clients write their packets, and how events are written for them.

A dialect is pure. It turns a message into a packet and an event into a ready frame, is asked once per
event and not once per recipient, and holds no state of any client. What an era has no words for is the
empty frame, which is not sent.

Most of what differs between the eras is the wording. The few differences in conduct are attributes
here, so that a command asks "does this client's dialect …" and never which dialect it is.
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
"""The room a client is in while it has not joined another one."""

NOTHING = b""
"""The frame of an event that a dialect has no words for."""


class Greeting(msgspec.Struct, frozen=True, gc=False):
    """What a client is told first.

    Attributes:
        user: The client, as others see it.
        address: Its address as it is shown to it, empty if that is unknown or private.
        version: The version that the server reports.
        motd: The message of the day, empty for none.
        lists: A frame with the user list of each of its rooms.
    """

    user: User
    address: str
    version: str
    motd: str
    lists: list[bytes]


class Signs(msgspec.Struct, gc=False):
    """The keys of a CL4 or CL3 packet that tell its era, JSON texts but for the command; empty where missing."""

    cmd: str = ""
    val: msgspec.Raw = msgspec.Raw()  # immutable
    id: msgspec.Raw = msgspec.Raw()
    listener: msgspec.Raw = msgspec.Raw()
    origin: msgspec.Raw = msgspec.Raw()


_decode_signs = msgspec.json.Decoder(Signs).decode


def read_signs(data: bytes) -> Signs:
    """Return what a message tells of its era, nothing where it is no packet. Takes whatever `parse` takes."""
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
    """A message as detection sees it (protocol, section 4.7).

    Attributes:
        cmd: The command, empty where the message is no CL4 or CL3 packet.
        val: JSON text of the payload; like all that follow empty where the key is missing.
        id: JSON text of the recipients.
        listener: JSON text of the echo tag.
        origin: JSON text of who the client says it is.
        text: The message itself.
        is_first: Whether nothing has told the client's dialect so far.
        prefers_cl3: Whether what could be CL3 0.1.5 or a CL4 client without listeners is taken as CL3.
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
    """The named users of a room, in the order they joined."""

    def users(self) -> Iterable[User]:
        """Return the users."""
        ...

    def objects(self) -> bytes | bytearray:
        """Return their CL4 user objects as JSON texts with commas between them."""
        ...


class Dialect(EventWriter, ABC):
    """A dialect that says nothing; each era says what it has words for.

    Events are written by `write`, which calls the method for the event's class. Each such method takes the event,
    the room's name, the JSON text of the sender's listener (empty in copies for others), and the recipient of what
    is sent to one user (None for everybody); it returns a frame.

    Attributes:
        name: What it is called, in logs and by plugins.
        greets_as: Names the form of the greeting; a client is greeted again when that changes.
        is_settled: Whether no later message but a handshake tells that the client speaks another.
        is_modern: Whether a handshake changes nothing.
        has_rooms: Whether the client can be elsewhere than in `default`.
        has_status: Whether the client can be told that something failed.
        confirms_all: Whether a gmsg and a gvar are confirmed, too.
        confirms_first: Whether a command is confirmed before the user lists it changes are shown.
        replaces_rooms: Whether `link` leaves the rooms it does not name.
        renames: Whether a name can be changed.
        unique_names: Whether a name that somebody has is refused.
        whole_lists: Whether each change of a user list is told as the whole list.
        repeats_list: Whether each `remove` is followed by the whole list, because the client's own
            list does not shrink (protocol, decision D4).
        routes_unknown: Whether a command that does not exist goes to the user named in `id`.
        tells_origin: Whether a gmsg and a gvar have a place for their sender (`Message.attributed`).
        repeats_message: Whether a newcomer expects the last message of its room, where it is kept.
        list_form: Dialects with the same form share a user list's frame.
        loop: The status of a message to oneself, None where it is delivered.
        own_commands: Commands that only this era had.
        translate: Turns a CL4 packet that a plugin made into this era's words, None where it needs no turning.
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
                ChannelMessage: self.channel_message,
                ChannelVariable: self.channel_variable,
                LinkedMessage: self.linked_message,
                LinkedVariable: self.linked_variable,
                Joined: self.joined,
                Left: self.left,
                Renamed: self.renamed,
            }
        )

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Dialect {self.name}>"

    # What a client sends.

    @abstractmethod
    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Tell whether a message shows that its client, so far taken for another, speaks this."""

    @abstractmethod
    def read(self, data: bytes) -> Packet | None:
        """Return a message as the CL4 packet that means the same, None for one that means nothing.

        Raises:
            JSONTextError: It is not JSON where it should be.
            SyntaxProblem: It is JSON but no packet.
        """

    def refuses_name(self, raw: bytes) -> StatusCode | None:
        """Return why this JSON text can be no username, None if it can."""
        return None

    # What a client is sent.

    def before_and_after(self, confirmation: bytes) -> tuple[bytes, bytes]:
        """Return what is sent before and after the user lists that a confirmed command changes."""
        return (confirmation, NOTHING) if self.confirms_first else (NOTHING, confirmation)

    def greeting(self, facts: Greeting) -> list[bytes]:
        """Return what a client is told first."""
        return facts.lists

    def user_list(self, room: str, users: UserList) -> bytes:
        """Return the whole user list of a room as a frame; asked once per change of the list."""
        return NOTHING

    def status(
        self,
        code: StatusCode,
        listener: bytes = b"",
        details: bytes = b"",
        val: bytes = b"",
    ) -> bytes:
        """A status code; `details` and `val` are left out where they are empty."""
        return NOTHING

    # Events, called by `write`.

    def message(
        self, event: Message, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """A gmsg; the listener is the sender's alone."""
        return NOTHING

    def variable(
        self, event: Variable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """A gvar; the listener is the sender's alone."""
        return NOTHING

    def joined(self, event: Joined, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """A user with a name is new in a room."""
        return NOTHING

    def left(self, event: Left, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """A user with a name has left a room."""
        return NOTHING

    def renamed(
        self, event: Renamed, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """A user with a name has another one; two frames where an era has no word for it."""
        return self.left(Left(event.former), room) + self.joined(Joined(event.user), room)

    def private_message(
        self, event: PrivateMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """A pmsg."""
        return NOTHING

    def private_variable(
        self, event: PrivateVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """A pvar."""
        return NOTHING

    def direct(self, event: Direct, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """A direct; its own listener reaches the recipient."""
        return NOTHING

    def custom(self, event: Custom, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """A command of the projects' own making."""
        return NOTHING

    # Linked channels: only CloudLink 2 with special features has words for them.

    def channel_message(
        self, event: ChannelMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """A message to everybody in a linked channel."""
        return NOTHING

    def linked_message(
        self, event: LinkedMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """A message to one user of a linked channel."""
        return NOTHING

    def channel_variable(
        self, event: ChannelVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """A variable for everybody in a linked channel."""
        return NOTHING

    def linked_variable(
        self, event: LinkedVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """A variable for one user of a linked channel."""
        return NOTHING


def translate(dialect: Dialect, data: bytes) -> bytes:
    """Write a gmsg or gvar that a plugin made in a dialect's words; anything else stays as it is."""
    try:
        packet = parse(data)
        rooms = names(packet.rooms, "rooms", packet.listener, math.inf) if packet.rooms else []
    except (JSONTextError, SyntaxProblem):
        return text_frame(data)
    # Of several rooms that a plugin lists the first is named: older clients know one room a packet.
    room = rooms[0] if rooms else DEFAULT_ROOM
    if packet.cmd == "gmsg" and packet.val:
        return dialect.write(Message(packet.val), room, packet.listener)
    if packet.cmd == "gvar" and packet.name and packet.val:
        return dialect.write(Variable(packet.name, packet.val), room, packet.listener)
    return text_frame(data)


def as_flat(val: bytes) -> bytes:
    """Return a JSON text for clients that know no lists and objects: those as a JSON string of their text."""
    return jsontext.dumps(val.decode()) if val[0] in b"{[" else val


room_text = lru_cache(maxsize=512)(jsontext.dumps)
"""Returns a room's name as JSON text."""


def names_list(users: UserList, hidden: str = "") -> bytes:
    """Return the JSON string `alice;bob;` of the names in a room (protocol, section 4.8).

    Args:
        users: The users in the room.
        hidden: Names that begin and end with this character are left out; empty for none.
    """
    found = ((user.username or "").replace(";", "") for user in users.users())
    shown = (name for name in found if not (hidden and len(name) > 1 and name[0] == name[-1] == hidden))
    return jsontext.dumps("".join(f"{name};" for name in shown if name))
