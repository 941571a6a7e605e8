"""What waits for a client that reads more slowly than others write.

Messages queue. Of updates, such as the value of one variable, only the latest is kept: nobody needs to
see old positions of a player late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .frames import Update, iter_frames

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable


class Backlog:
    """Frames in order; a later update takes the place of an earlier one with the same key.

    Attributes:
        size: Bytes that wait.
        largest: Bytes of the largest frame that waited so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self.largest = 0
        self._frames: dict[Hashable, bytes] = {}  # by an update's key, or by a key nobody else has

    def __bool__(self) -> bool:
        return bool(self._frames)

    def add(self, frames: Iterable[bytes]) -> None:
        """Take in frames, in order."""
        for frame in iter_frames(frames):
            if isinstance(frame, Update):
                # Its place is that of the latest value, behind all that was sent before it.
                self.size -= len(self._frames.pop(frame.key, b""))
                self._put(frame.key, frame)
            else:
                self._put(object(), frame)

    def take(self, size: int) -> list[bytes]:
        """Take out the oldest frames, at least one, until they have `size` bytes."""
        taken: list[bytes] = []
        while self._frames and size > 0:
            key = next(iter(self._frames))
            frame = self._frames.pop(key)
            self.size -= len(frame)
            size -= len(frame)
            taken.append(frame)
        return taken

    def _put(self, key: Hashable, frame: bytes) -> None:
        self._frames[key] = frame
        size = len(frame)
        self.size += size
        self.largest = max(self.largest, size)
