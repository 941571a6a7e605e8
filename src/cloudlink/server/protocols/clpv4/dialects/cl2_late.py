"""CloudLink 2 with special features: S2.2, which requests them with `<%sh>` (protocol, section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.delivery import text_frame, update_frame
from cloudlink.server.events import (
    ChannelMessage,
    LinkedMessage,
    LinkedVariable,
    PrivateMessage,
    PrivateVariable,
)

from .base import as_flat
from .cl2_early import CL2_EARLY, Cl2Early, name_text

if TYPE_CHECKING:
    from cloudlink.server.events import ChannelVariable, Message, User, Variable

    from .base import Dialect, Greeting, Opening

_VERSION = text_frame(b'{"type":"direct","data":{"type":"vers","data":"S2.2"}}')


class Cl2Late(Cl2Early):
    """CloudLink 2 with variables and linked channels; most packets are wrapped as a special feature, `sf`."""

    name = "CL2 late"
    greets_as = "CL2 late"
    is_settled = True
    names_recipient = frozenset(
        {PrivateMessage, PrivateVariable, ChannelMessage, LinkedMessage, LinkedVariable}
    )

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Claim a client that requests special features, also in a later message."""
        return opening.text.startswith(b"<%sh>") and (opening.is_first or current is CL2_EARLY)

    def greeting(self, facts: Greeting) -> list[bytes]:
        """Return the version, without which the client sends no variables, and then the user list."""
        return [_VERSION, *facts.lists]

    def message(
        self, event: Message, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gmsg frame."""
        return text_frame(b'{"type":"sf","data":{"type":"gs","data":%b}}' % as_flat(event.val))

    def variable(
        self, event: Variable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a gvar frame."""
        return update_frame(_variable(b"g", event.name, event.val), ("gvar", event.name, room))

    def private_variable(
        self, event: PrivateVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a pvar frame."""
        text = _variable(b"p", event.name, event.val, recipient)
        return update_frame(text, ("pvar", event.name, room, event.origin.uuid))

    def channel_message(
        self, event: ChannelMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return the frame of a message to all members of a linked channel; it holds the recipient's name."""
        return _linked(b"g", event.val, recipient)

    def channel_variable(
        self, event: ChannelVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return the frame of a variable for all members of a linked channel."""
        return text_frame(_variable(b"g", event.name, event.val))

    def linked_message(
        self, event: LinkedMessage, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return the frame of a message to one user of a linked channel."""
        return _linked(b"p", event.val, recipient)

    def linked_variable(
        self, event: LinkedVariable, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return the frame of a variable for one user of a linked channel."""
        return text_frame(_variable(b"p", event.name, event.val, recipient))


CL2_LATE = Cl2Late()


def _linked(mode: bytes, val: bytes, recipient: User | None) -> bytes:
    text = b'{"type":"sf","data":{"type":"lm","mode":"%b","data":%b},"id":%b}'
    return text_frame(text % (mode, as_flat(val), name_text(recipient)))


def _variable(mode: bytes, name: bytes, val: bytes, recipient: User | None = None) -> bytes:
    address = b',"id":' + name_text(recipient) if recipient else b""
    text = b'{"type":"sf","data":{"type":"vm","mode":"%b","var":%b,"data":%b}%b}'
    return text % (mode, name, as_flat(val), address)
