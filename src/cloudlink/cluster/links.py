"""One link to another node: whether both sides hear each other, and the two streams of batches between them.

A link is up while this node knows that the other one hears it: the other's hellos and batches say which of our hellos it
heard last. A message that was recorded and is sent again says an old number, and proves nothing.

Each direction is a stream of numbered batches in epochs. An epoch begins with a snapshot, so that a stream in which
something was lost can begin anew; epochs never repeat, also not when a link is made anew.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .records import Part, encode

if TYPE_CHECKING:
    from .records import Row

SILENCE = 3.0
"""Seconds without a sign that the other node hears us, after which the link is down."""
QUIET = 2.0
"""Seconds without a sign of the other node, after which others take over what one node does for all."""
REPLACED_AFTER = 1.2
"""Seconds of silence after which a process of the same name takes a node's place."""
BATCH_BYTES = 400_000
"""Bytes of records after which a batch is sent at once; batches stay below `carriers.MAX_BATCH_BYTES`."""
PART_BYTES = 100_000
"""Bytes of the parts into which longer records are cut."""
_MOST_PARTS = 1 << 10
"""Most parts of a record: 100 MB."""


class Outgoing:
    """The stream to another node.

    Attributes:
        epoch: The epoch, 0 before the first.
        seq: The number of the last batch of it.
        records: Records for the next batch.
        size: Their bytes.
        backlog: Records of a snapshot, and changes after it, that the carrier has no space for yet.
        hello: The number of our last hello when the epoch began.
        acknowledged: Epoch and number of the last batch that the other node is known to have.
        is_broken: Whether a batch was refused, so that a new epoch is needed.
        was_used: Whether a batch was sent since the last hello.
    """

    __slots__ = (
        "acknowledged",
        "backlog",
        "epoch",
        "hello",
        "is_broken",
        "records",
        "seq",
        "size",
        "was_used",
    )

    def __init__(self) -> None:
        self.epoch = 0
        self.seq = 0
        self.records: list[bytes] = []
        self.size = 0
        self.backlog: deque[bytes] = deque()
        self.hello = 0
        self.acknowledged = (0, 0)
        self.is_broken = False
        self.was_used = False

    def begin(self, epoch: int, hello: int) -> None:
        """Begin an epoch; what waits is dropped, because the snapshot covers it."""
        self.epoch, self.seq, self.hello = epoch, 0, hello
        self.records, self.size = [], 0
        self.backlog.clear()
        self.is_broken = False

    def take(self) -> list[bytes]:
        """Return the records of the next batch, and clear them."""
        records, self.records, self.size = self.records, [], 0
        return records


class Incoming:
    """The stream from another node.

    Attributes:
        epoch: The epoch of the last batch, 0 before the first.
        seq: The number of the last batch without a gap before it.
        has_gap: Whether a batch is missing; the stream is ignored until the next epoch.
        rows: The users of an incomplete snapshot, None outside of one.
        projects: Its cloud projects.
    """

    __slots__ = ("_parts", "epoch", "has_gap", "projects", "rows", "seq")

    def __init__(self) -> None:
        self.epoch = 0
        self.seq = 0
        self.has_gap = False
        self.rows: dict[str, Row] | None = None
        self.projects: list[str] = []
        self._parts: list[bytes] = []

    def admit(self, epoch: int, seq: int) -> bool:
        """Return whether a batch is the next one of the stream."""
        if epoch < self.epoch:
            return False
        if epoch > self.epoch:
            self.epoch, self.seq, self.has_gap = epoch, 0, False
            self.rows, self.projects, self._parts = {}, [], []
        if self.has_gap or seq <= self.seq:
            return False
        if seq != self.seq + 1:
            self.has_gap = True
            return False
        self.seq = seq
        return True

    def join(self, part: Part) -> bytes | None:
        """Add a part of a record; return the record when it is complete."""
        self._parts.append(part.data)
        if len(self._parts) > _MOST_PARTS:
            self._parts = []
            return None
        if not part.is_last:
            return None
        parts, self._parts = self._parts, []
        return b"".join(parts)


class Link:
    """The link to another node.

    Attributes:
        id: The id of its process.
        name: Its name.
        clients: The number of its clients.
        number: Its number, for snowflakes.
        hello: The number of its last hello.
        heard_at: When anything was heard of it.
        confirmed_at: When it was last certain that it hears us.
        is_up: Whether both sides hear each other.
        is_quiet: Whether nothing was heard of it for `QUIET` seconds.
        is_synced: Whether its first snapshot is complete since the link is up.
        had_snapshot: Whether a snapshot was complete since the process was met.
    """

    __slots__ = (
        "clients",
        "confirmed_at",
        "had_snapshot",
        "heard_at",
        "hello",
        "id",
        "incoming",
        "is_quiet",
        "is_synced",
        "is_up",
        "name",
        "number",
        "outgoing",
    )

    def __init__(self, node: str, name: str, now: float) -> None:
        self.id = node
        self.name = name
        self.clients = 0
        self.number = -1
        self.hello = 0
        self.heard_at = now
        self.confirmed_at = -SILENCE
        self.is_up = False
        self.is_quiet = False
        self.is_synced = False
        self.had_snapshot = False
        self.outgoing = Outgoing()
        self.incoming = Incoming()


def cut(record: bytes) -> list[bytes]:
    """Return a record as one that fits in a batch, or in parts."""
    if len(record) <= PART_BYTES:
        return [record]
    starts = range(0, len(record), PART_BYTES)
    return [
        encode(Part(record[start : start + PART_BYTES], start + PART_BYTES >= len(record)))
        for start in starts
    ]
