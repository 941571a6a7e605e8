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
from typing import TYPE_CHECKING, ClassVar

import msgspec

from cloudlink import jsontext
from cloudlink.delivery import text_frame
from cloudlink.jsontext import JSONTextError
from cloudlink.server.protocols.clpv4.packet import SyntaxProblem, names, parse
from cloudlink.server.rooms import Room

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.server.clients import Client
    from cloudlink.server.protocols.clpv4.packet import Packet
    from cloudlink.server.protocols.clpv4.statuscodes import StatusCode
    from cloudlink.server.rooms import Members

DEFAULT_ROOM = "default"
"""The room a client is in while it has not joined another one."""

NOTHING = b""
"""The frame of an event that a dialect has no words for."""


class Greeting(msgspec.Struct, frozen=True, gc=False):
    """What a client is told first.

    Attributes:
        client: The client.
        address: Its address as it is shown to it, empty if that is unknown or private.
        version: The version that the server reports.
        motd: The message of the day, empty for none.
        lists: A frame with the user list of each of its rooms.
    """

    client: Client
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


class Dialect(ABC):
    """A dialect that says nothing; each era says what it has words for.

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
        names_recipient: Whether what is sent to one client holds its name.
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
    names_recipient: bool = False
    loop: StatusCode | None = None
    own_commands: ClassVar[frozenset[str]] = frozenset()
    translate: Callable[[bytes], bytes] | None = None

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

    def message(self, val: bytes, room: Room, listener: bytes = b"") -> bytes:
        """A gmsg; the listener is the sender's alone."""
        return NOTHING

    def variable(self, name: bytes, val: bytes, room: Room, listener: bytes = b"") -> bytes:
        """A gvar; the listener is the sender's alone."""
        return NOTHING

    def user_added(self, user: Client, room: Room) -> bytes:
        """Somebody with a name is new in a room."""
        return NOTHING

    def user_removed(self, user: Client, room: Room) -> bytes:
        """Somebody with a name has left a room."""
        return NOTHING

    def user_list(self, room: Room, members: Members) -> bytes:
        """Everybody in a room who has a name; encoded once per change of the list."""
        return NOTHING

    def private_message(self, val: bytes, origin: Client, room: Room, recipient: Client) -> bytes:
        """A pmsg."""
        return NOTHING

    def private_variable(
        self,
        name: bytes,
        val: bytes,
        origin: Client,
        room: Room,
        recipient: Client,
    ) -> bytes:
        """A pvar."""
        return NOTHING

    def direct(self, val: bytes, origin: Client, listener: bytes) -> bytes:
        """A direct; its listener reaches the recipient."""
        return NOTHING

    def custom(self, cmd: str, val: bytes, origin: Client) -> bytes:
        """A command of the projects' own making."""
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

    # Linked channels: only CloudLink 2 with special features has words for them.

    def channel_message(self, val: bytes, recipient: Client, mode: bytes) -> bytes:
        """A message over a linked channel, `g` for all of it or `p` for one."""
        return NOTHING

    def channel_variable(self, name: bytes, val: bytes, recipient: Client | None) -> bytes:
        """A variable over a linked channel, for all of it or for one recipient."""
        return NOTHING


def translate(dialect: Dialect, data: bytes) -> bytes:
    """Write a gmsg or gvar that a plugin made in a dialect's words; anything else stays as it is."""
    try:
        packet = parse(data)
        rooms = names(packet.rooms, "rooms", packet.listener, math.inf) if packet.rooms else []
    except (JSONTextError, SyntaxProblem):
        return text_frame(data)
    # Of several rooms that a plugin lists the first is named: older clients know one room a packet.
    room = Room(rooms[0] if rooms else DEFAULT_ROOM)
    if packet.cmd == "gmsg" and packet.val:
        return dialect.message(packet.val, room, packet.listener)
    if packet.cmd == "gvar" and packet.name and packet.val:
        return dialect.variable(packet.name, packet.val, room, packet.listener)
    return text_frame(data)


def as_flat(val: bytes) -> bytes:
    """Return a JSON text for clients that know no lists and objects: those as a JSON string of their text."""
    return jsontext.dumps(val.decode()) if val[0] in b"{[" else val


def names_list(members: Members, hidden: str = "") -> bytes:
    """Return the JSON string `alice;bob;` of the names in a room (protocol, section 4.8).

    Args:
        members: Who is there.
        hidden: Names that begin and end with this character are left out; empty for none.
    """
    found = (client.username.replace(";", "") for client in members.all if client.username_set)
    shown = (name for name in found if not (hidden and len(name) > 1 and name[0] == name[-1] == hidden))
    return jsontext.dumps("".join(f"{name};" for name in shown if name))
