"""The events that wait for a program, bounded by their number and by the bytes they came in.

It only counts: its owner pauses reading when it is full and resumes when it is half empty. Events put into a full queue
are kept, because they have been read already.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

E = TypeVar("E")

EVENT_BYTES = 500
"""Bytes added for each event, in addition to its message: the approximate size of its Python objects."""
_HARD_LIMIT = 4


class EventQueue(Generic[E]):
    """A queue of events that knows whether it is full."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        """Set up.

        Args:
            max_events: The number of events with which the queue is full.
            max_bytes: The bytes with which it is full.
        """
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: deque[tuple[E, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def size(self) -> int:
        """The bytes of all events."""
        return self._bytes

    @property
    def is_full(self) -> bool:
        """Whether the allowed number of events or bytes is reached."""
        return len(self._events) >= self._max_events or self._bytes >= self._max_bytes

    @property
    def hard_limit(self) -> int:
        """Four times the allowed bytes: the limit while reading cannot pause."""
        return _HARD_LIMIT * self._max_bytes

    @property
    def is_overfull(self) -> bool:
        """Whether the waiting bytes reach the hard limit."""
        return self._bytes >= self.hard_limit

    @property
    def is_half_empty(self) -> bool:
        """Whether at most half of the allowed events and bytes wait."""
        return len(self._events) <= self._max_events // 2 and self._bytes <= self._max_bytes // 2

    def put(self, events: Sequence[E], size: int) -> None:
        """Append the events of one message.

        Args:
            events: The events.
            size: Bytes of the message. They count until the last of its events has been taken.
        """
        for event in events[:-1]:
            self._append(event, EVENT_BYTES)
        for event in events[-1:]:
            self._append(event, EVENT_BYTES + size)

    def get(self) -> E:
        """Remove and return the oldest event; the queue must not be empty."""
        event, size = self._events.popleft()
        self._bytes -= size
        return event

    def clear(self) -> None:
        """Drop all events."""
        self._events.clear()
        self._bytes = 0

    def _append(self, event: E, size: int) -> None:
        self._events.append((event, size))
        self._bytes += size
