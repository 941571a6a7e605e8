"""Snowflakes: 64-bit ids that sort by time (protocol, section 1.2)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_WORKER = 42
_WORKERS = 1 << 10
_TIMESTAMP_SHIFT = 22
_WORKER_SHIFT = 12
_SEQUENCE_MASK = (1 << _WORKER_SHIFT) - 1


class SnowflakeGenerator:
    """An endless iterator of snowflakes, each larger than the previous one.

    A snowflake consists of the milliseconds since the Unix epoch, a worker number of 10 bits and a
    sequence number of 12 bits. When the sequence of a millisecond is exhausted, or the clock goes
    back, the generator continues with the next millisecond.

    Args:
        clock: Returns the nanoseconds since the Unix epoch.
        process: The number of this process among those of the server, from 0; their snowflakes differ.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns, process: int = 0) -> None:
        self._clock = clock
        self._worker = (_WORKER + process) % _WORKERS
        self._milliseconds = 0
        self._sequence = 0

    def use_process(self, process: int) -> None:
        """Continue with another number of this process, below 1024."""
        self._worker = (_WORKER + process) % _WORKERS

    def __iter__(self) -> SnowflakeGenerator:
        return self

    def __next__(self) -> int:
        now = self._clock() // 1_000_000
        if now > self._milliseconds:
            self._milliseconds, self._sequence = now, 0
        else:
            self._sequence += 1
            if self._sequence > _SEQUENCE_MASK:
                self._milliseconds += 1
                self._sequence = 0
        return self._milliseconds << _TIMESTAMP_SHIFT | self._worker << _WORKER_SHIFT | self._sequence
