"""Writing queues to their connections.

Frames that a client does not read are kept in a backlog of bounded size. A client that falls further behind is
disconnected, unless one sender alone is to blame: then the frames of that sender are dropped. No other client waits.
A long queue is written in pieces for as long as its connection accepts them, so that the bound holds however much
was queued.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from .backlog import Backlog
from .frames import chunked, iter_frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .outbox import Outbox

logger = logging.getLogger("cloudlink.delivery")

_PIECE = 1 << 16
"""Bytes written to a connection at a time; congestion is checked after each piece."""
_SHARE = 5
"""Shares in a backlog: each sender may use one of them."""


class Writer:
    """Writes queues and empties them.

    Attributes:
        max_queued_bytes: Most bytes in a backlog in addition to the largest frame in it; None for no limit.
        behind: The clients that have a backlog.
        held_back: Number of frames that were dropped to keep a sender within its share, and of backlogs dropped
            because they became too large.
    """

    def __init__(self, max_queued_bytes: int | None) -> None:
        """Args: max_queued_bytes: See the attribute."""
        self.max_queued_bytes = max_queued_bytes
        self.behind: set[Outbox] = set()
        self.held_back = 0
        self._overflowing: list[Outbox] = []  # clients whose backlog was dropped
        self._undelivered: dict[Outbox, bytes] = {}  # senders of dropped frames, with the tag of the first

    def write(self, outboxes: Iterable[Outbox], total: int, largest: int) -> None:
        """Write queues.

        Args:
            outboxes: The queues.
            total: Upper bound of the bytes in each queue.
            largest: Upper bound of the bytes in each entry.
        """
        may_be_long = total > _PIECE
        # Few queues hold many entries as long as the largest, so hardly any has to be measured.
        most = _PIECE // largest if may_be_long else 0
        if self.behind:  # checked before the loop: most servers have none, and a check per client would cost
            outboxes = self._write_behind(outboxes)
        for outbox in outboxes:
            try:
                if outbox.connection.congested:
                    self._hold_back(outbox, outbox)
                elif may_be_long and len(outbox) > most and _is_long(outbox):
                    self._hold_back(outbox, _write_pieces(outbox))
                else:
                    outbox.connection.write(outbox)
            except Exception:  # one client's failure must not affect those after it
                logger.exception("Writing to a client failed.")
            outbox.clear()
        # Only now, because a departure is news and no queue may grow while queues are written.
        if self._overflowing or self._undelivered:
            self._report()

    def _report(self) -> None:
        """Notify the clients whose backlog was dropped and the senders of dropped frames."""
        overflowing, self._overflowing = self._overflowing, []
        for outbox in overflowing:
            try:
                outbox.owner.close_for_reading_slowly()
            except Exception:
                logger.exception("Disconnecting a client that reads too slowly failed.")
        undelivered, self._undelivered = self._undelivered, {}
        for sender, tag in undelivered.items():
            try:
                sender.owner.tell_undelivered(tag)
            except Exception:
                logger.exception("Notifying a client that its message was dropped failed.")

    def _write_behind(self, outboxes: Iterable[Outbox]) -> list[Outbox]:
        """Move the queues of clients that have a backlog to its end; return the other queues."""
        others = []
        for outbox in outboxes:
            if outbox in self.behind:
                self._hold_back(outbox, outbox)
                outbox.clear()
            else:
                others.append(outbox)
        return others

    def resume(self, outbox: Outbox) -> int:
        """Write one piece of a client's backlog, if the client reads again.

        Returns:
            Bytes written; 0 if nothing is left to write or the client reads nothing.
        """
        backlog = outbox.backlog
        if backlog is None or outbox.connection.congested:
            return 0
        before = backlog.size
        piece = backlog.take(_PIECE)
        written = before - backlog.size
        if not backlog:
            self.forget(outbox)
        outbox.connection.write(piece)
        return written

    def forget(self, outbox: Outbox) -> None:
        """Drop a client's backlog."""
        outbox.backlog = None
        self.behind.discard(outbox)

    def close(self, outbox: Outbox, code: int, reason: str) -> None:
        """Write what is queued for a client, then close its connection.

        A slow reader gets the close frame after what its connection had accepted by then; its backlog is dropped.
        """
        while self.resume(outbox):
            pass
        if outbox and not outbox.connection.congested:
            rest = _write_pieces(outbox)
            if rest and not self._is_too_much(sum(map(len, rest))):
                outbox.connection.write(rest)
        outbox.clear()
        self.forget(outbox)
        outbox.connection.close(code, reason)

    def _hold_back(self, outbox: Outbox, frames: list[bytes]) -> None:
        """Add frames that a connection does not accept to its backlog; drop the backlog if it becomes too large."""
        if not frames:
            return
        backlog = outbox.backlog
        if backlog is None:
            backlog = outbox.backlog = Backlog(outbox)
            self.behind.add(outbox)
        most = self.max_queued_bytes
        for frame in backlog.add(frames, math.inf if most is None else most / _SHARE):
            self.held_back += 1
            if frame.sender is not None:
                self._undelivered.setdefault(frame.sender, frame.tag)
        # One frame alone is never too much, however long, because a user list cannot be split.
        if self._is_too_much(backlog.size - backlog.largest):
            self.held_back += 1
            self.forget(outbox)
            self._overflowing.append(outbox)

    def _is_too_much(self, size: int) -> bool:
        return self.max_queued_bytes is not None and size > self.max_queued_bytes


def _is_long(outbox: Outbox) -> bool:
    return sum(map(len, outbox)) > _PIECE


def _write_pieces(outbox: Outbox) -> list[bytes]:
    """Write a queue piece by piece for as long as the connection accepts it; return the frames left."""
    connection = outbox.connection
    left = chunked(iter_frames(outbox, _PIECE), _PIECE)
    while not connection.congested:
        piece = next(left, None)
        if piece is None:
            return []
        connection.write(piece)
    return [frame for piece in left for frame in piece]
