"""Handing queues over to their connections.

The queues of many clients are written in bursts. What a client does not take is kept in a backlog of
bounded size, and the client is disconnected when it falls behind further. Nobody else waits for it. A
long queue is handed over in pieces, for as long as its connection takes them, so that the bound holds
however much was queued.
"""

from __future__ import annotations

import logging
from operator import attrgetter
from typing import TYPE_CHECKING

from .backlog import Backlog
from .frames import apart, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .outbox import Connection, Outbox

    WriteBurst = Callable[[Sequence[Connection], Sequence[bytes]], bool]
    """Writes to many connections at once, to each its data, or writes nothing and tells that it cannot."""

logger = logging.getLogger("cloudlink.delivery")

_PIECE = 1 << 16
"""Bytes handed to a connection at a time; whether it is congested is asked after each piece."""
_BURST = 32
"""Most clients written to at once: the first of many need not wait until the last one's data is ready."""

_connection_of = attrgetter("connection")


class Writer:
    """Writes queues and empties them."""

    def __init__(self, max_queued_bytes: int | None, write_burst: WriteBurst | None) -> None:
        """Set up the writer.

        Args:
            max_queued_bytes: Most bytes in a backlog beside the largest frame in it; None for any number.
            write_burst: The fast way to write, None where there is none.
        """
        self.max_queued_bytes = max_queued_bytes
        self._write_burst = write_burst

    def write(self, outboxes: list[Outbox], total: int, largest: int) -> None:
        """Write queues that are not empty.

        Args:
            outboxes: The queues.
            total: Bytes that none of them exceeds.
            largest: Bytes that no entry of theirs exceeds.
        """
        # Few queues hold many entries as long as the largest: hardly any has to be measured.
        most = _PIECE // largest if total > _PIECE else _PIECE
        for start in range(0, len(outboxes), _BURST):
            burst = outboxes[start : start + _BURST]
            if max(map(len, burst)) > most:
                for outbox in burst:
                    if _is_long(outbox):
                        self._write_alone(outbox)
                burst = list(filter(None, burst))
            if not self._write_together(burst):
                for outbox in burst:
                    self._write_alone(outbox)

    def _write_together(self, outboxes: list[Outbox]) -> bool:
        if self._write_burst is None:
            return False
        data = [outbox[0] if len(outbox) == 1 else b"".join(outbox) for outbox in outboxes]
        is_written = self._write_burst(list(map(_connection_of, outboxes)), data)
        if is_written:
            for outbox in outboxes:
                outbox.clear()
        return is_written

    def _write_alone(self, outbox: Outbox) -> None:
        try:
            if outbox.connection.congested or _is_long(outbox):
                self._hold_back(outbox, _write_pieces(outbox))
            else:
                outbox.connection.write(outbox)
        except Exception:  # one client's trouble must not silence those who come after it
            logger.exception("Writing to a client failed.")
        outbox.clear()

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


def _is_long(outbox: Outbox) -> bool:
    return sum(map(len, outbox)) > _PIECE


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
