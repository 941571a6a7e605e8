"""CloudLink 3, version 0.1.7: 0.1.5 with status codes, which are in `val` (protocol, section 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import text_frame
from cloudlink.server.protocols.clpv4.statuscodes import Refusal, StatusCodes

from .base import NOTHING, as_flat, names_list
from .cl3_015 import Cl3Of015

if TYPE_CHECKING:
    from cloudlink.server.events import Announcement, Custom, Direct, User
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
"""Status codes with a different number or text in this era."""

_SERVERS_OWN = frozenset({"ulist", "statuscode", "ds", "direct", "client_ip", "server_version", "motd"})
"""Commands that clients trust as coming from the server; clients cannot send them to each other."""


class Cl3Of017(Cl3Of015):
    """CloudLink 0.1.7 for its Python client."""

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
        """Claim a first message in which a client describes itself."""
        return _kind(opening) not in ("", "scratch")

    def read(self, data: bytes) -> Packet | None:
        """Convert a message to a packet."""
        packet = self._parse(data)
        if _is_too_long(packet.val):
            raise Refusal(StatusCodes.too_large)
        return packet

    def refuses_name(self, raw: bytes) -> StatusCode | None:
        """Refuse a name that is not text, or is empty."""
        if not raw.startswith(b'"'):
            return StatusCodes.datatype
        return StatusCodes.empty_packet if raw == _EMPTY_TEXT else None

    def greeting(self, facts: Greeting) -> list[bytes]:
        """Return the user list, the message of the day and the version."""
        motd = [self._about("motd", facts.motd)] if facts.motd else []
        return [*facts.lists, *motd, self._about("vers", self.version)]

    def announcement(
        self, event: Announcement, room: str, listener: bytes = b"", recipient: User | None = None
    ) -> bytes:
        """Return a text of the host as a message of the day."""
        return self._about("motd", event.text)

    def user_list(self, room: str, users: UserList) -> bytes:
        """Return the names in a room, except those of the form `%X%`."""
        return text_frame(b'{"cmd":"ulist","val":%b}' % names_list(users, hidden="%"))

    def direct(self, event: Direct, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return a direct frame. Objects are sent as text, because clients trust objects as coming from the server."""
        return text_frame(b'{"cmd":"direct","val":%b}' % as_flat(event.val))

    def custom(self, event: Custom, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return the frame of a project's custom command."""
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
        """Return a status code frame with the code and text of this era."""
        letter, number, text = _OWN_CODES.get(code, code)
        return text_frame(
            b'{"cmd":"statuscode","val":"%b:%03d | %b"}' % (letter.encode(), number, text.encode())
        )


class Cl3Of017Scratch(Cl3Of017):
    """CloudLink 0.1.7 for Scratch, whose values are text: a text that holds JSON is decoded."""

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Claim a first message in which a Scratch client describes itself."""
        return _kind(opening) == "scratch"

    def read(self, data: bytes) -> Packet | None:
        """Convert a message to a packet."""
        packet = super().read(data)
        if packet is not None and packet.cmd in _WITH_VALUE:
            packet.amend(val=_spelt(packet.val))
        return packet


CL3_017 = Cl3Of017()
CL3_017_SCRATCH = Cl3Of017Scratch()


def _kind(opening: Opening) -> str:
    """Return the type that a client states in its first message, empty if it states none."""
    if not opening.is_first or opening.cmd != "direct" or opening.id or not opening.val.startswith(b"{"):
        return ""
    try:
        about = jsontext.pick(opening.val, "cmd", "val") or {}
    except jsontext.JSONTextError:
        return ""
    what = about.get("cmd")
    if what not in (_TYPE, _ADDRESS):
        return ""
    # Only the Scratch client sends its address.
    return "scratch" if what == _ADDRESS or about.get("val") == _SCRATCH else "other"


def _is_too_long(raw: bytes) -> bool:
    # A character takes 1 to 12 bytes, so the exact count is rarely needed.
    if not _VALUE_MAX_LENGTH < len(raw) <= 12 * _VALUE_MAX_LENGTH + 2:
        return len(raw) > _VALUE_MAX_LENGTH
    text = jsontext.loads(raw) if raw.startswith(b'"') else raw.decode()
    return len(text) > _VALUE_MAX_LENGTH


def _spelt(raw: bytes) -> bytes:
    """Return the JSON text held in a JSON string; return other values unchanged. `null` stays text (decision D1)."""
    if not raw.startswith(b'"'):
        return raw
    try:
        text = jsontext.loads(raw).strip(" \t\n\r").encode()
        if text == _NULL_TEXT:
            return raw
        jsontext.loads(text)
    except ValueError:  # not JSON, or not UTF-8
        return raw
    return text  # type: ignore[no-any-return]  # a JSON string is a str
