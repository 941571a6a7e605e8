"""CloudLink 4, version 0.1.8, and clients that may speak 0.1.8 or 0.2.0 (protocol, section 4.5).

The Scratch clients of both versions set their name without a handshake and with identical packets. Until
such a client reveals its version, it gets packets of 0.2.0 with whole user lists, which both understand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import text_frame, update_frame
from cloudlink.server.protocols.clpv4.packet import Packet, parse
from cloudlink.server.protocols.clpv4.statuscodes import StatusCodes

from .base import DEFAULT_ROOM, NOTHING, room_text, translate
from .cl4_020 import Cl4

if TYPE_CHECKING:
    from cloudlink.server.events import (
        Custom,
        Direct,
        Joined,
        Left,
        Message,
        PrivateMessage,
        PrivateVariable,
        User,
        Variable,
    )
    from cloudlink.server.protocols.clpv4.statuscodes import StatusCode

    from .base import Dialect, Opening, UserList

_LINKS = ("link", "unlink")
_PYTHON_CLIENT = b'"username_set"'


class Cl4Safe(Cl4):
    """Version 0.2.0 for clients that may be 0.1.8."""

    name = "CL4 safe mode"
    is_settled = False
    is_modern = False
    whole_lists = True
    tells_origin = False
    own_commands = frozenset({"ulist"})

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Claim a first message that sets a name with the listener that Scratch clients of both versions use."""
        return opening.is_first and opening.cmd == "setid" and opening.listener == b'"setusername"'

    def joined(self, event: Joined, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return nothing: clients of 0.1.8 would mistake it for the whole list, which they get instead."""
        return NOTHING

    def left(self, event: Left, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return nothing, as `joined`."""
        return NOTHING

    def read(self, data: bytes) -> Packet:
        """Convert a message to a packet; decode rooms that are the JSON text of a list."""
        packet = parse(data)
        if packet.cmd in _LINKS and packet.val.startswith(b'"'):
            packet.amend(val=_as_list(packet.val))
        if packet.rooms.startswith(b'"'):
            packet.amend(rooms=_as_list(packet.rooms))
        return packet


class Cl4Of018(Cl4Safe):
    """CloudLink 0.1.8: no modes, no UUIDs, no numbers of status codes; a room is `room`."""

    name = "CL4 0.1.8"
    repeats_message = True
    is_settled = True
    confirms_first = True
    replaces_rooms = True
    list_form = "CL4 0.1.8"
    own_commands = frozenset({"ulist", "ping", "statuscode"})

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Claim a `link` whose rooms are JSON text, or a listener of that version's Python client."""
        if opening.is_first and opening.cmd == "setid" and opening.listener == _PYTHON_CLIENT:
            return True
        is_link = opening.cmd == "link" and isinstance(current, Cl4Safe) and current is not self
        return is_link and _as_list(opening.val) != opening.val

    def translate(self, data: bytes) -> bytes:
        """Translate a plugin's packet to this dialect."""
        return translate(self, data)

    def message(
        self, event: Message, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gmsg frame; only the sender's copy carries the listener."""
        return text_frame(b'{"cmd":"gmsg","val":%b%b}' % (event.val, _tags(room, listener)))

    def variable(
        self, event: Variable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gvar frame; only the sender's copy carries the listener."""
        text = b'{"cmd":"gvar","name":%b,"val":%b%b}' % (event.name, event.val, _tags(room, listener))
        return text_frame(text) if listener else update_frame(text, ("gvar", event.name, room))

    def user_list(self, room: str, users: UserList) -> bytes:
        """Return the whole user list of a room."""
        objects = b",".join(map(_user, users.users()))
        return text_frame(b'{"cmd":"ulist","val":[%b]%b}' % (objects, _tags(room)))

    def private_message(
        self, event: PrivateMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a pmsg frame."""
        text = b'{"cmd":"pmsg","val":%b,"origin":%b%b}'
        return text_frame(text % (event.val, _user(event.origin), _tags(room)))

    def private_variable(
        self, event: PrivateVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a pvar frame."""
        origin = event.origin
        text = b'{"cmd":"pvar","name":%b,"val":%b,"origin":%b%b}'
        return update_frame(
            text % (event.name, event.val, _user(origin), _tags(room)),
            ("pvar", event.name, room, origin.uuid),
        )

    def direct(self, event: Direct, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return a direct frame; the recipient gets the listener of the event."""
        tag = b',"listener":' + event.listener if event.listener else b""
        return text_frame(b'{"cmd":"direct","val":%b,"origin":%b%b}' % (event.val, _user(event.origin), tag))

    def custom(self, event: Custom, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return the frame of a ping between clients, or of the status code that answers it."""
        keys = {"ping": b"val", "statuscode": b"code"}
        if event.cmd not in keys:
            return NOTHING
        text = b'{"cmd":"%b","%b":%b,"origin":%b}'
        return text_frame(text % (event.cmd.encode(), keys[event.cmd], event.val, _user(event.origin)))

    def status(
        self,
        code: StatusCode,
        listener: bytes = b"",
        details: bytes = b"",
        val: bytes = b"",
    ) -> bytes:
        """Return a status code frame."""
        text, _ = StatusCodes.generate(code)
        tag = b',"listener":' + listener if listener else b""
        payload = b',"val":' + val if val else b""
        return text_frame(b'{"cmd":"statuscode","code":%b%b%b}' % (jsontext.dumps(text), payload, tag))


CL4_SAFE = Cl4Safe()
CL4_018 = Cl4Of018()


def _as_list(raw: bytes) -> bytes:
    """Return the JSON list held in a JSON string; return other values unchanged."""
    if not raw.startswith(b'"'):
        return raw
    text: str = jsontext.loads(raw)
    if not text.lstrip().startswith("["):
        return raw
    try:
        jsontext.check(text.encode())
    except ValueError:  # not JSON, or not UTF-8
        return raw
    return text.strip().encode()


def _tags(room: str, listener: bytes = b"") -> bytes:
    tag = b"" if room == DEFAULT_ROOM else b',"room":' + room_text(room)
    return tag + b',"listener":' + listener if listener else tag


def _user(user: User) -> bytes:
    name = b"" if user.username is None else b'"username":%b,' % jsontext.dumps(user.username)
    return b'{%b"id":"%b"}' % (name, user.id.encode())
