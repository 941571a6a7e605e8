"""CloudLink 3, version 0.1.7: 0.1.5 with status codes, which stand in `val` (protocol, section 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import text_frame
from cloudlink.server.protocols.clpv4.statuscodes import Refusal, StatusCodes

from .base import NOTHING, as_flat, names_list
from .cl3_015 import Cl3Of015

if TYPE_CHECKING:
    from cloudlink.server.events import Custom, Direct, User
    from cloudlink.server.protocols.clpv4.packet import Packet
    from cloudlink.server.protocols.clpv4.statuscodes import StatusCode

    from .base import Dialect, Greeting, Opening, UserList

_WITH_VALUE = ("gmsg", "gvar", "pmsg", "pvar")
_VALUE_MAX_LENGTH = 1000
_EMPTY_TEXT = b'""'
_NULL_TEXT = b"null"
_TYPE = b'"type"'
_ADDRESS = b'"ip"'
_SCRATCH = b'"scratch"'

_LOOP: StatusCode = ("E", 105, "Loop detected")
_OWN_CODES: dict[StatusCode, StatusCode] = {
    StatusCodes.id_not_specific: ("E", 110, "ID conflict"),
    StatusCodes.internal_error: ("E", 104, "Internal"),
    StatusCodes.empty_packet: ("E", 109, "Empty packet"),
    StatusCodes.id_already_set: ("E", 111, "ID already set"),
    StatusCodes.refused: ("E", 115, "Refused"),
    StatusCodes.disabled_command: ("E", 115, "Refused"),
    StatusCodes.invalid_command: ("E", 101, "Syntax"),
    StatusCodes.json_error: ("E", 101, "Syntax"),
    StatusCodes.id_required: ("E", 116, "Username required"),
    StatusCodes.id_conflict: ("E", 110, "ID conflict"),
    StatusCodes.too_large: ("E", 107, "Packet too large"),
    StatusCodes.room_not_joined: ("E", 103, "ID not found"),
}
"""Status codes that this era numbered or worded in another way."""

_SERVERS_OWN = frozenset({"ulist", "statuscode", "ds", "direct", "client_ip", "server_version", "motd"})
"""What a client takes for the server's own word; no other client can say it."""


class Cl3Of017(Cl3Of015):
    """CloudLink 0.1.7, as its Python client speaks it."""

    name = "CL3 0.1.7"
    greets_as = "CL3 0.1.7"
    version = "0.1.7"
    has_status = True
    confirms_all = True
    confirms_first = True
    renames = False
    list_form = "CL3 0.1.7"
    unique_names = True
    routes_unknown = True
    loop = _LOOP
    own_commands = frozenset({"direct"})

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """A first message by which a client tells of itself."""
        return _kind(opening) not in ("", "scratch")

    def read(self, data: bytes) -> Packet | None:
        """Take a message as it was meant."""
        packet = self._parse(data)
        if _is_too_long(packet.val):
            raise Refusal(StatusCodes.too_large)
        return packet

    def refuses_name(self, raw: bytes) -> StatusCode | None:
        """A name has to be a text, and not an empty one."""
        if not raw.startswith(b'"'):
            return StatusCodes.datatype
        return StatusCodes.empty_packet if raw == _EMPTY_TEXT else None

    def greeting(self, facts: Greeting) -> list[bytes]:
        """The user list, the message of the day, the version."""
        motd = [self._about("motd", facts.motd)] if facts.motd else []
        return [*facts.lists, *motd, self._about("vers", self.version)]

    def user_list(self, room: str, users: UserList) -> bytes:
        """Return the names of everybody in a room, but for those of the form `%X%`."""
        return text_frame(b'{"cmd":"ulist","val":%b}' % names_list(users, hidden="%"))

    def direct(self, event: Direct, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """A direct. An object goes as text: as an object it would pass for the server's own."""
        return text_frame(b'{"cmd":"direct","val":%b}' % as_flat(event.val))

    def custom(self, event: Custom, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """A command of the projects' own making."""
        if event.cmd in _SERVERS_OWN:
            return NOTHING
        return text_frame(
            b'{"cmd":%b,"val":%b,"origin":%b}'
            % (jsontext.dumps(event.cmd), as_flat(event.val), jsontext.dumps(event.origin.username or ""))
        )

    def status(
        self,
        code: StatusCode,
        listener: bytes = b"",
        details: bytes = b"",
        val: bytes = b"",
    ) -> bytes:
        """A status code, in the words of that era."""
        letter, number, text = _OWN_CODES.get(code, code)
        return text_frame(
            b'{"cmd":"statuscode","val":"%b:%03d | %b"}' % (letter.encode(), number, text.encode())
        )


class Cl3Of017Scratch(Cl3Of017):
    """CloudLink 0.1.7 for Scratch, whose values are text: a text that is JSON is taken as what it spells."""

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """A first message by which a Scratch client tells of itself."""
        return _kind(opening) == "scratch"

    def read(self, data: bytes) -> Packet | None:
        """Take a message as it was meant."""
        packet = super().read(data)
        if packet is not None and packet.cmd in _WITH_VALUE:
            packet.amend(val=_spelt(packet.val))
        return packet


CL3_017 = Cl3Of017()
CL3_017_SCRATCH = Cl3Of017Scratch()


def _kind(opening: Opening) -> str:
    """Return what a first message says its client is, empty if it says nothing of the sort."""
    if not opening.is_first or opening.cmd != "direct" or opening.id or not opening.val.startswith(b"{"):
        return ""
    try:
        about = jsontext.pick(opening.val, "cmd", "val") or {}
    except jsontext.JSONTextError:
        return ""
    what = about.get("cmd")
    if what not in (_TYPE, _ADDRESS):
        return ""
    # Only the Scratch client tells its address.
    return "scratch" if what == _ADDRESS or about.get("val") == _SCRATCH else "other"


def _is_too_long(raw: bytes) -> bool:
    # A character takes 1 to 12 bytes, so few have to be counted.
    if not _VALUE_MAX_LENGTH < len(raw) <= 12 * _VALUE_MAX_LENGTH + 2:
        return len(raw) > _VALUE_MAX_LENGTH
    text = jsontext.loads(raw) if raw.startswith(b'"') else raw.decode()
    return len(text) > _VALUE_MAX_LENGTH


def _spelt(raw: bytes) -> bytes:
    """Return the JSON that a JSON string spells, anything else as it is. `null` stays a text (decision D1)."""
    if not raw.startswith(b'"'):
        return raw
    try:
        text = jsontext.loads(raw).strip(" \t\n\r").encode()
        if text == _NULL_TEXT:
            return raw
        jsontext.loads(text)
    except ValueError:  # no JSON, or no UTF-8
        return raw
    return text  # type: ignore[no-any-return]  # a JSON string is a str
