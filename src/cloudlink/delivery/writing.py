"""Handing queues over to their connections.

What a client does not take is kept in a backlog of bounded size, and the client is disconnected when it
falls behind further. Nobody else waits for it. A long queue is handed over in pieces, for as long as its
connection takes them, so that the bound holds however much was queued.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .backlog import Backlog
from .frames import chunked, iter_frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .outbox import Outbox

logger = logging.getLogger("cloudlink.delivery")

_PIECE = 1 << 16
"""Bytes handed to a connection at a time; whether it is congested is asked after each piece."""


class Writer:
    """Writes queues and empties them."""

    def __init__(self, max_queued_bytes: int | None) -> None:
        """Args: max_queued_bytes: Most bytes in a backlog beside the largest frame in it; None for any number."""
        self.max_queued_bytes = max_queued_bytes

    def write(self, outboxes: Iterable[Outbox], total: int, largest: int) -> None:
        """Write queues.

        Args:
            outboxes: The queues.
            total: Bytes that none of them exceeds.
            largest: Bytes that no entry of theirs exceeds.
        """
        # Few queues hold many entries as long as the largest: hardly any has to be measured.
        most = _PIECE // largest if total > _PIECE else _PIECE
        overflowing = []
        for outbox in outboxes:
            try:
                if outbox.connection.congested or (len(outbox) > most and _is_long(outbox)):
                    if self._hold_back(outbox, _write_pieces(outbox)):
                        overflowing.append(outbox)
                else:
                    outbox.connection.write(outbox)
            except Exception:  # one client's trouble must not silence those who come after it
                logger.exception("Writing to a client failed.")
            outbox.clear()
        # Only now: that a client has to leave is news, and no queue may grow while queues are written.
        for outbox in overflowing:
            try:
                outbox.overflow()
            except Exception:
                logger.exception("A client that reads too slowly could not be dropped.")

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

    def _hold_back(self, outbox: Outbox, frames: list[bytes]) -> bool:
        """Put what a connection does not take into its backlog; True, and the backlog gone, if that is too much."""
        if not frames:
            return False
        backlog = outbox.backlog
        if backlog is None:
            backlog = outbox.backlog = Backlog()
        backlog.add(frames)
        # One frame alone is never too much, however long: a user list cannot be cut.
        if self._is_too_much(backlog.size - backlog.largest):
            outbox.backlog = None
            return True
        return False

    def _is_too_much(self, size: int) -> bool:
        return self.max_queued_bytes is not None and size > self.max_queued_bytes


def _is_long(outbox: Outbox) -> bool:
    return sum(map(len, outbox)) > _PIECE


def _write_pieces(outbox: Outbox) -> list[bytes]:
    """Write a queue piece by piece for as long as the connection takes it; return what is left."""
    connection = outbox.connection
    left = chunked(iter_frames(outbox, _PIECE), _PIECE)
    while not connection.congested:
        piece = next(left, None)
        if piece is None:
            return []
        connection.write(piece)
    return [frame for piece in left for frame in piece]
