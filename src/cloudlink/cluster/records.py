"""The records that nodes send each other, and the batches that they travel in.

A batch is a msgpack array `[version, sender, epoch, seq, hears, records]`:

* `version`: of this protocol. Nodes of different versions do not see each other.
* `sender`: the id of the sending process.
* `epoch`, `seq`: the stream to one node, and the number of the batch in it, from 1. The epoch 0 marks a hello,
  which goes to all nodes; its `seq` counts the hellos of the process.
* `hears`: for each node that the sender hears, the number of its last hello, and the epoch and number of the last batch that
  the sender has of it. A negative epoch is one with a gap. A batch that is no hello has one entry, its recipient.
* `records`: msgpack arrays that begin with a number, one for each class in this module.

With a secret, a batch begins with its HMAC-SHA256. A stranger on the bus can neither speak nor change a batch; an old
batch that it repeats is recognized by its `hears`, `epoch` and `seq`.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from .carriers import MAX_BATCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

VERSION = 1
_MAC_BYTES = 32

Hears = dict[str, tuple[int, int, int]]
"""By node: the number of its last hello, and the epoch and number of its last batch."""


class Stamp(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """When something happened, comparable between nodes: a time of the hybrid clock, and the node as tie-break."""

    time: int
    node: str


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A batch as it is decoded; see the module."""

    version: int
    sender: str
    epoch: int
    seq: int
    hears: Hears
    records: msgspec.Raw


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base class of records."""


class Hello(Record, frozen=True, array_like=True, tag=1, gc=False):
    """The only record of a hello.

    Attributes:
        name: The name of the node.
        clients: The number of its clients.
        is_leaving: Whether the process is about to end.
        number: The number of the node, for snowflakes.
    """

    name: str
    clients: int
    is_leaving: bool = False
    number: int = 0


class Row(Record, frozen=True, array_like=True, tag=2, gc=False):
    """A user that is new, or in more rooms, or named.

    Attributes:
        id: Snowflake.
        uuid: UUID of the connection.
        username: The name, None for none.
        named_at: When the user got the name.
        protocol: The name of the user's protocol.
        rooms: The rooms to add.
        bridge: The bridge that the node runs and on whose other side the user is, empty for a client of the node.
    """

    id: str
    uuid: str
    username: str | None
    named_at: Stamp
    protocol: str
    rooms: list[str]
    bridge: str = ""


class Snapshot(Record, frozen=True, array_like=True, tag=3, gc=False):
    """A part of everything that a node has; an epoch begins with these, and the last one counts for all.

    Attributes:
        rows: Users with all of their rooms.
        projects: Cloud projects that are open.
        is_last: Whether the snapshot is complete.
    """

    rows: list[Row]
    projects: list[str]
    is_last: bool


class Leave(Record, frozen=True, array_like=True, tag=4, gc=False):
    """A user has left a room."""

    id: str
    room: str


class Gone(Record, frozen=True, array_like=True, tag=5, gc=False):
    """A user has disconnected."""

    id: str


class RoomEvent(Record, frozen=True, array_like=True, tag=6, gc=False):
    """An event for the members of a room; the event is opaque here."""

    room: str
    protocol: str
    event: bytes


class RoomVariable(Record, frozen=True, array_like=True, tag=7, gc=False):
    """A variable's new value for the members of a room; the event is opaque here."""

    room: str
    protocol: str
    name: bytes
    stamp: Stamp
    event: bytes


class Private(Record, frozen=True, array_like=True, tag=8, gc=False):
    """An event for one user, by snowflake; the event is opaque here."""

    id: str
    room: str
    event: bytes


class Topic(Record, frozen=True, array_like=True, tag=9, gc=False):
    """A message of a plugin, or of a part of the server, to all nodes; the value is JSON text."""

    topic: str
    value: bytes


class Part(Record, frozen=True, array_like=True, tag=10, gc=False):
    """A part of a record that is too long for one batch."""

    data: bytes
    is_last: bool


class CloudOpened(Record, frozen=True, array_like=True, tag=11, gc=False):
    """The node has opened a cloud project, and wants its values."""

    project: str


class CloudClosed(Record, frozen=True, array_like=True, tag=12, gc=False):
    """The node has closed a cloud project."""

    project: str


class CloudValues(Record, frozen=True, array_like=True, tag=13, gc=False):
    """New values of a cloud project.

    Attributes:
        project: The project id.
        values: Name, JSON text of the value or None if the variable was deleted, and when it was set.
        is_state: Whether these are all values that the node has.
    """

    project: str
    values: list[tuple[str, bytes | None, Stamp]]
    is_state: bool = False


class Escaped(Record, frozen=True, array_like=True, tag=14, gc=False):
    """A record whose texts contain what UTF-8 cannot express; see `Codec`."""

    data: bytes


Any_ = (
    Hello
    | Row
    | Snapshot
    | Leave
    | Gone
    | RoomEvent
    | RoomVariable
    | Private
    | Topic
    | Part
    | CloudOpened
    | CloudClosed
    | CloudValues
    | Escaped
)


_encode = msgspec.msgpack.Encoder().encode
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""The errors that msgspec raises for bytes that cannot be read."""
_ESCAPED = b"\xc1"
"""A byte with which no msgpack begins."""
_ARRAY = b"\xdd"
"""The byte with which a msgpack array begins that says its length in four bytes."""
_TO_ESCAPE = re.compile("[\x00\ud800-\udfff]")
_TO_UNESCAPE = re.compile("\x00(.)", re.DOTALL)
_SHIFT = 0x800
"""Moves halves of surrogate pairs, U+D800 to U+DFFF, to the private characters from U+E000 on."""


class Codec(Generic[T]):
    """Writes objects of some type as msgpack, and reads them.

    Names of users, rooms and variables may contain halves of surrogate pairs, which msgpack cannot: such texts are
    escaped. That is rare, so it costs nothing otherwise.
    """

    def __init__(self, kind: Any) -> None:
        """Args: kind: The type, such as a union of structs."""
        self._kind = kind
        self.decode_plain: Callable[[bytes | msgspec.Raw], T] = msgspec.msgpack.Decoder(kind).decode

    def encode(self, item: T) -> bytes:
        """Return an object as msgpack, or escaped."""
        try:
            return _encode(item)
        except UnicodeEncodeError:
            return _ESCAPED + _encode(_escaped(msgspec.to_builtins(item, builtin_types=(bytes,))))

    def decode(self, data: bytes | msgspec.Raw) -> T:
        """Return an object. Raises `InvalidBatch`."""
        try:
            return self.decode_plain(data)
        except UNREADABLE as error:
            if not (isinstance(data, bytes) and data.startswith(_ESCAPED)):
                raise InvalidBatch(str(error)) from None
        try:
            plain = _unescaped(msgspec.msgpack.decode(data[1:]))
            return cast("T", msgspec.convert(plain, self._kind, builtin_types=(bytes,)))
        except UNREADABLE as error:
            raise InvalidBatch(str(error)) from None


def _escaped(item: Any) -> Any:
    if isinstance(item, str):
        return _TO_ESCAPE.sub(
            lambda match: "\x00" + (chr(ord(match[0]) + _SHIFT) if match[0] != "\x00" else "\x00"), item
        )
    if isinstance(item, (list, tuple)):
        return [_escaped(each) for each in item]
    if isinstance(item, dict):
        return {_escaped(key): _escaped(value) for key, value in item.items()}
    return item


def _unescaped(item: Any) -> Any:
    if isinstance(item, str):
        return _TO_UNESCAPE.sub(
            lambda match: chr(ord(match[1]) - _SHIFT) if "\ue000" <= match[1] <= "\ue7ff" else match[1], item
        )
    if isinstance(item, list):
        return [_unescaped(each) for each in item]
    if isinstance(item, dict):
        return {_unescaped(key): _unescaped(value) for key, value in item.items()}
    return item


_decode_batch = msgspec.msgpack.Decoder(Batch).decode
_decode_all: Callable[[msgspec.Raw], Sequence[Record]] = msgspec.msgpack.Decoder(list[Any_]).decode
_decode_each = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_beginning = msgspec.msgpack.Decoder(tuple[int, str, int, int, msgspec.Raw, list[msgspec.Raw]]).decode


class InvalidBatch(Exception):  # noqa: N818  # it is counted and never reaches a caller
    """A batch, or a record in it, is not what this protocol sends."""


class ForeignVersion(InvalidBatch):
    """A batch of another version of this protocol.

    Attributes:
        name: The name of its node, or its id if it is no hello.
        version: The version.
    """

    def __init__(self, name: str, version: int) -> None:
        super().__init__(name, version)
        self.name = name
        self.version = version


_records: Codec[Record] = Codec(Any_)


def encode(record: Record) -> bytes:
    """Return a record as msgpack."""
    try:
        return _encode(record)
    except UnicodeEncodeError:
        return _encode(Escaped(_records.encode(record)))


def decode(data: bytes | msgspec.Raw) -> Record:
    """Return a record. Raises `InvalidBatch`."""
    record = _records.decode(data)
    return _records.decode(record.data) if isinstance(record, Escaped) else record


def decode_all(records: msgspec.Raw) -> Sequence[Record]:
    """Return the records of a batch; some may be `Escaped`. Raises `InvalidBatch` if one of them cannot be read."""
    try:
        return _decode_all(records)
    except UNREADABLE as error:
        raise InvalidBatch(str(error)) from None


def decode_each(records: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the records of a batch, for `decode`. Raises `InvalidBatch` if they are not an array."""
    try:
        return _decode_each(records)
    except UNREADABLE as error:
        raise InvalidBatch(str(error)) from None


def seal(secret: bytes, sender: str, epoch: int, seq: int, hears: Hears, records: Sequence[bytes]) -> bytes:
    """Return a batch."""
    # All records as one `Raw`: making one for each takes longer than encoding the rest.
    array = msgspec.Raw(b"".join((_ARRAY, len(records).to_bytes(4), *records)))
    content = _encode((VERSION, sender, epoch, seq, hears, array))
    return hmac.digest(secret, content, "sha256") + content if secret else content


def unseal(secret: bytes, batch: bytes) -> Batch:
    """Return the content of a batch.

    Raises:
        ForeignVersion: It has another version.
        InvalidBatch: It is too long, not authentic, or not a batch.
    """
    if len(batch) > MAX_BATCH_BYTES:
        raise InvalidBatch("it is too long")
    content = batch
    if secret:
        content = batch[_MAC_BYTES:]
        if not hmac.compare_digest(batch[:_MAC_BYTES], hmac.digest(secret, content, "sha256")):
            raise InvalidBatch("the HMAC is wrong")
    try:
        found = _decode_batch(content)
    except UNREADABLE as error:
        raise _foreign(content) or InvalidBatch(str(error)) from None
    if found.version != VERSION:
        raise _foreign(content) or InvalidBatch("another version")
    return found


def _foreign(content: bytes) -> ForeignVersion | None:
    """Return the exception for a batch of another version, None if it is not a batch at all."""
    try:
        version, sender, *_, records = _decode_beginning(content)
    except UNREADABLE:
        return None
    if version == VERSION:
        return None
    name = sender
    try:
        first = msgspec.msgpack.decode(records[0])
        name = first[1] if isinstance(first[1], str) else sender
    except (msgspec.MsgspecError, LookupError, TypeError, UnicodeDecodeError):
        pass
    return ForeignVersion(name[:64], version)
