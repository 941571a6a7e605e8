"""CloudLink 4, version 0.2.0: the packets that all others are translated from and to (protocol, section 1)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import joined_text_frame, text_frame, update_frame
from cloudlink.server.protocols.clpv4.packet import parse
from cloudlink.server.protocols.clpv4.statuscodes import StatusCodes

from .base import Dialect

if TYPE_CHECKING:
    from cloudlink.server.clients import Client
    from cloudlink.server.protocols.clpv4.statuscodes import StatusCode
    from cloudlink.server.rooms import Members, Room

    from .base import Greeting, Opening


_SCRATCH = b'"Scratch"'


class Cl4(Dialect):
    """CloudLink 0.2.0 packets; values, names and listeners are JSON text."""

    name = "CL4 0.2.0"
    greets_as = "CL4"
    is_modern = True
    has_rooms = True
    has_status = True
    whole_lists = False
    read = staticmethod(parse)

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """A handshake, or as a first message anything with a listener or a name that no other era claims."""
        if opening.cmd == "handshake":
            return not current.is_modern
        return opening.is_first and bool(opening.listener or opening.cmd == "setid")

    # What a client's greeting is made of.

    def greeting(self, facts: Greeting) -> list[bytes]:
        """Address, version, message of the day, the client's own user object, its rooms' user lists."""
        frames = [self.client_ip(facts.address)] if facts.address else []
        frames.append(self.server_version(facts.version))
        if facts.motd:
            frames.append(self.motd(facts.motd))
        return [*frames, self.client_obj(facts.client), *facts.lists]

    def client_ip(self, address: str) -> bytes:
        """Tell the client its own address."""
        return text_frame(b'{"cmd":"client_ip","val":%b}' % jsontext.dumps(address))

    def server_version(self, version: str) -> bytes:
        """Tell the client what the server speaks."""
        return _host_says("server_version", version)

    def motd(self, text: str) -> bytes:
        """Tell the client the message of the day."""
        return _host_says("motd", text)

    def client_obj(self, client: Client) -> bytes:
        """Tell the client its own user object."""
        return text_frame(b'{"cmd":"client_obj","val":%b}' % user_object(client))

    # Rooms.

    def message(self, val: bytes, room: Room, listener: bytes = b"") -> bytes:
        """A gmsg; the listener is the sender's alone."""
        tag = b',"listener":' + listener if listener else b""
        return text_frame(b'{"cmd":"gmsg","val":%b%b,"rooms":%b}' % (val, tag, room.json_id))

    def variable(self, name: bytes, val: bytes, room: Room, listener: bytes = b"") -> bytes:
        """A gvar; the listener is the sender's alone."""
        if listener:
            return text_frame(
                b'{"cmd":"gvar","name":%b,"val":%b,"listener":%b,"rooms":%b}'
                % (name, val, listener, room.json_id)
            )
        text = b'{"cmd":"gvar","name":%b,"val":%b,"rooms":%b}' % (name, val, room.json_id)
        return update_frame(text, ("gvar", name, room.id))

    def user_added(self, user: Client, room: Room) -> bytes:
        """Somebody with a name is new in a room."""
        return text_frame(
            b'{"cmd":"ulist","mode":"add","val":%b,"rooms":%b}' % (user_object(user), room.json_id)
        )

    def user_removed(self, user: Client, room: Room) -> bytes:
        """Somebody with a name has left a room."""
        return text_frame(
            b'{"cmd":"ulist","mode":"remove","val":%b,"rooms":%b}' % (user_object(user), room.json_id)
        )

    def user_list(self, room: Room, members: Members) -> bytes:
        """Everybody in a room who has a name; encoded once per change of the list."""
        frame = members.userlists.get(Cl4)
        if frame is None:
            users = members.listing.text(members.all, user_object)
            parts = (b'{"cmd":"ulist","mode":"set","val":[', users, b'],"rooms":', room.json_id, b"}")
            frame = members.userlists[Cl4] = joined_text_frame(parts)
        return frame

    # One recipient.

    def private_message(self, val: bytes, origin: Client, room: Room, recipient: Client) -> bytes:
        """A pmsg."""
        return text_frame(
            b'{"cmd":"pmsg","val":%b,"origin":%b,"rooms":%b}' % (val, user_object(origin), room.json_id)
        )

    def private_variable(
        self,
        name: bytes,
        val: bytes,
        origin: Client,
        room: Room,
        recipient: Client,
    ) -> bytes:
        """A pvar."""
        text = b'{"cmd":"pvar","name":%b,"val":%b,"origin":%b,"rooms":%b}'
        return update_frame(
            text % (name, val, user_object(origin), room.json_id), ("pvar", name, room.id, origin.uuid)
        )

    def direct(self, val: bytes, origin: Client, listener: bytes) -> bytes:
        """A direct; its listener reaches the recipient."""
        tag = b',"listener":' + listener if listener else b""
        return text_frame(b'{"cmd":"direct","val":%b,"origin":%b%b}' % (val, user_object(origin), tag))

    def status(
        self, code: StatusCode, listener: bytes = b"", details: bytes = b"", val: bytes = b""
    ) -> bytes:
        """A status code; `details` and `val` are left out where they are empty."""
        parts = [_status_start(code)]
        if details:
            parts += (b',"details":', details)
        if listener:
            parts += (b',"listener":', listener)
        if val:
            parts += (b',"val":', val)
        parts.append(b"}")
        return text_frame(b"".join(parts))


class Cl4Scratch(Cl4):
    """The same for a client that says it is written in Scratch: some of those never take a user out."""

    repeats_list = True

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """A handshake whose value names the language Scratch, also one that comes late."""
        if opening.cmd != "handshake" or not opening.val or current is self:
            return False
        try:
            about = jsontext.pick(opening.val, "language")
        except jsontext.JSONTextError:
            return False
        return about is not None and about.get("language") == _SCRATCH


class Undecided(Cl4):
    """The same for a client that has not told its era so far."""

    is_settled = False
    is_modern = False

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Nothing: every client begins with this."""
        return False


CL4 = Cl4()
CL4_SCRATCH = Cl4Scratch()
UNDECIDED = Undecided()


@lru_cache(maxsize=8)
def _host_says(cmd: str, text: str) -> bytes:
    return text_frame(jsontext.dumps({"cmd": cmd, "val": text}))


@lru_cache(maxsize=64)
def _status_start(code: StatusCode) -> bytes:
    text, number = StatusCodes.generate(code)
    return b'{"cmd":"statuscode","code":%b,"code_id":%d' % (jsontext.dumps(text), number)


def user_object(client: Client) -> bytes:
    """Return a client's user object as JSON text (protocol, section 1.2); made once per name."""
    cached = client.encoded_user
    if cached is None:
        user = {"id": client.snowflake, "username": client.username, "uuid": client.uuid}
        if not client.username_set:
            del user["username"]
        cached = client.encoded_user = jsontext.dumps(user)
    return cached
