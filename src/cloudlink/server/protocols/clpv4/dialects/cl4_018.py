"""CloudLink 4, version 0.1.8, and clients that could be of it or of 0.2.0 (protocol, section 4.5).

Both eras' Scratch clients set their name without a handshake, in the very same words. Until one tells
more it gets packets of 0.2.0, with user lists that both understand: whole ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import text_frame, update_frame
from cloudlink.server.protocols.clpv4.packet import Packet, parse
from cloudlink.server.protocols.clpv4.statuscodes import StatusCodes

from .base import DEFAULT_ROOM, NOTHING, translate
from .cl4_020 import Cl4

if TYPE_CHECKING:
    from cloudlink.server.clients import Client
    from cloudlink.server.protocols.clpv4.statuscodes import StatusCode
    from cloudlink.server.rooms import Members, Room

    from .base import Dialect, Opening

_LINKS = ("link", "unlink")
_PYTHON_CLIENT = b'"username_set"'


class Cl4Safe(Cl4):
    """Version 0.2.0 for clients that may be of 0.1.8."""

    name = "CL4 safe mode"
    is_settled = False
    is_modern = False
    whole_lists = True
    own_commands = frozenset({"ulist"})

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """A name as a first message, tagged as Scratch clients of both versions tag it."""
        return opening.is_first and opening.cmd == "setid" and opening.listener == b'"setusername"'

    def read(self, data: bytes) -> Packet:
        """Take rooms that are the JSON text of a list as that list."""
        packet = parse(data)
        if packet.cmd in _LINKS and packet.val.startswith(b'"'):
            packet.amend(val=_as_list(packet.val))
        if packet.rooms.startswith(b'"'):
            packet.amend(rooms=_as_list(packet.rooms))
        return packet


class Cl4Of018(Cl4Safe):
    """CloudLink 0.1.8: no modes, no UUIDs, no numbers of status codes; a room is `room`."""

    name = "CL4 0.1.8"
    is_settled = True
    confirms_first = True
    replaces_rooms = True
    own_commands = frozenset({"ulist", "ping", "statuscode"})

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Rooms to join as JSON text, or the tag of the Python client of that version."""
        if opening.is_first and opening.cmd == "setid" and opening.listener == _PYTHON_CLIENT:
            return True
        is_link = opening.cmd == "link" and isinstance(current, Cl4Safe) and current is not self
        return is_link and _as_list(opening.val) != opening.val

    def translate(self, data: bytes) -> bytes:
        """A packet that a plugin made."""
        return translate(self, data)

    def message(self, val: bytes, room: Room, listener: bytes = b"") -> bytes:
        """A gmsg; the listener is the sender's alone."""
        return text_frame(b'{"cmd":"gmsg","val":%b%b}' % (val, _tags(room, listener)))

    def variable(self, name: bytes, val: bytes, room: Room, listener: bytes = b"") -> bytes:
        """A gvar; the listener is the sender's alone."""
        text = b'{"cmd":"gvar","name":%b,"val":%b%b}' % (name, val, _tags(room, listener))
        return text_frame(text) if listener else update_frame(text, ("gvar", name, room.id))

    def user_list(self, room: Room, members: Members) -> bytes:
        """Everybody in a room who has a name."""
        frame = members.userlists.get(Cl4Of018)
        if frame is None:
            users = b",".join([_user(client) for client in members.all if client.username_set])
            text = b'{"cmd":"ulist","val":[%b]%b}' % (users, _tags(room))
            frame = members.userlists[Cl4Of018] = text_frame(text)
        return frame

    def private_message(self, val: bytes, origin: Client, room: Room, recipient: Client) -> bytes:
        """A pmsg."""
        return text_frame(b'{"cmd":"pmsg","val":%b,"origin":%b%b}' % (val, _user(origin), _tags(room)))

    def private_variable(
        self,
        name: bytes,
        val: bytes,
        origin: Client,
        room: Room,
        recipient: Client,
    ) -> bytes:
        """A pvar."""
        text = b'{"cmd":"pvar","name":%b,"val":%b,"origin":%b%b}' % (name, val, _user(origin), _tags(room))
        return update_frame(text, ("pvar", name, room.id, origin.uuid))

    def direct(self, val: bytes, origin: Client, listener: bytes) -> bytes:
        """A direct; its listener reaches the recipient."""
        tag = b',"listener":' + listener if listener else b""
        return text_frame(b'{"cmd":"direct","val":%b,"origin":%b%b}' % (val, _user(origin), tag))

    def custom(self, cmd: str, val: bytes, origin: Client) -> bytes:
        """A ping, or a status code that answers it, from client to client."""
        keys = {"ping": b"val", "statuscode": b"code"}
        if cmd not in keys:
            return NOTHING
        text = b'{"cmd":"%b","%b":%b,"origin":%b}'
        return text_frame(text % (cmd.encode(), keys[cmd], val, _user(origin)))

    def status(
        self,
        code: StatusCode,
        listener: bytes = b"",
        details: bytes = b"",
        val: bytes = b"",
    ) -> bytes:
        """A status code."""
        text, _ = StatusCodes.generate(code)
        tag = b',"listener":' + listener if listener else b""
        payload = b',"val":' + val if val else b""
        return text_frame(b'{"cmd":"statuscode","code":%b%b%b}' % (jsontext.dumps(text), payload, tag))


CL4_SAFE = Cl4Safe()
CL4_018 = Cl4Of018()


def _as_list(raw: bytes) -> bytes:
    """Return the JSON list that a JSON string spells, anything else as it is."""
    if not raw.startswith(b'"'):
        return raw
    text: str = jsontext.loads(raw)
    if not text.lstrip().startswith("["):
        return raw
    try:
        jsontext.check(text.encode())
    except ValueError:  # no JSON, or no UTF-8
        return raw
    return text.strip().encode()


def _tags(room: Room, listener: bytes = b"") -> bytes:
    tag = b"" if room.id == DEFAULT_ROOM else b',"room":' + room.json_id
    return tag + b',"listener":' + listener if listener else tag


def _user(client: Client) -> bytes:
    name = b'"username":%b,' % jsontext.dumps(client.username) if client.username_set else b""
    return b'{%b"id":"%b"}' % (name, client.snowflake.encode())
