"""The streams to the other nodes: records are collected for each of them, and sent in numbered batches.

Where the carrier has no space, messages are dropped, and what must not be lost waits, or the stream begins anew: the
node is sent a snapshot when there is space again. `links` describes streams, `records` what they carry.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from .links import BATCH_BYTES, PART_BYTES, cut
from .records import encode, seal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from cloudlink.logthrottle import LogThrottle

    from .carriers import Carrier
    from .host import Host
    from .links import Link
    from .records import Record, Snapshot

logger = logging.getLogger("cloudlink.cluster")

_LONGEST_BACKLOG = 20_000
"""Records that may wait for space at a carrier; beyond that, a new snapshot is shorter."""


class Source(Protocol):
    """Provides what a stream begins with; implemented by `Node`."""

    def snapshots(self) -> Iterable[Snapshot]:
        """Return everything that this node has, in parts."""
        ...

    def send_state(self, link: Link) -> None:
        """Send a node what it may have missed before its stream began."""
        ...


class Streams:
    """The streams to the nodes that this one sees.

    Attributes:
        hello: The number of this node's last hello.
        sent: How many records were sent.
        dropped: How many records were dropped for want of space.
    """

    def __init__(
        self,
        node: str,
        host: Host,
        carrier: Carrier,
        secret: bytes,
        source: Source,
        up: dict[str, Link],
        log: LogThrottle,
    ) -> None:
        """Set up without streams.

        Args:
            node: The id of this node.
            host: Schedules flushes.
            carrier: Moves batches.
            secret: Authenticates batches; empty where nobody else can reach the carrier.
            source: Provides what streams begin with.
            up: The nodes that this one sees, by id; the code that adds one begins its stream.
            log: Limits how often the same warning is logged.
        """
        self.hello = 0
        self.sent = 0
        self.dropped = 0
        self._node = node
        self._host = host
        self._carrier = carrier
        self._secret = secret
        self._source = source
        self._up = up
        self._log = log
        self._epoch = 0
        self._is_flush_scheduled = False

    # Collecting and sending.

    def send(self, nodes: Collection[str] | None, record: Record, *, may_drop: bool = False) -> None:
        """Collect a record for nodes, None for all.

        Where the carrier has no space, records that may be dropped are dropped; the others wait, or the stream begins
        anew.
        """
        up = self._up
        if not up or (nodes is not None and not nodes):
            return
        data = encode(record)
        size = len(data)
        for node in up if nodes is None else nodes:
            link = up.get(node)
            if link is None:
                continue
            outgoing = link.outgoing
            if outgoing.is_broken or outgoing.backlog or outgoing.size >= BATCH_BYTES or size > PART_BYTES:
                self.collect(link, cut(data), may_drop=may_drop)
            else:  # the usual case
                self.sent += 1
                outgoing.records.append(data)
                outgoing.size += size
        if not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            self._host.schedule_flush()

    def collect(self, link: Link, pieces: Sequence[bytes], *, may_drop: bool) -> None:
        """Collect the pieces of an encoded record for a node."""
        outgoing = link.outgoing
        if outgoing.is_broken or outgoing.backlog:
            if may_drop:
                self._drop(1)
            elif not outgoing.is_broken:
                outgoing.backlog.extend(pieces)
                outgoing.is_broken = len(outgoing.backlog) > _LONGEST_BACKLOG
            return
        self.sent += 1
        for piece in pieces:
            if outgoing.size >= BATCH_BYTES:
                self._flush_link(link)
            outgoing.records.append(piece)
            outgoing.size += len(piece)

    def flush(self) -> None:
        """Send the records that were collected."""
        self._is_flush_scheduled = False
        for link in tuple(self._up.values()):
            if link.outgoing.records:
                self._flush_link(link)

    def show_gaps(self) -> None:
        """Send an empty batch to nodes that may have missed the last one, so that they notice the gap."""
        for link in self._up.values():
            outgoing = link.outgoing
            if not outgoing.was_used and outgoing.acknowledged != (outgoing.epoch, outgoing.seq):
                self._send_batch(link, [])
            outgoing.was_used = False

    def _flush_link(self, link: Link) -> None:
        records = link.outgoing.take()
        if not link.outgoing.is_broken and not self._send_batch(link, records):
            # Later records would arrive without these, so the stream begins anew when there is space.
            link.outgoing.is_broken = True
            self._drop(len(records))

    def _send_batch(self, link: Link, records: list[bytes]) -> bool:
        outgoing = link.outgoing
        batch = seal(
            self._secret,
            self._node,
            outgoing.epoch,
            outgoing.seq + 1,
            {link.id: (link.hello, link.incoming.epoch, link.incoming.seq)},
            records,
        )
        if not self._carrier.send(link.id, batch):
            return False
        outgoing.seq += 1
        outgoing.was_used = True
        return True

    def _drop(self, count: int) -> None:
        self.dropped += count
        if self._log.should_log("dropped"):
            logger.warning("A node takes less than is sent to it; messages to its clients are dropped.")

    # A stream begins, also anew.

    def begin(self, link: Link) -> None:
        """Begin an epoch with a snapshot."""
        self._epoch += 1
        outgoing = link.outgoing
        outgoing.begin(self._epoch, self.hello)
        for snapshot in self._source.snapshots():
            outgoing.backlog.extend(cut(encode(snapshot)))
        self.catch_up(link)

    def catch_up(self, link: Link) -> None:
        """Send as much of the snapshot as the carrier takes, or begin one; do nothing if all is sent."""
        outgoing = link.outgoing
        if outgoing.is_broken:
            self.begin(link)
            return
        if not outgoing.backlog:
            return
        while outgoing.backlog:
            records, size = [], 0
            while outgoing.backlog and size < BATCH_BYTES:
                raw = outgoing.backlog.popleft()
                records.append(raw)
                size += len(raw)
            if not self._send_batch(link, records):
                outgoing.backlog.extendleft(reversed(records))
                return
            self.sent += len(records)
        self._source.send_state(link)

    def acknowledge(self, link: Link, hello: int, epoch: int, seq: int) -> None:
        """Note what the other node has of our stream; begin anew if it misses something.

        Args:
            link: The node.
            hello: The number of our last hello that it has heard.
            epoch: The epoch that it has, negative if it has a gap.
            seq: The number of the last batch that it has.
        """
        link.outgoing.acknowledged = (epoch, seq)
        if self._is_missed(link, hello, epoch):
            self.begin(link)

    def _is_missed(self, link: Link, hello: int, epoch: int) -> bool:
        outgoing = link.outgoing
        if outgoing.is_broken or outgoing.backlog:
            return False
        return epoch == -outgoing.epoch or (epoch != outgoing.epoch and hello > outgoing.hello + 1)
