"""CloudLink 3, version 0.1.5: no status codes, no rooms, user lists as text (protocol, section 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import text_frame, update_frame
from cloudlink.server.protocols.clpv4.packet import Packet, as_text, parse

from .base import Dialect, as_flat, names_list, read_signs, translate

if TYPE_CHECKING:
    from cloudlink.server.events import Message, PrivateMessage, PrivateVariable, User, Variable

    from .base import Greeting, Opening, UserList

_FIRST_BLOCKS = ("setid", "gmsg", "gvar")
_PRIVATE = ("pmsg", "pvar")
_TEXT_START = b'"'


class Cl3Of015(Dialect):
    """CloudLink 0.1.5. Failures are silent."""

    name = "CL3 0.1.5"
    repeats_message = True
    greets_as = "CL3 0.1.5"
    version = "0.1.5"
    renames = True
    list_form = "CL3 0.1.5"
    own_commands = frozenset({"clear"})

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Claim a private packet that names its origin, or ambiguous packets if the settings prefer CL3."""
        if not opening.is_first or opening.listener:
            return False
        if opening.cmd in _PRIVATE:
            return opening.origin.startswith(_TEXT_START)
        return opening.prefers_cl3 and opening.cmd in _FIRST_BLOCKS

    def read(self, data: bytes) -> Packet | None:
        """Convert a message to a packet; ignore a private one that does not name its origin."""
        packet = self._parse(data)
        if packet.cmd in _PRIVATE and not read_signs(data).origin:
            return None
        if packet.cmd == "gmsg" and packet.val and packet.val[0] not in b'"{[':
            packet.amend(val=as_text(packet.val))  # that server converted numbers to text
        return packet

    @staticmethod
    def _parse(data: bytes) -> Packet:
        """Parse a packet without listener and rooms, which this era lacks, unless it is a handshake of a later era."""
        packet = parse(data)
        if packet.cmd != "handshake":
            packet.amend(listener=b"", rooms=b"")
        return packet

    def greeting(self, facts: Greeting) -> list[bytes]:
        """Return the user list and then the version."""
        return [*facts.lists, self._about("vers", self.version)]

    def _about(self, what: str, text: str) -> bytes:
        return text_frame(
            b'{"cmd":"direct","val":{"cmd":"%b","val":%b}}' % (what.encode(), jsontext.dumps(text))
        )

    def translate(self, data: bytes) -> bytes:
        """Translate a plugin's packet to this dialect."""
        return translate(self, data)

    def message(
        self, event: Message, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gmsg frame."""
        return text_frame(b'{"cmd":"gmsg","val":%b}' % as_flat(event.val))

    def variable(
        self, event: Variable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gvar frame."""
        text = b'{"cmd":"gvar","name":%b,"val":%b}' % (event.name, as_flat(event.val))
        return update_frame(text, ("gvar", event.name, room))

    def user_list(self, room: str, users: UserList) -> bytes:
        """Return the names in a room, as `alice;bob;`."""
        return text_frame(b'{"cmd":"ulist","val":%b}' % names_list(users))

    def private_message(
        self, event: PrivateMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a pmsg frame."""
        sender = jsontext.dumps(event.origin.username or "")
        return text_frame(b'{"cmd":"pmsg","val":%b,"origin":%b}' % (as_flat(event.val), sender))

    def private_variable(
        self, event: PrivateVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a pvar frame."""
        origin = event.origin
        sender = jsontext.dumps(origin.username or "")
        text = b'{"cmd":"pvar","name":%b,"val":%b,"origin":%b}' % (event.name, as_flat(event.val), sender)
        return update_frame(text, ("pvar", event.name, room, origin.uuid))


CL3_015 = Cl3Of015()
