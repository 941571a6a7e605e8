"""Parses incoming CloudLink 4 packets; values remain JSON text.

The `val` of a client reaches the others byte for byte, so it is never decoded here. The type of a key is
checked by the first byte of its JSON text, which is enough to distinguish text, number, list and object.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cloudlink import jsontext
from cloudlink.jsontext import JSONTextError

Details = dict[str, list[str]]
"""The errors of a packet: a list of texts for each invalid key."""

REQUIRED = "required field"
_NULL_REFUSED = "null value not allowed"
NOT_TEXT = "must be of string type"
_NOT_SCALAR = "must be of ['string', 'integer', 'float', 'boolean', 'number'] type"
_NOT_ROOMS = "must be of ['string', 'integer', 'float', 'boolean', 'number', 'list', 'set'] type"

_TEXT_KEYS = ("name", "id")
_TEXT_KEYS_OF = {"setid": ("name", "id", "val")}

_NULL = b"null"
_NULL_TEXT = b'"null"'
_TEXT_START = 0x22
_NESTED_STARTS = b"{["
_LIST_START = 0x5B
_OBJECT_START = 0x7B


class SyntaxProblem(Exception):  # noqa: N818  # it is answered and never reaches a caller of the API
    """The message is JSON but not a valid packet; answered with E:101."""

    def __init__(self, details: Details, listener: bytes = b"") -> None:
        super().__init__(details)
        self.details = details
        self.listener = listener


class TooMany(Exception):  # noqa: N818  # it is answered and never reaches a caller of the API
    """A packet lists more names, or causes more copies, than allowed; answered with E:113.

    Attributes:
        most: The maximum.
    """

    def __init__(self, most: float) -> None:
        super().__init__(most)
        self.most = most


_MISSING = msgspec.Raw()  # immutable


class _Wire(msgspec.Struct, gc=False):
    cmd: str
    val: msgspec.Raw = _MISSING
    name: msgspec.Raw = _MISSING
    id: msgspec.Raw = _MISSING
    rooms: msgspec.Raw = _MISSING
    listener: msgspec.Raw = _MISSING


_decode = msgspec.json.Decoder(_Wire).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_FIELDS = ("val", "name", "id", "rooms", "listener")


class Packet(msgspec.Struct, gc=False):
    """A packet whose root keys have valid types. JSON texts are empty if the key is missing.

    Attributes:
        data: The whole packet as received.
        cmd: The command.
        val: JSON text of the payload.
        name: JSON text of the variable's name, always a JSON string.
        id: JSON text of the recipients.
        rooms: JSON text of the rooms.
        listener: JSON text of the echo tag, a scalar.
    """

    data: bytes
    cmd: str
    val: bytes
    name: bytes
    id: bytes
    rooms: bytes
    listener: bytes
    _amended: dict[str, bytes] | None = None

    def amend(self, **fields: bytes) -> None:
        """Replace fields with their meaning in a client's dialect; an empty field counts as missing."""
        for key, raw in fields.items():
            setattr(self, key, raw)
        self._amended = {**(self._amended or {}), **fields}

    def message(self) -> dict[str, Any]:
        """Return the decoded packet, as plugins get it.

        Null becomes the text `"null"` (decision D1), and names and recipients of any type become text.
        """
        message: dict[str, Any] = jsontext.loads(self.data)
        for key, raw in (self._amended or {}).items():
            message.pop(key, None)
            if raw:
                message[key] = jsontext.loads(raw)
        for key in ("val", "name", "id", "rooms"):
            if key in message and message[key] is None:
                message[key] = "null"
        for key in _TEXT_KEYS_OF.get(self.cmd, _TEXT_KEYS):
            if isinstance(message.get(key), (int, float)):
                message[key] = decode_scalar(getattr(self, key))
        return message

    def require(self, *keys: str) -> None:
        """Raise `SyntaxProblem` if one of the keys is missing."""
        for key in keys:
            if not getattr(self, key):
                missing = {key: [REQUIRED] for key in keys if not getattr(self, key)}
                raise SyntaxProblem(missing, self.listener)


def parse(data: bytes) -> Packet:
    """Parse a message.

    Raises:
        JSONTextError: The message is not JSON.
        SyntaxProblem: It is not an object with a text `cmd`, or a root key has the wrong type.
    """
    try:
        wire = _decode(data)
    except RecursionError:
        raise JSONTextError(jsontext.RECURSION_TEXT) from None
    except msgspec.DecodeError as error:
        return _parse_slowly(data, error)
    except UnicodeDecodeError as error:
        raise JSONTextError(str(error)) from None
    # Copying takes long, and most packets lack most keys.
    val = b"" if wire.val is _MISSING else bytes(wire.val)
    name = b"" if wire.name is _MISSING else bytes(wire.name)
    recipients = b"" if wire.id is _MISSING else bytes(wire.id)
    rooms = b"" if wire.rooms is _MISSING else bytes(wire.rooms)
    listener = b"" if wire.listener is _MISSING else bytes(wire.listener)
    # Most packets need no conversion; only the others are checked in detail.
    if (
        _NULL in (val, name, recipients, rooms, listener)
        or (listener and listener[0] in _NESTED_STARTS)
        or (name and name[0] != _TEXT_START)
    ):
        return Packet(data, wire.cmd, *_checked((val, name, recipients, rooms, listener)))
    if rooms and rooms[0] == _OBJECT_START:
        raise SyntaxProblem({"rooms": [_NOT_ROOMS]}, listener)
    return Packet(data, wire.cmd, val, name, recipients, rooms, listener)


def _checked(fields: tuple[bytes, ...]) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Convert null to text and a numeric name to a string; raise `SyntaxProblem` for invalid types."""
    val, name, recipients, rooms = (_NULL_TEXT if field == _NULL else field for field in fields[:4])
    listener = fields[4]
    problems: Details = {}
    if listener == _NULL:
        problems["listener"] = [_NULL_REFUSED]
    elif listener and listener[0] in _NESTED_STARTS:
        problems["listener"] = [_NOT_SCALAR]
    if name and name[0] in _NESTED_STARTS:
        problems["name"] = [NOT_TEXT]
    if rooms and rooms[0] == _OBJECT_START:
        problems["rooms"] = [_NOT_ROOMS]
    if problems:
        raise SyntaxProblem(problems, b"" if "listener" in problems else listener)
    return val, as_text(name) if name else name, recipients, rooms, listener


def _parse_slowly(data: bytes, error: msgspec.DecodeError) -> Packet:
    """Parse a packet that the fast parser rejected, or raise an error that says what is wrong."""
    if not isinstance(error, msgspec.ValidationError) and not jsontext.may_hold_half_pair(data):
        raise JSONTextError(str(error))
    members = jsontext.pick(data, "cmd", *_FIELDS)
    if members is None:
        raise SyntaxProblem({"cmd": [REQUIRED]})
    cmd, listener = members.get("cmd", b""), members.get("listener", b"")
    if not cmd.startswith(b'"'):
        complaint = NOT_TEXT if cmd else REQUIRED
        if cmd == _NULL:
            complaint = _NULL_REFUSED
        echo = b"" if listener == _NULL or listener[:1] in (b"{", b"[") else listener
        raise SyntaxProblem({"cmd": [complaint]}, echo)
    fields = tuple(members.get(key, b"") for key in _FIELDS)
    return Packet(data, jsontext.loads(cmd), *_checked(fields))


def as_text(raw: bytes) -> bytes:
    """Convert a scalar's JSON text to a JSON string: numbers and booleans become their JSON spelling."""
    return raw if raw[0] == _TEXT_START else b'"' + raw + b'"'


def decode_scalar(raw: bytes) -> str:
    """Return a scalar as text: a string decoded, any other value in its JSON spelling."""
    if raw[0] == _TEXT_START:
        text: str = jsontext.loads(raw)
        return text
    return raw.decode()


def as_name(value: Any) -> str:
    """Return a decoded value as a name: text unchanged, any other value in its JSON spelling."""
    return value if isinstance(value, str) else jsontext.dumps(value).decode()


def split_list(raw: bytes, most: float) -> list[bytes]:
    """Return the JSON texts of a JSON list's items.

    Args:
        raw: JSON text of a list.
        most: The maximum number of items.

    Raises:
        JSONTextError: The list is nested too deeply, or is long and holds a lone surrogate.
        TooMany: The list has more items.
    """
    if jsontext.has_more_items(raw, most):
        raise TooMany(most)
    try:
        return [bytes(item) for item in _decode_list(raw)]
    except RecursionError:
        raise JSONTextError(jsontext.RECURSION_TEXT) from None
    except msgspec.DecodeError:  # a lone surrogate
        return [jsontext.dumps(item) for item in jsontext.loads(raw)]


def names(raw: bytes, key: str, listener: bytes, most: float) -> list[str]:
    """Return the distinct names in a JSON scalar or list of scalars, in their order.

    Args:
        raw: JSON text.
        key: The key of the packet that holds it, for error messages.
        listener: The packet's echo tag.
        most: The maximum number of names.

    Raises:
        SyntaxProblem: It is an object, or a list that holds lists or objects.
        JSONTextError: It is JSON that cannot be decoded.
        TooMany: It holds more names.
    """
    if raw[0] == _TEXT_START:  # the usual case
        return [jsontext.loads(raw)]
    items = split_list(raw, most) if raw[0] == _LIST_START else [raw]
    if any(item[0] in _NESTED_STARTS for item in items):
        raise SyntaxProblem({key: [_NOT_ROOMS]}, listener)
    return list(dict.fromkeys(decode_scalar(item) for item in items))
