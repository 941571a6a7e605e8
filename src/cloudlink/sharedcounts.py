"""Counts in memory that several processes of one server share: clients, newcomers, and connections of addresses.

One process creates the memory and passes its descriptor on; `SharedCounts` is one process's view of it. Each process
has a part of its own, which only it writes, so that the part of a process that was killed can be cleared. Addresses are
counted in the manner of a count-min sketch: by slots that are chosen by two hashes, of which the better one counts.
The memory therefore has a fixed size, and an address is refused for the connections of others only if both of its slots
are shared with busy ones. Linux only.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KEY_SIZE = 16
_ROWS = 2
_WIDTH = 16_384
"""Slots of a row."""
_SLOTS = _ROWS * _WIDTH
_NEWCOMERS_AT = _KEY_SIZE
_CLIENTS_AT = _NEWCOMERS_AT + 16
_BUCKET_SIZE = 16
"""Bytes of a bucket: the tokens taken and not refilled yet, and the time of that figure, two floats of 8 bytes."""


def create(parts: int) -> int:
    """Create the memory for a number of processes and return its descriptor, which the caller closes."""
    descriptor = os.memfd_create("cloudlink-counts")
    os.ftruncate(descriptor, _held_at(parts) + parts * _SLOTS * 4)
    os.pwrite(descriptor, os.urandom(_KEY_SIZE), 0)
    return descriptor


class SharedCounts:
    """One process's view of the shared counts."""

    def __init__(
        self, descriptor: int, part: int, parts: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open the memory.

        Args:
            descriptor: The descriptor of the memory; it must stay open.
            part: The number of this process, from 0.
            parts: The number of processes.
            clock: Returns the time in seconds, the same in all processes.
        """
        self._descriptor = descriptor
        self._part = part
        self._parts = parts
        self._clock = clock
        memory = memoryview(mmap.mmap(descriptor, 0))
        self._key = bytes(memory[:_KEY_SIZE])
        self._newcomers = memory[_NEWCOMERS_AT:_CLIENTS_AT].cast("q")  # the second, and how many came in it
        self._clients = memory[_CLIENTS_AT : _CLIENTS_AT + 4 * parts].cast("i")
        self._buckets = memory[_buckets_at(parts) : _held_at(parts)].cast("d")
        self._held = memory[_held_at(parts) :].cast("i")

    @property
    def key(self) -> bytes:
        """Random bytes that all processes have, new at each start."""
        return self._key

    # Clients.

    @property
    def clients(self) -> int:
        """The number of clients of all processes."""
        return sum(self._clients)

    def set_clients(self, count: int) -> None:
        """Store the number of clients of this process."""
        self._clients[self._part] = count

    def admit_client(self, limit: int) -> bool:
        """Count another client of this process, unless all processes together have `limit` already."""
        with self._locked():
            if self.clients >= limit:
                return False
            self._clients[self._part] += 1
            return True

    def count_newcomer(self) -> int:
        """Count a new connection; return how many all processes have had in this second."""
        second = int(self._clock())
        with self._locked():
            if self._newcomers[0] != second:
                self._newcomers[0], self._newcomers[1] = second, 0
            self._newcomers[1] += 1
            return self._newcomers[1]

    # Addresses.

    def held(self, key: str) -> int:
        """Return how often a key is held by all processes."""
        return min(
            sum(self._held[part * _SLOTS + slot] for part in range(self._parts)) for slot in self._slots(key)
        )

    def acquire(self, key: str) -> None:
        """Hold a key once more."""
        for slot in self._slots(key):
            self._held[self._part * _SLOTS + slot] += 1

    def release(self, key: str) -> None:
        """Hold a key once less."""
        for slot in self._slots(key):
            self._held[self._part * _SLOTS + slot] -= 1

    def take(self, key: str, rate: float, burst: float) -> bool:
        """Take a token from the bucket of a key, which all processes share.

        Args:
            key: The key.
            rate: Tokens that are added a second.
            burst: Most tokens that are kept.
        """
        now = self._clock()
        with self._locked():
            owed = {slot: self._owed(slot, now, rate) for slot in self._slots(key)}
            if min(owed.values()) > burst - 1:
                return False
            for slot, tokens in owed.items():
                self._buckets[2 * slot] = tokens + 1
                self._buckets[2 * slot + 1] = now
            return True

    def forget(self) -> None:
        """Do nothing: the memory has a fixed size."""

    # For the process that starts the others.

    def clear(self, part: int) -> None:
        """Remove what a process that has ended had counted."""
        self._clients[part] = 0
        for slot in range(part * _SLOTS, (part + 1) * _SLOTS):
            self._held[slot] = 0

    def _owed(self, slot: int, now: float, rate: float) -> float:
        return max(0.0, self._buckets[2 * slot] - (now - self._buckets[2 * slot + 1]) * rate)

    def _slots(self, key: str) -> Iterator[int]:
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=4 * _ROWS, key=self._key).digest()
        for row in range(_ROWS):
            yield row * _WIDTH + int.from_bytes(digest[4 * row : 4 * row + 4], "little") % _WIDTH

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out; the kernel ends the lock of a process that dies."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _buckets_at(parts: int) -> int:
    return _aligned(_CLIENTS_AT + 4 * parts)


def _held_at(parts: int) -> int:
    return _buckets_at(parts) + _SLOTS * _BUCKET_SIZE


def _aligned(size: int) -> int:
    return -(-size // 8) * 8
