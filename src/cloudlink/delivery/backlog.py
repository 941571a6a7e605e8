"""What waits for a client that reads more slowly than others write.

Messages queue. Of updates, such as the value of one variable, only the latest is kept: nobody needs to
see old positions of a player late.

A deque holds the order. A dict would too, but finding its first key again and again takes quadratic time, because
CPython scans the slots of all keys that were removed. An `OrderedDict` would take about 200 bytes for each message.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .frames import Update, iter_frames

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable


class _Place:
    """An update's place in the queue; its frame is None once a later update has taken over."""

    __slots__ = ("frame",)

    def __init__(self, frame: Update) -> None:
        self.frame: Update | None = frame


class Backlog:
    """Frames in order; a later update takes the place of an earlier one with the same key.

    Adding and taking cost the same however much waits, averaged over all calls.

    Attributes:
        size: Bytes that wait.
        largest: Bytes of the largest frame that waited so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self.largest = 0
        # The last entry always holds a frame: an update leaves its place only for one behind it.
        self._queue: deque[bytes | _Place] = deque()
        self._places: dict[Hashable, _Place] = {}  # of the updates that wait, by key
        self._left = 0  # places in the queue without a frame

    def __bool__(self) -> bool:
        return bool(self._queue)

    def add(self, frames: Iterable[bytes]) -> None:
        """Take in frames, in order."""
        for frame in iter_frames(frames):
            if isinstance(frame, Update):
                # Its place is that of the latest value, behind all that was sent before it.
                self._drop(frame.key)
                place = self._places[frame.key] = _Place(frame)
                self._queue.append(place)
            else:
                self._queue.append(frame)
            size = len(frame)
            self.size += size
            self.largest = max(self.largest, size)
        if 2 * self._left > len(self._queue):
            self._queue = deque(entry for entry in self._queue if not _is_left(entry))
            self._left = 0

    def take(self, size: int) -> list[bytes]:
        """Take out the oldest frames, at least one, until they have `size` bytes."""
        taken: list[bytes] = []
        while self._queue and size > 0:
            entry = self._queue.popleft()
            if isinstance(entry, _Place):
                if entry.frame is None:
                    self._left -= 1
                    continue
                frame: bytes = entry.frame
                del self._places[entry.frame.key]
            else:
                frame = entry
            self.size -= len(frame)
            size -= len(frame)
            taken.append(frame)
        return taken

    def _drop(self, key: Hashable) -> None:
        """Forget the update with a key, if one waits; its place stays."""
        place = self._places.pop(key, None)
        if place is not None and place.frame is not None:
            self.size -= len(place.frame)
            place.frame = None
            self._left += 1


def _is_left(entry: bytes | _Place) -> bool:
    return isinstance(entry, _Place) and entry.frame is None
