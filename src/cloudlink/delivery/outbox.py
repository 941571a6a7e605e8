"""Queues of ready frames, one per client, written together.

Per recipient almost nothing happens: a frame is appended to a list. Frames that follow one another to
the same audience are not even that: they are collected once, joined once, and appended as one. All that
one turn produced for a client leaves in one write, in the order it was produced, whoever it came from.

A client that reads too slowly has its frames kept in a backlog of bounded size, and is disconnected when
it falls behind further. Nobody else waits for it. What one turn brings a client is handed over in pieces,
for as long as its connection takes them, so that the bound holds however much one turn brings.

This module does not know the event loop: whoever builds a `Delivery` hands it the function that
calls back at the end of the turn, or a few milliseconds later.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from .backlog import Backlog
from .frames import apart, join, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .pace import Pacer

logger = logging.getLogger("cloudlink.delivery")

_PIECE = 1 << 16
"""Bytes handed to a connection at a time; whether it is congested is asked after each piece."""


class Connection(Protocol):
    """What the inside of the server may ask of a connection; the transport has the real one."""

    remote_address: tuple[str, int] | None
    """Address and port of the peer, None where it is unknown."""

    address: str
    """Address that limits and logs go by, behind trusted proxies the real one."""

    headers: Mapping[str, str]
    """Headers of the upgrade request; look-ups ignore case."""

    path: str
    """Request target of the upgrade request."""

    congested: bool
    """Whether the peer does not take what was written; nothing should be written until it does."""

    def write(self, frames: list[bytes]) -> None:
        """Write ready frames in order. The list is the caller's and is emptied afterwards."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake (RFC 6455, section 7) after everything written before."""
        ...

    def slow_down(self) -> None:
        """Read nothing from the peer for a moment: it sends too much."""
        ...


class Outbox(list[bytes]):
    """The frames waiting for one client, oldest first.

    Attributes:
        connection: Where they go.
        backlog: What waits since the client stopped reading; older than what is in the list.
        overflow: Called when the backlog is over the limit.
    """

    __slots__ = ("backlog", "connection", "overflow")

    def __init__(self, connection: Connection, overflow: Callable[[], None]) -> None:
        super().__init__()
        self.connection = connection
        self.overflow = overflow
        self.backlog: Backlog | None = None

    def retire(self) -> None:
        """Forget what waits, and whom to call: the client is gone."""
        self.clear()
        self.backlog = None
        self.overflow = _nothing

    # Queues are told apart by identity: two that hold the same frames are two clients.
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__


def _nothing() -> None:
    pass


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


class Delivery:
    """Takes frames for clients and writes them at the end of the event loop's turn."""

    def __init__(
        self,
        schedule: Callable[[float, Callable[[], None]], object],
        max_queued_bytes: int | None = None,
        pacer: Pacer | None = None,
    ) -> None:
        """Set up the way out.

        Args:
            schedule: Called with seconds to wait, mostly 0, and `flush` when a first frame is queued.
            max_queued_bytes: Most bytes that may wait for a client that does not read, beside the largest
                frame among them; None for any number.
            pacer: Says how long frames wait, None for never.
        """
        self.max_queued_bytes = max_queued_bytes
        self._pacer = pacer
        self._frames = 0  # queued since the last flush, counted per recipient
        self._bytes = 0  # queued since the last flush, counted once for all recipients
        self._largest = 0  # bytes of the largest entry of a queue since the last flush
        self._schedule = schedule
        self._scheduled = False
        self._waiting: list[Outbox] = []
        self._audience: Audience | None = None  # whom the frames in `_segment` are for
        self._segment: list[bytes] = []

    def send(self, outbox: Outbox, frame: bytes) -> None:
        """Queue one frame for one client; the empty one is none."""
        if not frame:
            return
        if self._segment:
            self.settle()
        if not outbox:
            self._waiting.append(outbox)
            if not self._scheduled:
                self._wake()
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
            self._frames += len(audience.outboxes)
            self._append(audience.outboxes, frame, skip)
        elif audience is self._audience:
            self._segment.append(frame)
        else:
            self.settle()
            self._audience = audience
            self._segment.append(frame)
            if not self._scheduled:
                self._wake()

    def multicast(self, outboxes: Iterable[Outbox], frame: bytes) -> None:
        """Queue one frame for any clients, once for each time they are named."""
        self.settle()
        outboxes = list(outboxes)
        self._bytes += len(frame) * (len(outboxes) - len(set(outboxes)))
        self._append(outboxes, frame, None)

    def settle(self) -> None:
        """Hand the frames collected for an audience to its members' queues.

        Needed before anything else that concerns one of them: that is what keeps the order.
        """
        if self._audience is not None:
            frame, audience = join(self._segment), self._audience
            self._frames += len(self._segment) * len(audience.outboxes)
            self._audience = None
            self._segment.clear()
            self._append(audience.outboxes, frame, None)

    def _append(self, outboxes: Iterable[Outbox], frame: bytes, skip: Outbox | None) -> None:
        waiting = self._waiting
        size = len(frame)
        self._bytes += size
        if size > self._largest:  # noqa: PLR1730  # as above
            self._largest = size
        for outbox in outboxes:
            if outbox is not skip:
                if not outbox:
                    waiting.append(outbox)
                outbox.append(frame)
        if not self._scheduled:
            self._wake()

    def _wake(self) -> None:
        self._scheduled = True
        self._schedule(self._pacer.delay() if self._pacer else 0.0, self.flush)

    def flush(self) -> None:
        """Write everything that is queued, one write per client."""
        if self._pacer is not None:
            self._pacer.begin()
        self.settle()
        self._scheduled = False
        waiting, self._waiting = self._waiting, []
        frames, self._frames = self._frames, 0
        # No queue holds more than the whole turn brought, and few hold many entries as long as the largest:
        # hardly any has to be measured.
        most = _PIECE // self._largest if self._bytes > _PIECE else _PIECE
        self._bytes = self._largest = 0
        for outbox in waiting:
            try:
                if len(outbox) <= most:
                    self._write(outbox)
                else:
                    self._write_much(outbox)
            except Exception:  # one client's trouble must not silence those who come after it
                logger.exception("Writing to a client failed.")
                outbox.clear()
        if self._pacer is not None:
            self._pacer.end(frames, len(waiting))

    def _write(self, outbox: Outbox) -> None:
        if outbox.connection.congested:
            self._hold_back(outbox, outbox)
        else:
            outbox.connection.write(outbox)
            outbox.clear()

    def _write_much(self, outbox: Outbox) -> None:
        """Write a queue that may be long: in pieces, and hold the rest back."""
        if sum(map(len, outbox)) <= _PIECE:
            self._write(outbox)
        else:
            self._hold_back(outbox, _write_pieces(outbox))

    def resume(self, outbox: Outbox) -> None:
        """Go on writing to a client that reads again."""
        backlog = outbox.backlog
        while backlog and not outbox.connection.congested:
            outbox.connection.write(backlog.take(_PIECE))
        if not backlog:
            outbox.backlog = None

    def close(self, outbox: Outbox, code: int, reason: str) -> None:
        """Write what is queued for a client, then close its connection.

        A slow reader gets the close frame behind what its connection had taken by then.
        """
        self.settle()
        if outbox and not outbox.connection.congested:
            rest = _write_pieces(outbox)
            if rest and not self._is_too_much(sum(map(len, rest))):
                outbox.connection.write(rest)
        outbox.clear()
        outbox.backlog = None
        outbox.connection.close(code, reason)

    def _hold_back(self, outbox: Outbox, frames: list[bytes]) -> None:
        """Put what a connection does not take, and what is left of its queue, into its backlog."""
        if frames:
            backlog = outbox.backlog
            if backlog is None:
                backlog = outbox.backlog = Backlog()
            backlog.add(frames)
            outbox.clear()
            # One frame alone is never too much, however long: a user list cannot be cut.
            if self._is_too_much(backlog.size - backlog.largest):
                outbox.overflow()
        outbox.clear()

    def _is_too_much(self, size: int) -> bool:
        return self.max_queued_bytes is not None and size > self.max_queued_bytes


def _write_pieces(outbox: Outbox) -> list[bytes]:
    """Write a queue piece by piece for as long as the connection takes it; return what is left."""
    connection = outbox.connection
    left = pieces(apart(outbox, _PIECE), _PIECE)
    while not connection.congested:
        piece = next(left, None)
        if piece is None:
            return []
        connection.write(piece)
    return [frame for piece in left for frame in piece]
