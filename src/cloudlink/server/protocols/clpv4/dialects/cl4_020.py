"""CloudLink 4, version 0.2.0, the reference for all other dialects (protocol, section 1)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import joined_text_frame, text_frame, update_frame
from cloudlink.server.protocols.clpv4.packet import parse
from cloudlink.server.protocols.clpv4.statuscodes import StatusCodes

from .base import Dialect, room_text

if TYPE_CHECKING:
    from cloudlink.server.events import (
        Announcement,
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

    from .base import Greeting, Opening, UserList


_SCRATCH = b'"Scratch"'


class Cl4(Dialect):
    """CloudLink 0.2.0 packets; values, names and listeners are JSON text."""

    name = "CL4 0.2.0"
    greets_as = "CL4"
    is_modern = True
    has_rooms = True
    has_status = True
    whole_lists = False
    tells_origin = True
    list_form = "CL4"
    read = staticmethod(parse)

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Claim a handshake, or a first message with a listener or a name that no other era claims."""
        if opening.cmd == "handshake":
            return not current.is_modern
        return opening.is_first and bool(opening.listener or opening.cmd == "setid")

    # The parts of the greeting.

    def greeting(self, facts: Greeting) -> list[bytes]:
        """Return the address, version, message of the day, own user object, and user lists of the client's rooms."""
        frames = [self.client_ip(facts.address)] if facts.address else []
        frames.append(self.server_version(facts.version))
        if facts.motd:
            frames.append(self.motd(facts.motd))
        return [*frames, self.client_obj(facts.user), *facts.lists]

    def client_ip(self, address: str) -> bytes:
        """Return the frame with the client's own address."""
        return text_frame(b'{"cmd":"client_ip","val":%b}' % jsontext.dumps(address))

    def server_version(self, version: str) -> bytes:
        """Return the frame with the server's version."""
        return _host_says("server_version", version)

    def motd(self, text: str) -> bytes:
        """Return the frame with the message of the day."""
        return _host_says("motd", text)

    def announcement(
        self, event: Announcement, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a text of the host as a message of the day."""
        return self.motd(event.text)

    def client_obj(self, user: User) -> bytes:
        """Return the frame with the client's own user object."""
        return text_frame(b'{"cmd":"client_obj","val":%b}' % user_object(user))

    # Rooms.

    def message(
        self, event: Message, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gmsg frame; only the sender's copy carries the listener."""
        tag = b',"listener":' + listener if listener else b""
        if event.attributed:
            tag += self._origin(event.origin)
        return text_frame(b'{"cmd":"gmsg","val":%b%b,"rooms":%b}' % (event.val, tag, room_text(room)))

    def variable(
        self, event: Variable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gvar frame; only the sender's copy carries the listener."""
        if listener or event.attributed:
            return self._tagged_variable(event, room, listener)
        text = b'{"cmd":"gvar","name":%b,"val":%b,"rooms":%b}' % (event.name, event.val, room_text(room))
        return update_frame(text, ("gvar", event.name, room))

    def _tagged_variable(self, event: Variable, room: str, listener: bytes) -> bytes:
        tag = self._origin(event.origin) if event.attributed else b""
        if listener:
            tag += b',"listener":' + listener
        text = b'{"cmd":"gvar","name":%b,"val":%b%b,"rooms":%b}'
        text %= (event.name, event.val, tag, room_text(room))
        return text_frame(text) if listener else update_frame(text, ("gvar", event.name, room))

    def _origin(self, user: User | None) -> bytes:
        """Return the key that names the sender, empty if the era has no such key or the event has no sender."""
        return b',"origin":' + user_object(user) if self.tells_origin and user is not None else b""

    def joined(self, event: Joined, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return a frame that adds a named user to the user list."""
        return text_frame(
            b'{"cmd":"ulist","mode":"add","val":%b,"rooms":%b}' % (user_object(event.user), room_text(room))
        )

    def left(self, event: Left, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return a frame that removes a named user from the user list."""
        return text_frame(
            b'{"cmd":"ulist","mode":"remove","val":%b,"rooms":%b}'
            % (user_object(event.user), room_text(room))
        )

    def user_list(self, room: str, users: UserList) -> bytes:
        """Return the whole user list of a room."""
        parts = (
            b'{"cmd":"ulist","mode":"set","val":[',
            users.objects(),
            b'],"rooms":',
            room_text(room),
            b"}",
        )
        return joined_text_frame(parts)

    # One recipient.

    def private_message(
        self, event: PrivateMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a pmsg frame."""
        return text_frame(
            b'{"cmd":"pmsg","val":%b,"origin":%b,"rooms":%b}'
            % (event.val, user_object(event.origin), room_text(room))
        )

    def private_variable(
        self, event: PrivateVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a pvar frame."""
        text = b'{"cmd":"pvar","name":%b,"val":%b,"origin":%b,"rooms":%b}'
        origin = event.origin
        return update_frame(
            text % (event.name, event.val, user_object(origin), room_text(room)),
            ("pvar", event.name, room, origin.uuid),
        )

    def direct(self, event: Direct, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return a direct frame; the recipient gets the listener of the event."""
        tag = b',"listener":' + event.listener if event.listener else b""
        return text_frame(
            b'{"cmd":"direct","val":%b,"origin":%b%b}' % (event.val, user_object(event.origin), tag)
        )

    # Answers.

    def status(
        self, code: StatusCode, listener: bytes = b"", details: bytes = b"", val: bytes = b""
    ) -> bytes:
        """Return a status code frame; empty `details` and `val` are omitted."""
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
    """CL4 for clients that state they are written in Scratch; some of them never remove users from their list."""

    repeats_list = True

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Claim a handshake whose value names the language Scratch, also a late one."""
        if opening.cmd != "handshake" or not opening.val or current is self:
            return False
        try:
            about = jsontext.pick(opening.val, "language")
        except jsontext.JSONTextError:
            return False
        return about is not None and about.get("language") == _SCRATCH


class Undecided(Cl4):
    """CL4 for clients whose era is not known yet."""

    is_settled = False
    is_modern = False

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Claim nothing: every client starts with this dialect."""
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


@lru_cache(maxsize=256)
def user_object(user: User) -> bytes:
    """Return a user object as JSON text (protocol, section 1.2)."""
    if user.username is None:
        return jsontext.dumps({"id": user.id, "uuid": user.uuid})
    return jsontext.dumps({"id": user.id, "username": user.username, "uuid": user.uuid})
