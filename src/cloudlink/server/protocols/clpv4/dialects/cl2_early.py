"""CloudLink 2 without special features: S1.1, S2.0, B2.3 (protocol, section 4.2).

Messages are lines of text, the first of which is an opcode. Messages that are equivalent to a CL4 command
become that command. For others, the opcode becomes the command and the lines become its value, a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import text_frame
from cloudlink.server.events import PrivateMessage
from cloudlink.server.protocols.clpv4.packet import Packet, parse

from .base import Dialect, as_flat, names_list, translate

if TYPE_CHECKING:
    from cloudlink.server.events import Message, User

    from .base import Opening, UserList

REFRESH = "<%rf>"
LEAVE = "<%ds>"
JOIN_CHANNEL = "<%rl>"
LEAVE_CHANNEL = "<%rt>"
CHANNEL_MESSAGE = "<%l_g>0"
CHANNEL_VARIABLE = "<%l_g>2"
LINKED_MESSAGE = "<%l_p>0"
LINKED_VARIABLE = "<%l_p>2"

# For each opcode, the CL4 command, or the opcode itself, and the meaning of its lines. `me` is the name that
# the client claims, and `-` the number that completes an opcode. The last field takes all remaining lines.
_COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "<%sn>": ("setid", ("val",)),
    "<%gs>": ("gmsg", ("me", "val")),
    "<%ps>": ("pmsg", ("me", "id", "val")),
    "<%l_g>1": ("gvar", ("-", "me", "name", "val")),
    "<%l_p>1": ("pvar", ("-", "me", "id", "name", "val")),
    REFRESH: (REFRESH, ()),
    LEAVE: (LEAVE, ()),
    JOIN_CHANNEL: (JOIN_CHANNEL, ("me", "val")),
    LEAVE_CHANNEL: (LEAVE_CHANNEL, ()),
    CHANNEL_MESSAGE: (CHANNEL_MESSAGE, ("-", "me", "val")),
    CHANNEL_VARIABLE: (CHANNEL_VARIABLE, ("-", "me", "name", "val")),
    LINKED_MESSAGE: (LINKED_MESSAGE, ("-", "me", "id", "val")),
    LINKED_VARIABLE: (LINKED_VARIABLE, ("-", "me", "id", "name", "val")),
}
_NUMBERED = ("<%l_g>", "<%l_p>")
_MOST_LINES = 5
"""Number of lines after the opcode of the longest command."""
_MOST_GROWTH = 1.5
"""Maximum ratio of packet size to message size: line ends double, control characters grow sixfold."""
_ROOM = 1024
"""Additional bytes of growth allowed, for short messages."""


class Cl2Early(Dialect):
    """CloudLink 2. Failures are silent."""

    name = "CL2 early"
    repeats_message = True
    greets_as = "CL2 early"
    is_settled = False
    names_recipient = frozenset({PrivateMessage})
    list_form = "CL2"
    own_commands = frozenset(
        {
            REFRESH,
            LEAVE,
            JOIN_CHANNEL,
            LEAVE_CHANNEL,
            CHANNEL_MESSAGE,
            CHANNEL_VARIABLE,
            LINKED_MESSAGE,
            LINKED_VARIABLE,
        }
    )

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Claim a client whose first message is an opcode."""
        return opening.is_first and opening.text.startswith(b"<%")

    def read(self, data: bytes) -> Packet | None:
        """Convert a message to a packet; of JSON messages, only a handshake is accepted."""
        if data.startswith(b"{"):
            packet = parse(data)
            return packet if packet.cmd == "handshake" else None
        opcode, *lines = data.decode().split("\n", _MOST_LINES)
        if opcode in _NUMBERED and lines:
            opcode += lines[0]
        if opcode not in _COMMANDS:
            return None
        cmd, keys = _COMMANDS[opcode]
        if len(lines) < len(keys):
            return None
        if keys:
            lines[len(keys) - 1 :] = ["\n".join(lines[len(keys) - 1 :])]
        found = dict(zip(keys, lines, strict=False))
        fields = {key: text for key, text in found.items() if key in ("val", "name", "id")}
        text = jsontext.dumps({"cmd": cmd, **fields})
        return parse(text) if len(text) <= _MOST_GROWTH * len(data) + _ROOM else None

    def translate(self, data: bytes) -> bytes:
        """Translate a plugin's packet to this dialect."""
        return translate(self, data)

    def message(
        self, event: Message, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gmsg frame."""
        return text_frame(b'{"type":"gs","data":%b}' % as_flat(event.val))

    def user_list(self, room: str, users: UserList) -> bytes:
        """Return the names in a room, as `alice;bob;`."""
        return text_frame(b'{"type":"ul","data":%b}' % names_list(users))

    def private_message(
        self, event: PrivateMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a pmsg frame. `id` is the recipient's own name: clients drop packets with another."""
        return text_frame(b'{"type":"ps","data":%b,"id":%b}' % (as_flat(event.val), name_text(recipient)))


CL2_EARLY = Cl2Early()


def name_text(user: User | None) -> bytes:
    """Return a user's name as JSON text, an empty string if it has none."""
    return jsontext.dumps((user and user.username) or "")
