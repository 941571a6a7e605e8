"""CloudLink 2 with special features: S2.2, which asks for them by `<%sh>` (protocol, section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import text_frame, update_frame

from .base import as_flat
from .cl2_early import CL2_EARLY, Cl2Early

if TYPE_CHECKING:
    from cloudlink.server.clients import Client
    from cloudlink.server.rooms import Room

    from .base import Dialect, Greeting, Opening

_VERSION = text_frame(b'{"type":"direct","data":{"type":"vers","data":"S2.2"}}')


class Cl2Late(Cl2Early):
    """CloudLink 2 with variables and linked channels; most comes wrapped as a special feature, `sf`."""

    name = "CL2 late"
    greets_as = "CL2 late"
    is_settled = True

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """The request for special features, also as a later message."""
        return opening.text.startswith(b"<%sh>") and (opening.is_first or current is CL2_EARLY)

    def greeting(self, facts: Greeting) -> list[bytes]:
        """The version, without which the client sends no variables, then the user list."""
        return [_VERSION, *facts.lists]

    def message(self, val: bytes, room: Room, listener: bytes = b"") -> bytes:
        """A gmsg."""
        return text_frame(b'{"type":"sf","data":{"type":"gs","data":%b}}' % as_flat(val))

    def variable(self, name: bytes, val: bytes, room: Room, listener: bytes = b"") -> bytes:
        """A gvar."""
        return update_frame(_variable(b"g", name, val), ("gvar", name, room.id))

    def private_variable(
        self, name: bytes, val: bytes, origin: Client, room: Room, recipient: Client
    ) -> bytes:
        """A pvar."""
        return update_frame(_variable(b"p", name, val, recipient), ("pvar", name, room.id, origin.uuid))

    def channel_message(self, val: bytes, recipient: Client, mode: bytes) -> bytes:
        """A message over a linked channel, `g` for all of it or `p` for one."""
        name = jsontext.dumps(recipient.username)
        text = b'{"type":"sf","data":{"type":"lm","mode":"%b","data":%b},"id":%b}'
        return text_frame(text % (mode, as_flat(val), name))

    def channel_variable(self, name: bytes, val: bytes, recipient: Client | None) -> bytes:
        """A variable over a linked channel, for all of it or for one recipient."""
        return text_frame(_variable(b"p" if recipient else b"g", name, val, recipient))


CL2_LATE = Cl2Late()


def _variable(mode: bytes, name: bytes, val: bytes, recipient: Client | None = None) -> bytes:
    address = b',"id":' + jsontext.dumps(recipient.username) if recipient else b""
    text = b'{"type":"sf","data":{"type":"vm","mode":"%b","var":%b,"data":%b}%b}'
    return text % (mode, name, as_flat(val), address)
