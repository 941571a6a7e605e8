"""Outgoing frames: queued per client and written together.

The work per recipient is small: one append to a list. Consecutive frames to the audiences of one room cost even less: they
are collected, joined once, and appended as one, except for the first one to a small room. A member that is sent a frame of its
own meanwhile, or is left out, only gets its share earlier. Everything that one turn of the event loop produced for a client
leaves in one write, in the order it was produced, whoever sent it. A saturated server waits a few milliseconds after a
client's first frame, so that more frames share a write. News that nobody waits for, such as who joined and who left, is
collected a little longer: when a crowd joins a room at once, its members learn of each other in a few writes.

This module does not know the event loop: the creator of a `Delivery` passes it the function that schedules a
call at the end of the turn, or some milliseconds later.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from .frames import join, signed
from .writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from .coalescer import Coalescer
    from .outbox import Outbox

logger = logging.getLogger("cloudlink.delivery")

_BATCH = 32
"""Number of clients that share a timer when frames wait."""
_CROWD = 32
"""Minimum batch size for which sockets are read again before writing."""
_FEW = 16
"""Most clients of an audience whose first frame is queued for each of them at once, not collected."""
_ANONYMOUS = 4096
"""Size in bytes from which a frame always knows its sender; shorter ones do while a recipient reads slowly."""
_BACKLOG = 4
"""Copies that a frame counts as if it is added to a backlog."""
_RESUMED = 1 << 18
"""Bytes written from backlogs in one turn of the event loop, for all clients that read again together."""
_NEWS_INTERVAL = 0.02
"""Seconds between two writes of news, unless something else is sent to the room meanwhile."""


class Audience:
    """Clients who are sent the same bytes: the members of a room who speak one dialect.

    `Delivery` collects frames here, for one group of audiences at a time, instead of queueing them.

    Attributes:
        group: An object that the audiences of one room share; no client is in two of them.
        outboxes: The queues of its members.
        frames: Frames sent to the audience that are not in any queue yet.
        offsets: By client, how many of those frames are already queued for it or not meant for it.
    """

    __slots__ = ("_delivery", "frames", "group", "offsets", "outboxes")

    def __init__(self, delivery: Delivery, group: object = None) -> None:
        self._delivery = delivery
        self.group = object() if group is None else group
        self.outboxes: dict[Outbox, None] = {}
        self.frames: list[bytes] = []
        self.offsets: dict[Outbox, int] = {}

    def __len__(self) -> int:
        return len(self.outboxes)

    def add(self, outbox: Outbox) -> None:
        """Add a client; it does not get what was sent to the audience before."""
        self.outboxes[outbox] = None
        if self.frames:
            self.offsets[outbox] = len(self.frames)

    def remove(self, outbox: Outbox, *, is_gone: bool = False) -> None:
        """Remove a client; it still gets what was sent to the audience before, unless it has disconnected."""
        if not is_gone:
            self._delivery.flush_member(outbox)
        self.offsets.pop(outbox, None)
        del self.outboxes[outbox]


class Batch:
    """Clients whose queues were empty before, and that are written to together.

    Attributes:
        outboxes: Their queues.
        capacity: The most clients in this batch; further ones begin another batch.
        bytes_before: Bytes queued in total before the first of them.
    """

    __slots__ = ("bytes_before", "capacity", "outboxes")

    def __init__(self, capacity: float, bytes_before: int) -> None:
        self.outboxes: list[Outbox] = []
        self.capacity = capacity
        self.bytes_before = bytes_before


class Delivery:
    """Takes frames for clients and writes them at the end of the event loop's turn, or a little later.

    Attributes:
        coalescer: Says how long frames wait; None if they never wait. May be replaced at any time.
        sent_frames: Frames queued since the start, counted once for each recipient.
        sent_bytes: Bytes of these frames, likewise.
    """

    def __init__(
        self,
        schedule: Callable[[float, Callable[[], None]], object],
        max_queued_bytes: int | None = None,
        coalescer: Coalescer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the queues.

        Args:
            schedule: Called with a delay in seconds, usually 0, and the function to call after it.
            max_queued_bytes: Most bytes that may wait for a client that does not read, in addition to the largest
                frame among them; None for no limit.
            coalescer: Says how long frames wait; None if they never wait.
            clock: Returns the time, in seconds.
        """
        self._clock = clock
        self.coalescer = coalescer
        self._schedule = schedule
        self._writer = Writer(max_queued_bytes)
        self.sent_frames = self.sent_bytes = 0
        self._reported = 0  # `sent_frames` at the last report to the coalescer
        self._bytes = 0  # queued so far, counted once for all recipients
        self._largest = 0  # bytes of the largest entry of a queue since all were empty
        self._batches: dict[Batch, None] = {}  # batches to write, in this order
        self._open: Batch | None = None  # the last of them, if it has room for more clients
        self._audiences: list[Audience] = []  # those whose frames are not in any queue yet
        self._recipients = 0  # their members
        self._group: object = None  # what they have in common
        self._is_due = False  # whether those frames go with the next batch or wait, as news does
        self._next_news = 0.0  # the earliest time for the next news
        self._is_news_scheduled = False
        self._behind = self._writer.behind  # clients that have a backlog
        self._resuming: deque[Outbox] = deque()  # those of them that read again
        self._is_resuming_scheduled = False

    @property
    def max_queued_bytes(self) -> int | None:
        """Most bytes that may wait for a client that does not read; None for no limit."""
        return self._writer.max_queued_bytes

    @max_queued_bytes.setter
    def max_queued_bytes(self, value: int | None) -> None:
        self._writer.max_queued_bytes = value

    def copies(self) -> int:
        """Return how many frames were sent, counted once for each recipient, to estimate the time that writing will take.

        Of frames that are only collected so far, those to recipients that read slowly count, and more: each of them will be
        added to a backlog, while all frames to another recipient leave in one write.
        """
        copies = self.sent_frames
        if self._behind:
            for audience in self._audiences:
                copies += _BACKLOG * len(audience.frames) * min(len(audience.outboxes), len(self._behind))
        return copies

    @property
    def is_behind(self) -> bool:
        """Whether frames wait for clients that read slowly."""
        return bool(self._behind)

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for clients that read slowly. Checks each of these clients."""
        return sum(outbox.backlog.size for outbox in self._behind if outbox.backlog is not None)

    @property
    def held_back(self) -> int:
        """Frames that were dropped, and backlogs that ended a connection, because a client reads too slowly."""
        return self._writer.held_back

    def sign(self, frame: bytes, sender: Outbox, tag: bytes) -> bytes:
        """Return a frame that knows its sender, if the sender may matter: see `broadcast`."""
        return signed(frame, sender, tag) if self._behind or len(frame) >= _ANONYMOUS else frame

    def send(self, outbox: Outbox, frame: bytes) -> None:
        """Queue one frame for one client; an empty frame is ignored."""
        if not frame:
            return
        if self._audiences:
            self.flush_member(outbox)
        size = len(frame)
        self._put(outbox, (frame,), size, size)

    def broadcast(
        self,
        audience: Audience,
        frame: bytes,
        skip: Outbox | None = None,
        sender: Outbox | None = None,
        tag: bytes = b"",
    ) -> None:
        """Queue one frame for an audience, except for `skip`; an empty frame is ignored.

        Args:
            audience: The recipients.
            frame: The frame.
            skip: The client that does not get it.
            sender: The client that caused it, None for the server itself. One sender may fill only a share of the
                backlog of a slow recipient; beyond that share, the recipient does not get the frame.
            tag: Passed to `sender.owner.tell_undelivered` in that case.
        """
        if frame:
            if sender is not None and (self._behind or len(frame) >= _ANONYMOUS):
                frame = signed(frame, sender, tag)
            outboxes = audience.outboxes
            if audience.group is not self._group and len(outboxes) <= _FEW and not self._behind:
                # Collecting saves nothing if no other frame for the room follows; if one does, that is collected.
                if self._audiences:
                    self.flush_room()
                if skip is not None:
                    outboxes = outboxes.copy()  # quicker than asking about each of them, as in `flush_room`
                    outboxes.pop(skip, None)
                if outboxes:
                    self._group = audience.group
                    self._append(outboxes, frame)
                return
            self._collect_due(audience, frame, skip)

    def broadcast_except(self, audience: Audience, frame: bytes, skips: Iterable[Outbox]) -> None:
        """Queue one frame for an audience, except for some clients, which need not be in it."""
        if not frame:
            return
        members = [outbox for outbox in skips if outbox in audience.outboxes]
        for outbox in members:
            self.flush_member(outbox)
        self._collect_due(audience, frame)
        audience.offsets.update(dict.fromkeys(members, len(audience.frames)))

    def broadcast_deferred(self, audience: Audience, frame: bytes, skip: Outbox | None = None) -> None:
        """Queue news as `broadcast` does; it may be delayed by some milliseconds if other news went just before."""
        if not frame:
            return
        self._collect(audience, frame, skip)
        if self._is_due or self._is_news_scheduled:
            return
        now = self._clock()
        if now < self._next_news:
            self._is_news_scheduled = True
            self._schedule(self._next_news - now, self._flush_deferred)
        else:
            self._next_news = now + _NEWS_INTERVAL
            self._make_due()

    def _make_due(self) -> None:
        self._is_due = True
        if self._open is None:
            self._begin()

    def _flush_deferred(self) -> None:
        self._is_news_scheduled = False
        self._next_news = self._clock() + _NEWS_INTERVAL
        self.flush_room()

    def _collect_due(self, audience: Audience, frame: bytes, skip: Outbox | None = None) -> None:
        self._collect(audience, frame, skip)
        self._is_due = True
        if self._open is None:
            self._begin()

    def _collect(self, audience: Audience, frame: bytes, skip: Outbox | None) -> None:
        if audience.group is not self._group:
            if self._audiences:
                self.flush_room()
            self._group = audience.group
        if not audience.frames:
            self._audiences.append(audience)
            self._recipients += len(audience.outboxes)
        elif skip is not None:
            self.flush_member(skip)
        audience.frames.append(frame)
        if skip is not None:
            audience.offsets[skip] = len(audience.frames)

    def multicast(self, outboxes: Iterable[Outbox], frame: bytes) -> None:
        """Queue one frame for any clients, once for each time they occur in `outboxes`."""
        self.flush_room()
        outboxes = list(outboxes)
        if self._open is None:
            self._begin()
        self._bytes += len(frame) * (len(outboxes) - len(set(outboxes)))
        self._append(outboxes, frame)

    def flush_member(self, outbox: Outbox) -> None:
        """Queue the collected frames of its audience for one client.

        This must happen before anything else is queued for the client, to keep the order.
        """
        for audience in self._audiences:
            if outbox in audience.outboxes:
                self._put_missing(audience, outbox, audience.offsets.get(outbox, 0))
                return

    def _put_missing(self, audience: Audience, outbox: Outbox, dealt_with: int) -> None:
        """Queue the collected frames of an audience for one member, except for the first ones."""
        frames = audience.frames
        missing = len(frames) - dealt_with
        if not missing:
            return
        audience.offsets[outbox] = len(frames)
        if missing == 1:
            size = len(frames[-1])
            self._put(outbox, frames[-1:], size, size)
        else:
            sizes = tuple(map(len, frames[dealt_with:]))
            self._put(outbox, frames[dealt_with:], sum(sizes), max(sizes))

    def flush_room(self) -> None:
        """Queue the collected frames of a room for all its members; they then wait no longer than other frames."""
        for audience in self._audiences:
            frames, offsets = audience.frames, audience.offsets
            outboxes = audience.outboxes
            if offsets:
                # Copying and removing a few takes a fraction of the time of choosing the others.
                outboxes = outboxes.copy()
                for outbox, dealt_with in offsets.items():
                    # A client that was left out need not be in this audience.
                    if outbox in outboxes:
                        del outboxes[outbox]
                        if dealt_with < len(frames):
                            self._put_missing(audience, outbox, dealt_with)
                offsets.clear()
            if outboxes:
                if len(frames) == 1:  # the usual case, without a call
                    self._append(outboxes, frames[0])
                else:
                    self.sent_frames += (len(frames) - 1) * len(outboxes)
                    self._append(outboxes, join(frames))
            frames.clear()
        self._audiences.clear()
        self._recipients = 0
        self._group = None
        self._is_due = False

    def _put(self, outbox: Outbox, frames: Sequence[bytes], size: int, largest: int) -> None:
        if not outbox:
            batch = self._open or self._begin()
            batch.outboxes.append(outbox)
            if len(batch.outboxes) >= batch.capacity:
                self._open = None
        outbox += frames
        self.sent_frames += len(frames)
        self.sent_bytes += size
        self._bytes += size
        if largest > self._largest:  # noqa: PLR1730  # max() takes longer than the rest of this
            self._largest = largest

    def _append(self, outboxes: Collection[Outbox], frame: bytes) -> None:
        batch = self._open or self._begin()
        waiting = batch.outboxes
        recipients = len(outboxes)
        size = len(frame)
        self.sent_frames += recipients
        self.sent_bytes += size * recipients
        self._bytes += size
        if size > self._largest:  # noqa: PLR1730  # as above
            self._largest = size
        for outbox in outboxes:
            if not outbox:
                waiting.append(outbox)
            outbox.append(frame)
        if len(waiting) >= batch.capacity:
            self._open = None

    def _begin(self) -> Batch:
        """Begin a batch, and schedule its writing."""
        wait = self.coalescer.wait if self.coalescer else 0.0
        if not self._batches:
            self._largest = 0
        batch = self._open = Batch(_BATCH if wait else math.inf, self._bytes)
        self._batches[batch] = None
        self._schedule(wait, partial(self._write_batch if wait else self._end_turn, batch))
        return batch

    def flush(self) -> None:
        """Write everything that is queued now, one write per client, without waiting for scheduled calls."""
        self._is_news_scheduled = False
        while self._resuming:
            self._resume_some()
        while self._audiences or self._batches:  # writing may make a client leave, which is news
            self.flush_room()
            for batch in tuple(self._batches):
                self._write_batch(batch)

    def _end_turn(self, batch: Batch) -> None:
        """Write a batch; before writing a large one, let sockets be read once more."""
        due = self._recipients if self._is_due else 0
        if len(batch.outboxes) + due >= _CROWD:
            self._schedule(0.0, partial(self._write_batch, batch))
        else:
            self._write_batch(batch)

    def _write_batch(self, batch: Batch) -> None:
        if batch not in self._batches:  # everything has been written meanwhile
            return
        if self._is_due:
            self.flush_room()
        elif not self._audiences:
            self._group = None
        del self._batches[batch]
        if batch is self._open:
            self._open = None
        outboxes = list(filter(None, batch.outboxes))
        self._writer.write(outboxes, self._bytes - batch.bytes_before, self._largest)
        if self.coalescer is not None:
            self.coalescer.note(self.sent_frames - self._reported, len(outboxes))
        self._reported = self.sent_frames

    def resume(self, outbox: Outbox) -> None:
        """Resume writing to a client that reads again, from the next turn on: many may do so at once."""
        if outbox.backlog:
            self._resuming.append(outbox)
            self._schedule_resuming()

    def _schedule_resuming(self) -> None:
        if not self._is_resuming_scheduled:
            self._is_resuming_scheduled = True
            self._schedule(0.0, self._go_on)

    def _go_on(self) -> None:
        self._is_resuming_scheduled = False
        self._resume_some()
        if self._resuming:
            self._schedule_resuming()

    def _resume_some(self) -> None:
        """Write a piece to each client that reads again, in turn, up to the limit of one turn."""
        left = _RESUMED
        while self._resuming and left > 0:
            outbox = self._resuming.popleft()
            try:
                left -= self._writer.resume(outbox)
            except Exception:  # as when queues are written
                logger.exception("Writing to a client failed.")
            if outbox.backlog and not outbox.connection.congested:
                self._resuming.append(outbox)

    def retire(self, outbox: Outbox) -> None:
        """Forget a disconnected client and the frames that wait for it."""
        self._writer.forget(outbox)
        outbox.retire()

    def close(self, outbox: Outbox, code: int, reason: str) -> None:
        """Write what is queued for a client, then close its connection."""
        self.flush_member(outbox)
        self._writer.close(outbox, code, reason)
