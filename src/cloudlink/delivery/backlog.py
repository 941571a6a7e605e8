"""The frames that wait for a client that reads more slowly than others write.

Every message is kept. Of the updates with one key, such as the values of one variable, only the latest is kept:
an old position of a player is useless. The frames of each sender are counted, so that one sender cannot fill
the backlog alone.

A deque holds the order. A dict would too, but finding its first key again and again takes quadratic time, because
CPython scans the slots of all keys that were removed. An `OrderedDict` would take about 200 bytes for each message.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from .frames import Frame, Update, iter_frames

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from .outbox import Outbox


class _Place:
    """An update's place in the queue; its frame is None once a later update has replaced it."""

    __slots__ = ("frame",)

    def __init__(self, frame: Update) -> None:
        self.frame: Update | None = frame


class Backlog:
    """Frames in order; a later update takes the place of an earlier one with the same key.

    Adding and taking cost the same however much waits, averaged over all calls.

    Attributes:
        size: Bytes of all waiting frames.
        largest: Bytes of the largest frame added so far.
    """

    def __init__(self, owner: Outbox | None = None) -> None:
        """Args: owner: The recipient's outbox; frames that the recipient sends to itself count as the server's."""
        self.size = 0
        self.largest = 0
        self._owner = owner
        # The last entry always holds a frame: an update leaves its place only for one behind it.
        self._queue: deque[bytes | _Place] = deque()
        self._places: dict[Hashable, _Place] = {}  # of the updates that wait, by key
        self._gaps = 0  # places in the queue without a frame
        self._bytes_of: dict[Outbox, int] = {}  # bytes that wait, by sender

    def __bool__(self) -> bool:
        return bool(self._queue)

    def add(self, frames: Iterable[bytes], share: float = math.inf) -> list[Frame]:
        """Add frames, in order, except those of a sender that exceeds its share.

        Args:
            frames: The frames.
            share: Bytes that the frames of one sender may have. One longer frame is accepted if no frame longer
                than the share was added before and nothing else of its sender waits.

        Returns:
            The frames that were not added.
        """
        refused: list[Frame] = []
        append = self._queue.append
        added = 0
        for frame in iter_frames(frames):
            # One message to many rooms comes here once for each room and each of their members who reads slowly.
            if type(frame) is bytes:
                append(frame)
            elif isinstance(frame, Frame) and not self._charge(frame, share):
                refused.append(frame)
                continue
            elif isinstance(frame, Update):
                # The update moves to the end, behind everything sent before its latest value.
                self._drop(frame.key)
                place = self._places[frame.key] = _Place(frame)
                append(place)
            else:
                append(frame)
            size = len(frame)
            added += size
            if size > self.largest:  # noqa: PLR1730  # max() takes longer than the rest of this
                self.largest = size
        self.size += added
        if 2 * self._gaps > len(self._queue):
            self._queue = deque(entry for entry in self._queue if not _is_gap(entry))
            self._gaps = 0
        return refused

    def take(self, size: int) -> list[bytes]:
        """Remove and return the oldest frames: at least one, and as many as needed to reach `size` bytes."""
        taken: list[bytes] = []
        while self._queue and size > 0:
            entry = self._queue.popleft()
            if isinstance(entry, _Place):
                if entry.frame is None:
                    self._gaps -= 1
                    continue
                frame: bytes = entry.frame
                del self._places[entry.frame.key]
            else:
                frame = entry
            self._release(frame)
            size -= len(frame)
            taken.append(frame)
        return taken

    def _charge(self, frame: Frame, share: float) -> bool:
        """Count a frame for its sender; return False if the sender would exceed its share."""
        sender = frame.sender
        if sender is None or sender is self._owner:
            return True
        waiting = self._bytes_of.get(sender, 0)
        size = len(frame)
        if waiting + size <= share:  # the usual case
            self._bytes_of[sender] = waiting + size
            return True
        beside = waiting - self._replaced_by(frame)
        if beside + size > share and (beside or self.largest > share):
            return False
        self._bytes_of[sender] = waiting + size
        return True

    def _replaced_by(self, frame: Frame) -> int:
        """Return the bytes of the same sender's update that a frame would replace."""
        place = self._places.get(frame.key) if isinstance(frame, Update) else None
        if place is None or place.frame is None or place.frame.sender is not frame.sender:
            return 0
        return len(place.frame)

    def _drop(self, key: Hashable) -> None:
        """Drop the waiting update with a key, if there is one; it leaves a gap."""
        place = self._places.pop(key, None)
        if place is not None and place.frame is not None:
            self._release(place.frame)
            place.frame = None
            self._gaps += 1

    def _release(self, frame: bytes) -> None:
        """Stop counting a frame."""
        size = len(frame)
        self.size -= size
        sender = frame.sender if isinstance(frame, Frame) else None
        if sender is not None and sender in self._bytes_of:
            self._bytes_of[sender] -= size
            if not self._bytes_of[sender]:
                del self._bytes_of[sender]


def _is_gap(entry: bytes | _Place) -> bool:
    return isinstance(entry, _Place) and entry.frame is None
