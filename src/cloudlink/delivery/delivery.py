"""The way out: frames are queued per client and written together.

Per recipient almost nothing happens: a frame is appended to a list. Frames that follow one another to
the same audience are not even that: they are collected once, joined once, and appended as one. All that
one turn of the event loop produced for a client leaves in one write, in the order it was produced,
whoever it came from. A busy server waits a few milliseconds from a client's first frame on, so that more
of them share a write.

This module does not know the event loop: whoever builds a `Delivery` hands it the function that calls
back at the end of the turn, or some milliseconds later.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from .frames import join
from .writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from .outbox import Outbox
    from .pace import Pacer

_BATCH = 32
"""Clients whose frames wait until the same moment where they wait: so many share a timer."""


class Audience:
    """Clients who are sent the same bytes: the members of a room who speak one dialect."""

    __slots__ = ("_delivery", "outboxes")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self.outboxes: dict[Outbox, None] = {}

    def __len__(self) -> int:
        return len(self.outboxes)

    def add(self, outbox: Outbox) -> None:
        """Take in a client; what was sent to the audience before is not for it."""
        self._delivery.settle()
        self.outboxes[outbox] = None

    def remove(self, outbox: Outbox) -> None:
        """Let a client go; what was sent to the audience before still is for it."""
        self._delivery.settle()
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
    """Takes frames for clients and writes them at the end of the event loop's turn, or a little later."""

    def __init__(
        self,
        schedule: Callable[[float, Callable[[], None]], object],
        max_queued_bytes: int | None = None,
        pacer: Pacer | None = None,
    ) -> None:
        """Set up the way out.

        Args:
            schedule: Called with seconds to wait, mostly 0, and what is to be called then.
            max_queued_bytes: Most bytes that may wait for a client that does not read, beside the largest
                frame among them; None for any number.
            pacer: Says how long frames wait, None for never.
        """
        self._pacer = pacer
        self._schedule = schedule
        self._writer = Writer(max_queued_bytes)
        self._frames = 0  # queued since the pacer was told, counted per recipient
        self._bytes = 0  # queued so far, counted once for all recipients
        self._largest = 0  # bytes of the largest entry of a queue since all were empty
        self._batches: dict[Batch, None] = {}  # what is to be written, in this order
        self._open: Batch | None = None  # the last of them, if it takes more clients
        self._audience: Audience | None = None  # whom the frames in `_segment` are for
        self._segment: list[bytes] = []

    @property
    def max_queued_bytes(self) -> int | None:
        """Most bytes that may wait for a client that does not read, None for any number."""
        return self._writer.max_queued_bytes

    def send(self, outbox: Outbox, frame: bytes) -> None:
        """Queue one frame for one client; the empty one is none."""
        if not frame:
            return
        if self._segment:
            self.settle()
        if not outbox:
            batch = self._open or self._begin()
            batch.outboxes.append(outbox)
            if len(batch.outboxes) >= batch.capacity:
                self._open = None
        outbox.append(frame)
        self._frames += 1
        size = len(frame)
        self._bytes += size
        if size > self._largest:  # noqa: PLR1730  # max() takes longer than the rest of this
            self._largest = size

    def broadcast(self, audience: Audience, frame: bytes, skip: Outbox | None = None) -> None:
        """Queue one frame for an audience, except the one to skip; the empty frame is none."""
        if not frame:
            return
        if skip is not None:
            self.settle()
            self._append(audience.outboxes, frame, skip)
        elif audience is self._audience:
            self._segment.append(frame)
        else:
            self.settle()
            self._audience = audience
            self._segment.append(frame)
            if self._open is None:
                self._begin()

    def multicast(self, outboxes: Iterable[Outbox], frame: bytes) -> None:
        """Queue one frame for any clients, once for each time they are named."""
        self.settle()
        outboxes = list(outboxes)
        if self._open is None:
            self._begin()
        self._bytes += len(frame) * (len(outboxes) - len(set(outboxes)))
        self._append(outboxes, frame, None)

    def settle(self) -> None:
        """Hand the frames collected for an audience to its members' queues.

        Needed before anything else that concerns one of them: that is what keeps the order.
        """
        if self._audience is not None:
            frame, audience = join(self._segment), self._audience
            self._frames += (len(self._segment) - 1) * len(audience.outboxes)
            self._audience = None
            self._segment.clear()
            self._append(audience.outboxes, frame, None)

    def _append(self, outboxes: Collection[Outbox], frame: bytes, skip: Outbox | None) -> None:
        batch = self._open or self._begin()
        waiting = batch.outboxes
        self._frames += len(outboxes)
        size = len(frame)
        self._bytes += size
        if size > self._largest:  # noqa: PLR1730  # as above
            self._largest = size
        for outbox in outboxes:
            if outbox is not skip:
                if not outbox:
                    waiting.append(outbox)
                outbox.append(frame)
        if len(waiting) >= batch.capacity:
            self._open = None

    def _begin(self) -> Batch:
        """Begin a batch, and see to it that it is written."""
        wait = self._pacer.wait if self._pacer else 0.0
        if not self._batches:
            self._largest = 0
        batch = self._open = Batch(_BATCH if wait else math.inf, self._bytes)
        self._batches[batch] = None
        self._schedule(wait, partial(self._write_batch, batch))
        return batch

    def flush(self) -> None:
        """Write everything that is queued, one write per client."""
        for batch in tuple(self._batches):
            self._write_batch(batch)

    def _write_batch(self, batch: Batch) -> None:
        if batch not in self._batches:  # everything has been written meanwhile
            return
        if self._pacer is not None:
            self._pacer.begin()
        self.settle()
        del self._batches[batch]
        if batch is self._open:
            self._open = None
        outboxes = list(filter(None, batch.outboxes))
        self._writer.write(outboxes, self._bytes - batch.bytes_before, self._largest)
        if self._pacer is not None:
            self._pacer.end(self._frames, len(outboxes))
            self._frames = 0

    def resume(self, outbox: Outbox) -> None:
        """Go on writing to a client that reads again."""
        self._writer.resume(outbox)

    def close(self, outbox: Outbox, code: int, reason: str) -> None:
        """Write what is queued for a client, then close its connection."""
        self.settle()
        self._writer.close(outbox, code, reason)
