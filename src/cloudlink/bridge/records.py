"""The records that two servers exchange after the proof (protocol, section 5.2): reading and writing them.

A message is a JSON list of records, each an object with a `type`. Unknown types and keys are ignored, so that later
versions can add some. Values stay JSON text. Whether a record is allowed is judged by `link`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cloudlink import jsontext

MOST_RECORDS = 1000
"""Most records of one message; a message with more ends the connection."""
LONGEST_MESSAGE = 1 << 19
"""Most bytes of a message; a longer one ends the connection."""
LONGEST_RECORD = 1 << 18
"""Most bytes of a record; longer ones are neither sent nor accepted."""

_KINDS = frozenset({"shares", "user", "gone", "gmsg", "gvar", "pmsg", "pvar", "set", "ping"})
_MOST_STAMP = 1 << 53


class Unreadable(Exception):  # noqa: N818  # it ends a connection and is not a programming error
    """A message is not a list of records; `str(error)` says why."""


class Record(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename={"kind": "type", "left_out": "except"}
):
    """One record.

    Attributes:
        kind: What it says: `shares` (what the sender shares, and its clock), `user` (a user is in a room, or has
            another name), `gone` (a user has left a room), `gmsg`, `gvar`, `pmsg`, `pvar`, `set` (a cloud variable),
            `ping` (nothing; the first one ends the list of users).
        room: The room or project, by the recipient's name for it.
        user: The sender's number for the user that the record is about, 0 for none.
        to: The recipient's number for the user that a private record is for.
        name: The name of a user or a variable.
        val: JSON text of the value; empty for none.
        at: When a variable was set: milliseconds since 1970, from a clock that never falls behind what it has seen.
        by: The server that set it, a random text; orders values of the same millisecond.
        left_out: The recipient's numbers for the users that do not get a message, as `except`.
    """

    kind: str
    room: str = ""
    user: int = 0
    to: int = 0
    name: str = ""
    val: msgspec.Raw = msgspec.Raw()  # immutable
    at: int = 0
    by: str = ""
    left_out: tuple[int, ...] = ()


_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_record = msgspec.json.Decoder(Record).decode


def write(record: Record) -> bytes:
    """Return a record as JSON text."""
    fields: dict[str, Any] = {"type": record.kind}
    for key in ("room", "user", "to", "name", "at", "by"):
        if value := getattr(record, key):
            fields[key] = value
    if record.left_out:
        fields["except"] = record.left_out
    text = jsontext.dumps(fields)
    raw = bytes(record.val)
    return b'%b,"val":%b}' % (text[:-1], raw) if raw else text


def read_all(data: bytes) -> list[Record | None]:
    """Return the records of a message, None for each that is unknown or malformed.

    Raises:
        Unreadable: The message is not a list, or too long.
    """
    if len(data) > LONGEST_MESSAGE:
        raise Unreadable("A message is too long")
    try:
        items = [bytes(item) for item in _split(data)]
    except (jsontext.JSONTextError, TypeError) as error:
        raise Unreadable("A message is not a list of records") from error
    return [_read(item) for item in items]


def _split(data: bytes) -> list[Any]:
    if jsontext.has_more_items(data, MOST_RECORDS):
        raise Unreadable("A message has too many records")
    try:
        return _decode_list(data)
    except RecursionError:
        raise jsontext.JSONTextError(jsontext.RECURSION_TEXT) from None
    except msgspec.DecodeError:  # half a surrogate pair in a text, or not a list
        decoded = jsontext.loads(data)
        if not isinstance(decoded, list):
            raise TypeError from None
        return [jsontext.dumps(item) for item in decoded]
    except UnicodeDecodeError as error:
        raise jsontext.JSONTextError(str(error)) from None


def _read(item: bytes) -> Record | None:
    if len(item) > LONGEST_RECORD:
        return None
    try:
        record = _decode_record(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = _read_slowly(item)
        if found is None:
            return None
        record = found
    is_sound = (
        0 <= record.user < _MOST_STAMP and 0 <= record.to < _MOST_STAMP and 0 <= record.at < _MOST_STAMP
    )
    return record if is_sound and record.kind in _KINDS else None


def _read_slowly(item: bytes) -> Record | None:
    """Return a record whose texts hold half a surrogate pair, None if it is not a record."""
    if not jsontext.may_hold_half_pair(item):
        return None
    try:
        fields = jsontext.loads(item)
        if not isinstance(fields, dict):
            return None
        val = jsontext.dumps(fields.pop("val")) if "val" in fields else b""
        record = msgspec.convert(fields, Record)
    except (jsontext.JSONTextError, msgspec.ValidationError, TypeError, UnicodeEncodeError):
        return None  # msgspec's own message may not hold half a pair
    return msgspec.structs.replace(record, val=msgspec.Raw(val))
