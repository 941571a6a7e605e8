"""The way out: frames are queued per client and written together.

Per recipient almost nothing happens: a frame is appended to a list. Frames that follow one another to
the audiences of one room are not even that: they are collected once, joined once, and appended as one. A
member who is sent something of its own meanwhile, or left out, is only handed its share earlier. All that
one turn of the event loop produced for a client leaves in one write, in the order it was produced, whoever
it came from. A saturated server waits a few milliseconds from a client's first frame on, so that more of them
share a write. News that nobody waits for, who came and who left, is collected a little longer: a crowd that
comes into a room at once is told of each other in few writes.

This module does not know the event loop: whoever builds a `Delivery` hands it the function that calls
back at the end of the turn, or some milliseconds later.
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
"""Clients whose frames wait until the same moment where they wait: so many share a timer."""
_CROWD = 32
"""Clients from whom on writing to them takes so long that it should not be done for half of what is there."""
_ANONYMOUS = 4096
"""Bytes of a frame from which on it always knows its sender; shorter ones do while somebody reads slowly."""
_RESUMED = 1 << 18
"""Bytes of backlogs written in one turn of the event loop, over all clients that read again."""
_NEWS_INTERVAL = 0.02
"""Seconds between two times that news is written, unless something else is sent to a room meanwhile."""


class Audience:
    """Clients who are sent the same bytes: the members of a room who speak one dialect.

    Of one group of audiences at a time, `Delivery` leaves frames here instead of queueing them.

    Attributes:
        group: Whatever the audiences of one room have in common; no client is in two of them.
        outboxes: The queues of its members.
        frames: What was sent to them and is in no queue yet.
        offsets: Clients for whom so many of those frames are dealt with: queued all the same, or not for them.
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
        """Take in a client; what was sent to the audience before is not for it."""
        self.outboxes[outbox] = None
        if self.frames:
            self.offsets[outbox] = len(self.frames)

    def remove(self, outbox: Outbox, *, is_gone: bool = False) -> None:
        """Let a client go; what was sent to the audience before still is for it, unless it is gone for good."""
        if not is_gone:
            self._delivery.flush_member(outbox)
        self.offsets.pop(outbox, None)
        del self.outboxes[outbox]


class Batch:
    """Clients whose queues were empty before, and are written together.

    Attributes:
        outboxes: Their queues.
        capacity: How many it takes; who comes after them begins another batch.
        bytes_before: What had been queued before the first of them.
    """

    __slots__ = ("bytes_before", "capacity", "outboxes")

    def __init__(self, capacity: float, bytes_before: int) -> None:
        self.outboxes: list[Outbox] = []
        self.capacity = capacity
        self.bytes_before = bytes_before


class Delivery:
    """Takes frames for clients and writes them at the end of the event loop's turn, or a little later.

    Attributes:
        coalescer: Says how long frames wait, None for never; may be replaced at any time.
    """

    def __init__(
        self,
        schedule: Callable[[float, Callable[[], None]], object],
        max_queued_bytes: int | None = None,
        coalescer: Coalescer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the way out.

        Args:
            schedule: Called with seconds to wait, mostly 0, and what is to be called then.
            max_queued_bytes: Most bytes that may wait for a client that does not read, beside the largest
                frame among them; None for any number.
            coalescer: Says how long frames wait, None for never.
            clock: Tells the time, in seconds.
        """
        self._clock = clock
        self.coalescer = coalescer
        self._schedule = schedule
        self._writer = Writer(max_queued_bytes)
        self._frames = 0  # queued since the coalescer was told, counted per recipient
        self._bytes = 0  # queued so far, counted once for all recipients
        self._largest = 0  # bytes of the largest entry of a queue since all were empty
        self._batches: dict[Batch, None] = {}  # what is to be written, in this order
        self._open: Batch | None = None  # the last of them, if it takes more clients
        self._audiences: list[Audience] = []  # whose frames are in no queue yet
        self._group: object = None  # what they have in common
        self._is_due = False  # whether those frames go with the next batch, or wait as news does
        self._next_news = 0.0  # when news may go again
        self._is_news_scheduled = False
        self._behind = self._writer.behind  # clients that have a backlog
        self._resuming: deque[Outbox] = deque()  # those of them that read again
        self._is_resuming_scheduled = False

    @property
    def max_queued_bytes(self) -> int | None:
        """Most bytes that may wait for a client that does not read, None for any number."""
        return self._writer.max_queued_bytes

    @max_queued_bytes.setter
    def max_queued_bytes(self, value: int | None) -> None:
        self._writer.max_queued_bytes = value

    def sign(self, frame: bytes, sender: Outbox, tag: bytes) -> bytes:
        """Return a frame that knows its sender, if that may matter: see `broadcast`."""
        return signed(frame, sender, tag) if self._behind or len(frame) >= _ANONYMOUS else frame

    def send(self, outbox: Outbox, frame: bytes) -> None:
        """Queue one frame for one client; the empty one is none."""
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
        """Queue one frame for an audience, except the one to skip; the empty frame is none.

        Args:
            audience: The recipients.
            frame: The frame.
            skip: Who does not get it.
            sender: The client that caused it, None for the server itself. One sender may take up a share of what may
                wait for a recipient that reads slowly; beyond it, that recipient does not get the frame.
            tag: Handed to `sender.undelivered` then.
        """
        if frame:
            if sender is not None and (self._behind or len(frame) >= _ANONYMOUS):
                frame = signed(frame, sender, tag)
            self._collect(audience, frame, skip)
            self._is_due = True
            if self._open is None:
                self._begin()

    def broadcast_except(self, audience: Audience, frame: bytes, skips: Iterable[Outbox]) -> None:
        """Queue one frame for an audience, except for any clients, who need not be in it."""
        if not frame:
            return
        members = [outbox for outbox in skips if outbox in audience.outboxes]
        for outbox in members:
            self.flush_member(outbox)
        self.broadcast(audience, frame)
        audience.offsets.update(dict.fromkeys(members, len(audience.frames)))

    def broadcast_deferred(self, audience: Audience, frame: bytes, skip: Outbox | None = None) -> None:
        """Do the same with news that may come some milliseconds late, if there was some just before."""
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

    def _collect(self, audience: Audience, frame: bytes, skip: Outbox | None) -> None:
        if audience.group is not self._group:
            self.flush_room()
            self._group = audience.group
        if not audience.frames:
            self._audiences.append(audience)
        elif skip is not None:
            self.flush_member(skip)
        audience.frames.append(frame)
        if skip is not None:
            audience.offsets[skip] = len(audience.frames)

    def multicast(self, outboxes: Iterable[Outbox], frame: bytes) -> None:
        """Queue one frame for any clients, once for each time they are named."""
        self.flush_room()
        outboxes = list(outboxes)
        if self._open is None:
            self._begin()
        self._bytes += len(frame) * (len(outboxes) - len(set(outboxes)))
        self._append(outboxes, frame)

    def flush_member(self, outbox: Outbox) -> None:
        """Queue for a client what was sent to the audience it is in, if that is in no queue yet.

        Needed before anything else is queued for it: that is what keeps the order.
        """
        for audience in self._audiences:
            if outbox in audience.outboxes:
                missing = audience.frames[audience.offsets.get(outbox, 0) :]
                if missing:
                    audience.offsets[outbox] = len(audience.frames)
                    sizes = tuple(map(len, missing))
                    self._put(outbox, missing, sum(sizes), max(sizes))
                return

    def flush_room(self) -> None:
        """Queue for all its members what was sent to a room; from now on it waits no longer than any frame."""
        for audience in self._audiences:
            frames, offsets = audience.frames, audience.offsets
            outboxes: Collection[Outbox] = audience.outboxes
            if offsets:
                outboxes = [outbox for outbox in outboxes if outbox not in offsets]
                for outbox, dealt_with in offsets.items():
                    if dealt_with < len(frames):
                        self.flush_member(outbox)
                offsets.clear()
            if outboxes:
                self._frames += (len(frames) - 1) * len(outboxes)
                self._append(outboxes, join(frames))
            frames.clear()
        self._audiences.clear()
        self._group = None
        self._is_due = False

    def _put(self, outbox: Outbox, frames: Sequence[bytes], size: int, largest: int) -> None:
        if not outbox:
            batch = self._open or self._begin()
            batch.outboxes.append(outbox)
            if len(batch.outboxes) >= batch.capacity:
                self._open = None
        outbox += frames
        self._frames += len(frames)
        self._bytes += size
        if largest > self._largest:  # noqa: PLR1730  # max() takes longer than the rest of this
            self._largest = largest

    def _append(self, outboxes: Collection[Outbox], frame: bytes) -> None:
        batch = self._open or self._begin()
        waiting = batch.outboxes
        self._frames += len(outboxes)
        size = len(frame)
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
        """Begin a batch, and see to it that it is written."""
        wait = self.coalescer.wait if self.coalescer else 0.0
        if not self._batches:
            self._largest = 0
        batch = self._open = Batch(_BATCH if wait else math.inf, self._bytes)
        self._batches[batch] = None
        self._schedule(wait, partial(self._write_batch if wait else self._end_turn, batch))
        return batch

    def flush(self) -> None:
        """Write everything that is queued, one write per client, and wait for nothing that was scheduled."""
        self._is_news_scheduled = False
        while self._resuming:
            self._resume_some()
        while self._audiences or self._batches:  # writing may make somebody leave, which is news
            self.flush_room()
            for batch in tuple(self._batches):
                self._write_batch(batch)

    def _end_turn(self, batch: Batch) -> None:
        """Write a batch, a large one after another look at what has come while it was made."""
        due = sum(map(len, self._audiences)) if self._is_due else 0
        if len(batch.outboxes) + due >= _CROWD:
            self._schedule(0.0, partial(self._write_batch, batch))
        else:
            self._write_batch(batch)

    def _write_batch(self, batch: Batch) -> None:
        if batch not in self._batches:  # everything has been written meanwhile
            return
        if self.coalescer is not None:
            self.coalescer.begin()
        if self._is_due:
            self.flush_room()
        del self._batches[batch]
        if batch is self._open:
            self._open = None
        outboxes = list(filter(None, batch.outboxes))
        self._writer.write(outboxes, self._bytes - batch.bytes_before, self._largest)
        if self.coalescer is not None:
            self.coalescer.end(self._frames, len(outboxes))
            self._frames = 0

    def resume(self, outbox: Outbox) -> None:
        """Go on writing to a client that reads again, from the next turn on: many may do so at once."""
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
        """Write a piece to each client that reads again, in turn, until it is enough for now."""
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
        """Forget a client that is gone, and what waits for it."""
        self._writer.forget(outbox)
        outbox.retire()

    def close(self, outbox: Outbox, code: int, reason: str) -> None:
        """Write what is queued for a client, then close its connection."""
        self.flush_member(outbox)
        self._writer.close(outbox, code, reason)
